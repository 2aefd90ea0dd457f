#!/usr/bin/env python3
"""Cold start to the first 200 and resident memory at rest. Usage: python3 bench/idle.py [ROUNDS]"""
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import Server  # noqa: E402


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def children(pid):
    return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    starts, memory, warden = [], [], []
    for _ in range(rounds):
        server = Server()
        begin = time.perf_counter()
        with server:
            server.request("GET", "/healthz")
            starts.append((time.perf_counter() - begin) * 1e3)
            server.create("sim: reply x")
            memory.append(resident_kib(server.pid) / 1024)
            warden.append(sum(resident_kib(c) for c in children(server.pid)) / 1024)
            run = server.call("GET", "/v1/runs")["items"][0]["id"]
            server.finish(run)
    print(f"start to first 200: min {min(starts):.1f} ms, median {statistics.median(starts):.1f} ms ({rounds} rounds)")
    print(f"resident: server {statistics.median(memory):.1f} MiB, its warden {statistics.median(warden):.1f} MiB")


main()
