#!/usr/bin/env python3
"""Live subscribers of one run: memory for each, and whether each gets every event; then a reader that pauses while a long run goes on.

Usage: python3 bench/subscribers.py [SUBSCRIBERS [EVENTS [PAUSE_SECONDS]]] (10000, 100000, 30). Scripted agent (no provider).
"""
import pathlib
import select
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from agents import AgentsDir, status_kib  # noqa: E402
from harness import Server  # noqa: E402
from subscribers import Subscriber, raise_open_files, read_all, stored  # noqa: E402


def waiting_run(server, task):
    """A run that waits for approval, and how to give it."""
    run = server.create(task, approvalMode="manual")["id"]
    asked = server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
    return run, lambda: server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})


def many(server, count):
    run, approve = waiting_run(server, "sim: repeat 20 sh true\nsim: reply done")
    before = status_kib(server.pid, "VmRSS")
    subscribers = [Subscriber(server, run).started() for _ in range(count)]
    rest = status_kib(server.pid, "VmRSS")
    approve()
    begin = time.perf_counter()
    read_all(subscribers, 900)
    took = time.perf_counter() - begin
    events, digest = stored(server, run)
    whole = sum((s.events, s.digest.hexdigest()) == (events, digest) for s in subscribers)
    peak = status_kib(server.pid, "VmHWM")
    print(f"{count} subscribers, {events} events each: {whole} got every event, in {took:.1f} s ({count * events / took:.0f} events/s sent)")
    print(f"server: {before / 1024:.1f} MiB before, {rest / 1024:.1f} MiB at rest, peak {peak / 1024:.1f} MiB: "
          f"{(rest - before) / count:.2f} KiB for each at rest, {(peak - before) / count:.2f} KiB at the peak")
    for one in subscribers:
        one.close()


def paused(server, events, seconds):
    run, approve = waiting_run(server, f"sim: repeat {events // 2} sh true\nsim: reply done")
    reader = Subscriber(server, run).started()
    approve()
    select.select([], [], [], seconds)
    at = server.run(run)["lastEventSeq"]
    begin = time.perf_counter()
    read_all([reader], 1800)
    total, digest = stored(server, run)
    if total < events:
        sys.exit(f"the run has only {total} events: {server.run(run).get('failure')}")
    same = (reader.events, reader.digest.hexdigest()) == (total, digest)
    print(f"a reader that paused {seconds} s (until event {at}) of {total} events got {reader.events}, {'every byte right' if same else 'NOT ALL'}; "
          f"{time.perf_counter() - begin:.1f} s to the end of the run")


def main():
    count, events, seconds = (int(a) for a in [*sys.argv[1:], *("10000", "100000", "30")[len(sys.argv) - 1:]])
    raise_open_files()
    agents = AgentsDir()
    try:
        with Server(agents_dir=agents.path) as server:
            many(server, count)
            paused(server, events, seconds)
    finally:
        agents.remove()


main()
