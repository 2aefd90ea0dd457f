#!/usr/bin/env python3
"""How soon a server answers after kill -9 with a large store, and what calls cost there. The scripted agent; no provider.

Usage: PYTHONPATH=tests/support python3 bench/recovery.py [RUNS [EVENTS_OF_EACH [QUEUED]]]

RUNS (default 10000) ended runs with EVENTS_OF_EACH (100) events and QUEUED (RUNS) queued ones are put into a store by `big_store`, through the store's
own code. Then, of a server with `--role api` and of one with a worker: the time from its start to the first answers, again after kill -9 in the middle of
writes; then creating, listing and cancelling with that queue, and deleting. `KEEP=DIR` keeps the data folder in DIR and uses what is there.
"""
import concurrent.futures
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from agents import AgentsDir  # noqa: E402
from harness import ROOT, Server, wait_for  # noqa: E402

MOST_SECONDS = 2.0


def fill(data, runs, events, queued):
    if (data / "agentrouter.db").exists():
        return
    program = ROOT / "build/release/bin/big_store"
    if not program.exists():
        program = next((ROOT / "build/release").rglob("big_store"))
    subprocess.run([program, data, str(runs), str(events), str(queued)], check=True)


def timed(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def first_answers(server):
    """Seconds from the start of the process to health, to readiness, and to a page of runs."""
    begun = time.perf_counter()
    server.start()
    found = {}
    for name, path in (("healthz", "/healthz"), ("readyz", "/readyz"), ("runs", "/v1/runs?limit=20")):
        server.call("GET", path)
        found[name] = time.perf_counter() - begun
    return found


def killed_while_writing(server):
    """kill -9 while eight clients ask for runs."""
    def ask():
        try:
            while True:
                server.create("sim: reply x")
        except (OSError, ValueError, AssertionError):
            pass
        except Exception:  # the connection ends in the middle of a reply
            pass
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        time.sleep(2)
        server.kill()
        for one in asked:
            one.result()


def say(name, found):
    print(f"{name}: " + ", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in found.items()), flush=True)


def cost(name, call, count=50):
    times = sorted(timed(call) * 1000 for _ in range(count))
    print(f"{name}: median {statistics.median(times):.1f} ms, worst of {count} {times[-1]:.1f} ms", flush=True)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    queued = int(sys.argv[3]) if len(sys.argv) > 3 else runs
    kept = os.environ.get("KEEP")
    data = pathlib.Path(kept or tempfile.mkdtemp(prefix="agentrouter-big-"))
    data.mkdir(exist_ok=True)
    agents = AgentsDir()
    slow = []
    try:
        print(f"generated in {timed(lambda: fill(data, runs, events, queued)):.0f} s, "
              f"{sum(file.stat().st_size for file in data.iterdir() if file.is_file()) / 1e9:.2f} GB", flush=True)
        (data / "agentrouter.toml").write_text("[admission]\nmax_queued_runs = 10000000\n[conversations]\none_shot_grace_minutes = 0\n")
        for role in ("api", "all"):
            server = Server(data=data, args=("--sim", "--role", role, "--concurrency", "2"), agents_dir=agents.path)
            found = first_answers(server)
            say(f"{role}: first answers", found)
            killed_while_writing(server)
            found = first_answers(server)
            say(f"{role}: first answers after kill -9 in the middle of writes", found)
            slow += [f"{role} {name}" for name, seconds in found.items() if seconds > MOST_SECONDS]
            cost("create", lambda: server.create("sim: reply x"))
            cost("list", lambda: server.call("GET", "/v1/runs?limit=50"))
            cost("list active", lambda: server.call("GET", "/v1/runs?status=active&limit=50"))
            cost("list by tag", lambda: server.call("GET", "/v1/runs?tag.team=team-7&limit=50"))
            cost("search", lambda: server.call("GET", "/v1/runs?q=mended&limit=50"))
            page = iter(server.call("GET", "/v1/runs?status=queued&limit=100")["items"])
            cost("cancel queued", lambda: server.call("POST", f"/v1/runs/{next(page)['id']}/cancel"))
            page = reversed(server.call("GET", "/v1/runs?status=completed&limit=100")["items"])  # sandboxes of the newest may still be going
            cost("delete ended", lambda: server.call("DELETE", f"/v1/runs/{next(page)['id']}", expect=(204,)), 20)
            if role == "all":
                done = lambda: len(server.call("GET", "/v1/runs?status=completed&limit=1")["items"])
                wait_for(done, 60, "a run to be done")
            server.kill()
        if slow:
            sys.exit(f"over {MOST_SECONDS} s: {', '.join(slow)}")
        print(f"every first answer came within {MOST_SECONDS} s")
    finally:
        agents.remove()
        if not kept:
            shutil.rmtree(data, ignore_errors=True)


main()
