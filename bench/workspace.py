#!/usr/bin/env python3
"""A workspace of 10,000 files: to create it, to look for what changed, to fork and to resume it, beside `cp -a` and `git worktree add`. Real Codex, simulated provider.

Usage: python3 bench/workspace.py [FILES]. All on one tree of FILES small files, in one run, medians; `x` is how many times longer the copy takes.
  upload    the files are sent and unpacked, once
  create    a run on files that the server has: from the claim until its sandbox stands
  resume    a next turn behind one that rewrote every file: from the claim until its sandbox stands with them
  fork      the call, and the fork's first turn like a next one
  diff      index and patch, when 10 files have changed and when all have; beside `git add -A && git diff --cached`
"""
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import PROGRAM, Server  # noqa: E402
from spans import GIT, copies, make_tree, medians, settle, spans, timed  # noqa: E402

REWRITE = "for f in many/*/*; do echo changed >> $f; done"


def archive_of(tree):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as out:
        out.add(tree, ".")
    return data.getvalue()


def collect(tree, layer):
    """The collector alone, as the sandbox's init starts it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        command = 'exec "$0" collect 3<"$1" 4<"$2" 6>"$3/index" 7>"$3/patch" 8>"$3/report"'
        spent = timed(lambda: subprocess.run(["sh", "-c", command, PROGRAM, tree, layer, place], check=True))[0]
        return spent, pathlib.Path(place, "index").read_bytes().count(b'"path"')


def diffs(place, tree, files, count):
    """Milliseconds of our collector and of git for `count` changed files."""
    layer, clone = pathlib.Path(place, f"layer{count}"), pathlib.Path(place, f"clone{count}")
    subprocess.run(["cp", "-a", tree, clone], check=True)
    for path in sorted(tree.glob("many/*/*"))[:count]:
        name = path.relative_to(tree)
        (layer / "0" / name).parent.mkdir(parents=True, exist_ok=True)
        for root in (layer / "0", clone):
            (root / name).write_text(path.read_text() + "changed\n")
    ours = []
    for _ in range(5):
        spent, found = collect(tree, layer)
        assert found == count, (found, count)
        ours.append((spent,))
    script = "git add -A && git diff --cached --binary > /dev/null && git reset -q"
    git = [(timed(lambda: subprocess.run(["sh", "-c", script.replace("git", " ".join(GIT))], cwd=clone, check=True))[0],) for _ in range(3)]
    return medians(ours)[0], medians(git)[0]


def measure(server, tree):
    spent, upload = timed(lambda: server.call("POST", "/v1/uploads", archive_of(tree), headers={"Content-Type": "application/x-tar"}, expect=(201,)))
    on = {"workspace": {"upload": {"id": upload["upload"]["id"]}}}
    created = medians([spans(server, server.create("sim: reply ok", **on)["id"], "sandbox.created", "execution.started") for _ in range(5)])
    run = server.create(f"sim: sh {REWRITE}\nsim: reply ok", **on)["id"]
    server.finish(run)
    settle(server)
    resumed, forked, calls = [], [], []
    for _ in range(5):
        took, made = timed(lambda: server.call("POST", f"/v1/runs/{run}/fork", {"message": "sim: reply on", "atTurn": 1}, expect=(201,)))
        calls.append((took,))
        forked.append(spans(server, made["id"], "sandbox.resumed", "execution.started"))
    for _ in range(5):
        turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply on"}, expect=(202,))["runId"]
        resumed.append(spans(server, turn, "sandbox.resumed", "execution.started"))
    return spent, created, medians(resumed), medians(calls)[0], medians(forked)


def main():
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        tree = pathlib.Path(place, "tree")
        make_tree(tree, files)
        copied, worktree = copies(files)
        print(f"{files} files: cp -a {copied:.1f} ms, git worktree add {worktree:.1f} ms")
        with Server() as server:
            server.finish(server.create("sim: reply warm")["id"])
            upload, created, resumed, call, forked = measure(server, tree)
        print(f"  upload, once             {upload:9.1f} ms")
        for name, (stands, starts) in (("create", created), ("resume", resumed), ("fork's first turn", forked)):
            print(f"  {name:20}     {stands:9.1f} ms   cp -a x{copied / stands:6.1f}   git worktree add x{worktree / stands:6.1f}   agent starts at {starts:.1f} ms")
        print(f"  fork call                {call:9.1f} ms   cp -a x{copied / call:6.1f}   git worktree add x{worktree / call:6.1f}")
        for count in (min(10, files), files):
            ours, git = diffs(place, tree, files, count)
            print(f"  diff of {count:6} files     {ours:9.1f} ms   git add and diff {git:.1f} ms, x{git / ours:.1f}")


if __name__ == "__main__":
    main()
