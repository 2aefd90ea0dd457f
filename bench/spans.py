"""What the benchmarks of workspaces share: times between events, and the two common ways to copy a tree."""
import datetime
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import wait_for  # noqa: E402

GIT = ["git", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "user.name=a", "-c", "user.email=a@a"]


def at(events, kind):
    event = next(e for e in events if e["type"] == kind)
    return datetime.datetime.fromisoformat(event["createdAt"].replace("Z", "+00:00"))


def spans(server, run, *kinds):
    """Milliseconds from the claim to the first event of each kind. Returns when nothing of the run is left, so that the next one is measured alone."""
    ended, _ = server.finish(run)
    assert ended["status"] == "completed", ended
    settle(server)
    events = server.events(run)
    claimed = at(events, "run.claimed")
    return [(at(events, kind) - claimed).total_seconds() * 1e3 for kind in kinds]


def settle(server):
    wait_for(lambda: not any((server.data / "attempts").iterdir()), 120, "sandboxes to be tidied")


def timed(work):
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1e3, result


def medians(rows):
    return [statistics.median(column) for column in zip(*rows)]


def make_tree(tree, files):
    """A repository with so many small files, in folders of 100."""
    for number in range(files):
        folder = pathlib.Path(tree, "many", f"{number // 100:03}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}").write_text(f"{number}\n" * 10)
    pathlib.Path(tree).mkdir(parents=True, exist_ok=True)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run([*GIT, "-C", str(tree), *command], check=True)


def copies(files, rounds=3):
    """Median milliseconds of `cp -a` and of `git worktree add` of such a tree."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        tree = pathlib.Path(place, "tree")
        make_tree(tree, files)
        rows = []
        for number in range(rounds):
            copied = timed(lambda: subprocess.run(["cp", "-a", tree, f"{place}/copy{number}"], check=True))[0]
            worktree = timed(lambda: subprocess.run([*GIT, "-C", str(tree), "worktree", "add", "-q", "--detach", f"{place}/worktree{number}"], check=True))[0]
            rows.append((copied, worktree))
        return medians(rows)
