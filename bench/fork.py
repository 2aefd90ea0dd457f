#!/usr/bin/env python3
"""What it costs to go on from a turn that changed 0, 100 and 10,000 files, beside copying them. Real Codex, simulated provider.

Usage: python3 bench/fork.py [FILES...]. Fork: the call alone, median of 20. Next turn and fork's first turn: from the claim to `sandbox.resumed` (the state is
there) and to the agent's start, median of 5; then the next turn once more from the archive, as after a reboot. Beside it `cp -a` and `git worktree add` of the same files,
median of 3; ratios are to the time until the state is there.
"""
import pathlib
import shutil
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import Server  # noqa: E402
from spans import copies, medians, settle, spans, timed  # noqa: E402

KINDS = ("sandbox.resumed", "execution.started")


def say(server, run):
    return server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply on"}, expect=(202,))["runId"]


def measure(server, files):
    make = f"mkdir many && cd many && for i in $(seq {files}); do echo $i > file$i; done" if files else "true"
    run = server.create(f"sim: sh {make}\nsim: reply ok")["id"]
    server.finish(run)
    settle(server)
    calls, forked = [], []
    for _ in range(20):
        spent, made = timed(lambda: server.call("POST", f"/v1/runs/{run}/fork", {"message": "sim: reply on", "atTurn": 1}, expect=(201,)))
        calls.append(spent)
        if len(forked) < 5:
            forked.append(spans(server, made["id"], *KINDS))
        else:
            server.call("POST", f"/v1/runs/{made['id']}/close", {})
    settle(server)
    turns = [spans(server, say(server, run), *KINDS) for _ in range(5)]
    shutil.rmtree(server.data / "layers/kept", ignore_errors=True)
    (server.data / "layers/kept").mkdir()
    restored = [spans(server, say(server, run), *KINDS)]
    return statistics.median(calls), medians(forked), medians(turns), medians(restored)


def main():
    for files in [int(text) for text in sys.argv[1:]] or [0, 100, 10_000]:
        with Server() as server:  # of its own: measuring takes its layers away
            server.finish(server.create("sim: reply warm")["id"])
            call, *rows = measure(server, files)
        copied, worktree = copies(files)
        print(f"{files} files changed")
        print(f"  fork call                {call:8.1f} ms   cp -a x{copied / call:6.1f}   git worktree add x{worktree / call:6.1f}")
        for name, (state, start) in zip(("fork's first turn", "next turn", "next, from archive"), rows):
            print(f"  {name:20} state {state:8.1f} ms   cp -a x{copied / state:6.1f}   git worktree add x{worktree / state:6.1f}   agent starts at {start:.1f} ms")
        print(f"  cp -a {copied:.1f} ms, git worktree add {worktree:.1f} ms")


if __name__ == "__main__":
    main()
