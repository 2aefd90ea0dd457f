#!/usr/bin/env python3
"""10,000 pending approvals over 1,000 runs: what listing, waiting and deciding cost, beside the same with ten pending. Scripted agent for the many, real
Claude Code for 20 runs beside them.

Usage: python3 bench/approvals.py [RUNS [REAL]]. Each run of the scripted agent asks about ten commands at once. Times are of whole HTTP requests on a
connection of their own.
"""
import os
import pathlib
import resource
import select
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from agents import AgentsDir, cpu_ms, keepers, status_kib  # noqa: E402
from harness import Server, wait_for  # noqa: E402
from spans import timed  # noqa: E402

EACH = 10
CROWD = f"sim: crowd {EACH} touch file\nsim: reply done"
REST = 10  # seconds


def quantiles(times):
    times = sorted(times)
    return f"p50 {statistics.median(times):6.2f} ms  p99 {times[min(len(times) - 1, len(times) * 99 // 100)]:6.2f} ms"


def pending(server):
    items, after = [], 0
    while page := server.call("GET", f"/v1/approvals?limit=100&after={after}"):
        items += page["items"]
        after = page["nextAfter"]
        if len(page["items"]) < 100:
            return items


def listing(server, rounds=100):
    return [timed(lambda: server.call("GET", "/v1/approvals?limit=100"))[0] for _ in range(rounds)]


def waiting(server, rounds=10):
    """From a question on the live stream of its run to the answer of who waits for any run's question."""
    delays = []
    for _ in range(rounds):
        after = server.call("GET", "/v1/approvals?limit=1")["nextAfter"]
        while page := server.call("GET", f"/v1/approvals?limit=100&after={after}"):
            after = page["nextAfter"]
            if not page["items"]:
                break
        told = []
        waiter = threading.Thread(target=lambda: told.append((server.call("GET", f"/v1/approvals?after={after}&waitSeconds=30"), time.perf_counter())))
        waiter.start()
        run = server.create("sim: sh touch file\nsim: reply done", approvalScope="action")["id"]
        server.wait_until(run, lambda e: e["type"] == "approval.requested")
        seen = time.perf_counter()
        waiter.join()
        delays.append((told[0][1] - seen) * 1e3)
        question = told[0][0]["items"][0]
        decide(server, question)
        server.finish(run)
    return delays


def decide(server, question, verb="approve"):
    return timed(lambda: server.call("POST", f"/v1/runs/{question['runId']}/actions/{question['actionId']}/{verb}", {"actionDigest": question["actionDigest"]}))[0]


def at_rest(server):
    """CPU of server and keepers together over REST seconds."""
    pids = [server.pid, *keepers(server.data)]
    before = [cpu_ms(pid) for pid in pids]
    select.select([], [], [], REST)
    spent = [cpu_ms(pid) - was for pid, was in zip(pids, before)]
    return spent[0], sum(spent[1:]), len(pids) - 1


def ask(server, runs, real):
    began = time.perf_counter()
    made = [server.create(CROWD, approvalScope="action")["id"] for _ in range(runs)]
    made += [server.create("sim: sh echo real >> real.txt\nsim: reply done", runtime={"kind": "claude_code"}, approvalScope="action")["id"] for _ in range(real)]
    wanted = runs * EACH + real
    wait_for(lambda: len(pending(server)) == wanted, 1200, f"{wanted} questions")
    return made, wanted, time.perf_counter() - began


def measure(server, runs, real, title):
    made, wanted, took = ask(server, runs, real)
    print(f"{title}: {wanted} pending over {len(made)} runs ({real} of real Claude Code), asked in {took:.1f} s")
    own, theirs, count = at_rest(server)
    print(f"  at rest, {REST} s     server {own:.1f} ms CPU, {count} keepers together {theirs:.1f} ms")
    rss = sorted(status_kib(pid, "VmRSS") / 1024 for pid in keepers(server.data))
    print(f"  resident           server {status_kib(server.pid, 'VmRSS') / 1024:.1f} MiB, a keeper {statistics.median(rss):.1f} MiB")
    lists = listing(server)
    print(f"  list of 100        {quantiles(lists)}")
    whole, _ = timed(lambda: pending(server))
    print(f"  list of all        {whole:.1f} ms")
    delays = waiting(server)
    print(f"  a waiter hears     {quantiles(delays)} after the run's own stream")
    questions = pending(server)
    several = questions[:: max(2, len(questions) // 200)]
    decisions = [decide(server, question) for question in several]
    print(f"  one decision       {quantiles(decisions)}")
    decided = {question["actionId"] for question in several}
    by_run = {}
    for question in questions:
        if question["actionId"] not in decided:
            by_run.setdefault(question["runId"], []).append({"actionId": question["actionId"], "actionDigest": question["actionDigest"], "decision": "approved"})
    began = time.perf_counter()
    batches = [timed(lambda run=run, rows=rows: server.call("POST", f"/v1/runs/{run}/approvals", {"decisions": rows}))[0] for run, rows in by_run.items()]
    print(f"  the rest of a run  {quantiles(batches)}  ({len(questions) - len(several)} decisions in {time.perf_counter() - began:.1f} s)")
    ends = {}
    for run in made:
        status = server.finish(run, 1200)[0]["status"]
        ends[status] = ends.get(status, 0) + 1
    executed = sum(len([e for e in server.events(run) if e["type"] == "execution.completed"]) for run in made[:50])
    print(f"  ended              {ends}, all {time.perf_counter() - began:.1f} s after the first batch; {executed} executions in the first {len(made[:50])} runs")
    return lists, delays, decisions


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    real = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    agents = AgentsDir()
    installed = pathlib.Path(os.environ.get("AGENTROUTER_AGENTS_DIR", "/opt/agentrouter/agents"))
    (agents.path / "claude_code").symlink_to(installed / "claude_code")
    try:
        with Server(agents_dir=agents.path, args=("--sim", "--concurrency", str(runs + real + 10))) as server:
            few = measure(server, 1, 0, "few")
            many = measure(server, runs, real, "many")
            names = ("list of 100", "waiter", "one decision")
            print("many / few, medians: " + ", ".join(f"{name} x{statistics.median(b) / max(statistics.median(a), 0.01):.2f}" for name, a, b in zip(names, few, many)))
    finally:
        agents.remove()


if __name__ == "__main__":
    main()
