#!/usr/bin/env python3
"""Create to first event and to first agent event over a live stream, one client; then 16 creates at once.

Usage: python3 bench/first_event.py [RUNS]. The real Codex CLI, or the scripted agent when AGENTROUTER_AGENTS_DIR holds it: the output says which
directory was used.
"""
import os
import pathlib
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import TERMINAL, Server  # noqa: E402


def one(server, results):
    begin = time.perf_counter()
    run = server.create("sim: reply ok")
    created = time.perf_counter()
    first = agent = None
    with server.follow(run["id"]) as stream:
        for event in stream.read(120):
            now = time.perf_counter()
            first = first or now
            if agent is None and event["type"].startswith("agent."):
                agent = now
            if event["type"] in TERMINAL:
                results.append([(t - begin) * 1e3 for t in (created, first, agent or now, now)])


def show(title, results):
    names = ("reply to create", "first event", "first agent event", "run ended")
    print(title)
    for name, column in zip(names, zip(*results)):
        ordered = sorted(column)
        print(f"  {name:18} p50 {statistics.median(ordered):8.1f} ms   p95 {ordered[int(len(ordered) * 0.95) - 1]:8.1f} ms")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print("agents:", os.environ.get("AGENTROUTER_AGENTS_DIR", "default"))
    with Server() as server:
        results = []
        for _ in range(runs):
            one(server, results)
        show(f"one client, {runs} runs", results)
        results = []
        threads = [threading.Thread(target=one, args=(server, results)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        show("16 at once", results)


main()
