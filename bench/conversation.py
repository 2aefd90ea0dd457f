#!/usr/bin/env python3
"""A later turn beside a first one: from the claim to the agent's start, and what a checkpoint costs and weighs. Real Codex, simulated provider.

Usage: python3 bench/conversation.py [FILES]. Two conversations: one whose turns change nothing, one whose first turn writes FILES small files (10,000).
"""
import datetime
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import Server  # noqa: E402


def at(events, kind):
    event = next(e for e in events if e["type"] == kind)
    return event, datetime.datetime.fromisoformat(event["createdAt"].replace("Z", "+00:00"))


def show(name, events):
    started = (at(events, "execution.started")[1] - at(events, "run.claimed")[1]).total_seconds() * 1e3
    ended = (at(events, "run.completed")[1] - at(events, "execution.completed")[1]).total_seconds() * 1e3
    size = at(events, "checkpoint.created")[0]["payload"]["bytes"]
    print(f"  {name:12} claim to start {started:7.0f} ms   agent's end to run's end {ended:7.0f} ms   checkpoint {size / 1024:9.1f} KiB")


def conversation(server, title, task, turns):
    print(title)
    run = server.create(task)["id"]
    server.finish(run)
    show("first turn", server.events(run))
    for number in range(2, turns + 1):
        later = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply on"}, expect=(202,))["runId"]
        server.finish(later)
        show(f"turn {number}", server.events(later))


def main():
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with Server() as server:
        conversation(server, "nothing changes", "sim: reply ok", 4)
        task = f"sim: sh mkdir many && cd many && for i in $(seq {files}); do echo $i > file$i; done\nsim: reply ok"
        conversation(server, f"{files} files are new", task, 3)


main()
