#!/usr/bin/env python3
"""Many short runs against one server: its memory, descriptors, threads and disk, sampled and judged by their slope. The scripted agent; no provider.

Usage: PYTHONPATH=tests/support python3 bench/soak.py [RUNS [MINUTES]]

Ends after RUNS (default 1000) runs or MINUTES (10), whichever is first. Conversations end with their runs and retention keeps the last 200 runs, so that
nothing may grow but the audit chain, which keeps what was done by deleted runs, too. After a warm-up of a fifth, by least squares: PSS of the server by
8 MiB (the caches of its connections) and 0.2 MiB for 1000 runs, descriptors by 8, threads by 4, the data folder without the chain by 80 MiB (a WAL has
up to 64), the chain by 4 KiB a run.
CONCURRENCY is the number of runs at the same time (default 4).
"""
import concurrent.futures
import contextlib
import os
import pathlib
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from agents import AgentsDir  # noqa: E402
from harness import Server  # noqa: E402

CONFIG = """[conversations]
one_shot_grace_minutes = 0
[retention]
max_runs = 200
[layers]
max_bytes = 1
"""
MOST = {"pss": (8 << 20, (1 << 20) / 5000), "descriptors": (8, 0), "threads": (4, 0), "disk": (80 << 20, 0), "audit": (0, 4096)}  # in all, and for each run


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def disk(folder):
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def audit(folder):
    """Bytes of the chain in the database, which only grows."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/agentrouter.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'audit'").fetchone()[0] or 0


def sample(server, done):
    status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
    chain = audit(server.data)
    return {"runs": done, "pss": pss(server.pid), "descriptors": len(os.listdir(f"/proc/{server.pid}/fd")),
            "threads": int(status.split("Threads:")[1].split()[0]), "disk": disk(server.data) - chain, "audit": chain}


def slope(samples, name):
    """Least squares: how much for one run more."""
    xs, ys = [s["runs"] for s in samples], [s[name] for s in samples]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys)) / spread if spread else 0.0


class Clients:
    """As many as the server has slots, and one more: each asks for a run, follows it to its end and asks for the next."""

    def __init__(self, server, runs, seconds):
        self.server, self.left, self.end = server, runs, time.monotonic() + seconds
        self.lock, self.done, self.failed = threading.Lock(), 0, []

    def work(self):
        while True:
            with self.lock:
                if self.left == 0 or time.monotonic() > self.end:
                    return
                self.left -= 1
            run = self.server.create("sim: reply Done.")["id"]
            with self.server.follow(run) as stream:
                last = [event["type"] for event in stream.read(120)][-1]
            with self.lock:
                self.done += 1
                if last != "run.completed":
                    self.failed.append((run, last))


def judge(samples):
    after = samples[len(samples) // 5:]
    runs = after[-1]["runs"] - after[0]["runs"]
    wrong = []
    for name, (fixed, for_each) in MOST.items():
        each, most = slope(after, name), fixed + for_each * runs
        print(f"{name}: {after[0][name]} to {after[-1][name]}, slope {each:.3f} a run, {each * runs:.0f} in {runs} runs (at most {most:.0f})")
        if each * runs > most:
            wrong.append(name)
    return wrong


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    concurrency = int(os.environ.get("CONCURRENCY", "4"))
    agents = AgentsDir()
    server = Server(args=("--sim", "--concurrency", str(concurrency), "--log-level", "warn"), agents_dir=agents.path)
    (server.data / "agentrouter.toml").write_text(CONFIG)
    with server:
        clients, samples, begun = Clients(server, runs, minutes * 60), [], time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(concurrency + 1) as pool:
            working = [pool.submit(clients.work) for _ in range(concurrency + 1)]
            every = max(5.0, minutes * 60 / 100)
            while any(not one.done() for one in working):
                concurrent.futures.wait(working, timeout=min(every, 5.0 if len(samples) < 20 else every))
                samples.append(sample(server, clients.done))
                now = samples[-1]
                print(f"{time.monotonic() - begun:7.0f} s  {now['runs']:6} runs  pss {now['pss'] >> 20} MiB  descriptors {now['descriptors']}  "
                      f"threads {now['threads']}  disk {now['disk'] >> 20} MiB  audit {now['audit'] >> 20} MiB", flush=True)
            for one in working:
                one.result()
        took = time.monotonic() - begun
        print(f"{clients.done} runs in {took:.0f} s: {clients.done / took:.1f} runs/s; {len(clients.failed)} did not complete {clients.failed[:3]}")
        wrong = judge(samples) if len(samples) >= 10 else ["too few samples"]
        server.tidy()
    agents.remove()
    if wrong or clients.failed:
        sys.exit(f"not flat: {', '.join(wrong) or 'runs failed'}")
    print("flat")


main()
