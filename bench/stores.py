#!/usr/bin/env python3
"""SQLite and PostgreSQL side by side, in turns, in one run. The scripted agent; no provider.

Usage: PYTHONPATH=tests/support python3 bench/stores.py [ROUNDS]              create, claim to start, events a second, stream latency
       PYTHONPATH=tests/support python3 bench/stores.py growth [RUNS [EVENTS [STORE]]]  list, get, search, create, claim: empty beside full

`growth` puts RUNS (100000) ended runs with EVENTS (100) events each into either store (`big_store`; fill_postgres.sql) and compares with an empty
one. The PostgreSQL is one of tests/support/postgres.py with fsync, on the same disk as the data folders.
"""
import contextlib
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
import harness  # noqa: E402
from agents import AgentsDir  # noqa: E402
from harness import TERMINAL, Server, wait_for  # noqa: E402
from postgres import PROGRAMS, Postgres  # noqa: E402

CONFIG = "[admission]\nmax_queued_runs = 10000000\n[conversations]\none_shot_grace_minutes = 0\n"
MOST_TIMES = 2.0
SLACK_MS = 2.0  # of what takes less than a millisecond or two, the clock says nothing


def milliseconds(call):
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def at(event):
    return time.mktime(time.strptime(event["createdAt"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(event["createdAt"][19:].rstrip("Z"))


def p(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(name, values, unit="ms"):
    print(f"  {name:28} p50 {statistics.median(values):8.1f} {unit}   p95 {p(values, 0.95):8.1f} {unit}", flush=True)


def folder(place, name):
    data = place / name
    data.mkdir()
    (data / "agentrouter.toml").write_text(CONFIG)
    return data


class Figures:
    def __init__(self):
        self.create, self.start, self.rate, self.stream = [], [], [], []

    def take(self, server, messages=500):
        self.create += [milliseconds(lambda: server.create("sim: reply ok")) for _ in range(20)]
        wait_for(lambda: not server.call("GET", "/v1/runs?status=active&limit=1")["items"], 120, "the runs to end")
        for run in server.call("GET", "/v1/runs?limit=20")["items"]:
            when = {event["type"]: at(event) for event in reversed(server.events(run["id"]))}
            self.start.append((when["agent.started"] - when["run.claimed"]) * 1e3)
        run = server.create(f"sim: repeat {messages} sh true\nsim: reply done")
        begin = count = end = None
        with server.follow(run["id"]) as stream:
            for event in stream.read(300):
                now = time.time()
                if event["type"] == "agent.started":
                    begin, count = time.perf_counter(), 0
                elif begin and event["type"].startswith("agent."):
                    count, end = count + 1, time.perf_counter()
                    self.stream.append((now - at(event)) * 1e3)
                if event["type"] in TERMINAL:
                    break
        self.rate.append(count / (end - begin))


def side_by_side(rounds):
    place, agents = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-stores-")), AgentsDir()
    figures = {"SQLite": Figures(), "PostgreSQL": Figures()}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(agents.remove)
        postgres = Postgres().start()
        stack.callback(postgres.remove)
        url = postgres.url(postgres.database())
        servers = {"SQLite": Server(data=folder(place, "sqlite"), agents_dir=agents.path),
                   "PostgreSQL": Server(data=folder(place, "postgres"), agents_dir=agents.path, env={"AGENTROUTER_STORE_URL": url})}
        for server in servers.values():
            stack.enter_context(server)
        for _ in range(rounds):
            for name, server in servers.items():
                figures[name].take(server)
        for server in servers.values():
            server.tidy()
    for name, taken in figures.items():
        print(name)
        show("create", taken.create)
        show("claim to agent's start", taken.start)
        show("event to subscriber", taken.stream)
        show("events a second", taken.rate, "/s")


def costs(server):
    harness.check = lambda exchange: None  # events that were made to fill a store are not those of an agent
    newest = server.call("GET", "/v1/runs?limit=20")["items"]
    deep = server.call("GET", "/v1/runs?limit=50")
    calls = {
        "list": lambda: server.call("GET", "/v1/runs?limit=20"),
        "list, next page": lambda: server.call("GET", f"/v1/runs?limit=20&cursor={deep['nextCursor']}"),
        "list completed": lambda: server.call("GET", "/v1/runs?status=completed&limit=20"),
        "list by tag": lambda: server.call("GET", "/v1/runs?tag.team=team-7&limit=20"),
        "get": lambda: server.call("GET", f"/v1/runs/{newest[-1]['id']}"),
        "events": lambda: server.events(newest[-1]["id"]),
        "search, all have it": lambda: server.call("GET", "/v1/runs?q=mended&limit=20"),
        "search, one has it": lambda: server.call("GET", "/v1/runs?q=7&limit=20"),
        "create": lambda: server.create("sim: reply x"),
    }
    found = {name: statistics.median(milliseconds(call) for _ in range(50)) for name, call in calls.items()}
    wait_for(lambda: not server.call("GET", "/v1/runs?status=active&limit=1")["items"], 300, "the runs to end")
    claims = []
    for _ in range(10):
        run = server.create("sim: reply x")
        server.finish(run["id"])
        when = {event["type"]: at(event) for event in reversed(server.events(run["id"]))}
        claims.append((when["run.claimed"] - at({"createdAt": run["queuedAt"]})) * 1e3)
    return {**found, "claim": statistics.median(claims)}


def growth(runs, events, stores):
    place, agents, slow = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-stores-")), AgentsDir(), []
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(agents.remove)
        postgres = Postgres({"shared_buffers": "512MB", "max_wal_size": "4GB"}).start()
        stack.callback(postgres.remove)
        few = 200  # an empty one answers nothing that could be compared
        for name in stores:
            found = {}
            for size, count, each in (("empty", few, events), ("full", runs, events)):
                data, env = folder(place, f"{name} {size}"), {}
                if name == "PostgreSQL":
                    env["AGENTROUTER_STORE_URL"] = url = postgres.url(postgres.database())
                    with Server(data=data, agents_dir=agents.path, env=env):
                        pass
                    subprocess.run([PROGRAMS / "psql", url, "-q", "-v", f"runs={count}", "-v", f"events={each}", "-f", ROOT / "bench/fill_postgres.sql"],
                                   check=True, stdout=subprocess.DEVNULL)
                else:
                    subprocess.run([ROOT / "build/release/bin/big_store", data, str(count), str(each)], check=True, stdout=subprocess.DEVNULL)
                with Server(data=data, agents_dir=agents.path, env=env) as server:
                    found[size] = costs(server)
                    server.tidy()
            print(f"{name}: {runs} runs, {runs * events} events beside {few} runs")
            for what, empty in found["empty"].items():
                full = found["full"][what]
                print(f"  {what:22} {empty:8.1f} ms  {full:8.1f} ms  {full / empty:5.2f}x", flush=True)
                if full > empty * MOST_TIMES and full - empty > SLACK_MS:
                    slow.append(f"{name} {what}")
    if slow:
        sys.exit(f"more than {MOST_TIMES} times as long: {', '.join(slow)}")


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["growth"]:
        growth(int(words[1]) if len(words) > 1 else 100_000, int(words[2]) if len(words) > 2 else 100, words[3:4] or ("SQLite", "PostgreSQL"))
    else:
        side_by_side(int(words[0]) if words else 5)
