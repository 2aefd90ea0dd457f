#!/usr/bin/env python3
"""What it costs to go on from a turn that changed 0, 100 and 10,000 files, beside copying them. Real Codex, simulated provider.

Usage: python3 bench/fork.py [FILES...]. Fork: the call alone, median of 20. Next turn and fork's first turn: from the claim to `sandbox.resumed` (the state is
there) and to the agent's start, median of 5. Beside it `cp -a` and `git worktree add` of the same files, median of 3; ratios are to the time until the state is there.
"""
import datetime
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import Server  # noqa: E402


def at(events, kind):
    event = next(e for e in events if e["type"] == kind)
    return datetime.datetime.fromisoformat(event["createdAt"].replace("Z", "+00:00"))


def spans(server, run):
    """Milliseconds from the claim to the state and to the agent's start."""
    ended, _ = server.finish(run)
    assert ended["status"] == "completed", ended
    events = server.events(run)
    claimed = at(events, "run.claimed")
    return [(at(events, kind) - claimed).total_seconds() * 1e3 for kind in ("sandbox.resumed", "execution.started")]


def timed(work):
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1e3, result


def medians(rows):
    return [statistics.median(column) for column in zip(*rows)]


def copies(files):
    """Median milliseconds of cp -a and of git worktree add."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        tree = pathlib.Path(place, "tree")
        (tree / "many").mkdir(parents=True)
        for number in range(1, files + 1):
            (tree / "many" / f"file{number}").write_text(f"{number}\n")
        git = ["git", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@a"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "one"]):
            subprocess.run(git + command, check=True)
        rows = []
        for number in range(3):
            copied = timed(lambda: subprocess.run(["cp", "-a", tree, f"{place}/copy{number}"], check=True))[0]
            worktree = timed(lambda: subprocess.run([*git, "worktree", "add", "-q", "--detach", f"{place}/worktree{number}"], check=True))[0]
            rows.append((copied, worktree))
        return medians(rows)


def measure(server, files):
    make = f"mkdir many && cd many && for i in $(seq {files}); do echo $i > file$i; done" if files else "true"
    run = server.create(f"sim: sh {make}\nsim: reply ok")["id"]
    server.finish(run)
    calls, forked = [], []
    for _ in range(20):
        spent, made = timed(lambda: server.call("POST", f"/v1/runs/{run}/fork", {"message": "sim: reply on", "atTurn": 1}, expect=(201,)))
        calls.append(spent)
        if len(forked) < 5:
            forked.append(spans(server, made["id"]))
        else:
            server.call("POST", f"/v1/runs/{made['id']}/close", {})
    turns = []
    for _ in range(5):
        later = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply on"}, expect=(202,))["runId"]
        turns.append(spans(server, later))
    return statistics.median(calls), medians(forked), medians(turns)


def main():
    with Server() as server:
        server.finish(server.create("sim: reply warm")["id"])
        for files in [int(text) for text in sys.argv[1:]] or [0, 100, 10_000]:
            call, (fork_state, fork_start), (turn_state, turn_start) = measure(server, files)
            copied, worktree = copies(files)
            print(f"{files} files changed")
            print(f"  fork call                {call:8.1f} ms   cp -a x{copied / call:6.1f}   git worktree add x{worktree / call:6.1f}")
            for name, state, start in (("fork's first turn", fork_state, fork_start), ("next turn", turn_state, turn_start)):
                print(f"  {name:20} state {state:8.1f} ms   cp -a x{copied / state:6.1f}   git worktree add x{worktree / state:6.1f}   agent starts at {start:.1f} ms")
            print(f"  cp -a {copied:.1f} ms, git worktree add {worktree:.1f} ms")


main()
