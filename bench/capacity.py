#!/usr/bin/env python3
"""What one run, event, subscriber and gigabyte cost: the numbers behind "Capacity" of docs/operating.md, and the sizes that follow from them.

Usage: python3 bench/capacity.py [--store sqlite|postgres] [--runs N] [--together N] [--subscribers N] [--json]

Measured with the scripted agent, so what an agent itself takes (Codex: some 100 MiB and whatever its commands need) comes on top and is given with
--agent-mib. Memory is PSS: what is shared is counted once. CPU is that of all processes below the server (keepers, inits, the warden) and, with
PostgreSQL, of its sessions. One quiet machine; the sizes are straight lines through these points and say nothing of what no point was near.
"""
import argparse
import contextlib
import json
import os
import pathlib
import select
import sqlite3
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from agents import AgentsDir, keepers  # noqa: E402
from harness import Server, wait_for  # noqa: E402
from subscribers import Subscriber, raise_open_files, read_all  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
CONFIG = """concurrency = {together}
[admission]
max_waiting_runs = 0
[conversations]
one_shot_grace_minutes = 600
"""
STEPS = 20  # commands of a run: about 60 events
WORK = f"sim: repeat {STEPS} sh echo a line of output and another one\nsim: write notes.md # Notes\\n\nsim: reply Done."
SLOW = "sim: repeat 3000 sh sleep 0.2\nsim: reply Done."


def pss(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def cpu_ms(pids):
    """User and system time of processes, and of their children that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15]))
    return total * 1000 / TICK


def below(pid):
    """A process and all that descend from it."""
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{found[-1]}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


def disk(folder):
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


class Store:
    """Where the history is, how large, and which processes work for it."""

    def __init__(self, kind):
        self.kind, self.server, self.url = kind, None, None
        if kind == "postgres":
            from postgres import Postgres
            self.server = Postgres()
            self.server.start()
            self.url = self.server.url(self.server.database())

    def environment(self):
        return {"AGENTROUTER_STORE_URL": self.url} if self.url else {}

    def bytes(self, data):
        if self.url:
            done = os.popen(f"psql --no-psqlrc --tuples-only --no-align '{self.url}' -c 'vacuum' -c 'select pg_database_size(current_database())'").read()
            return int(done.split()[-1])
        with contextlib.closing(sqlite3.connect(f"file:{data}/agentrouter.db?mode=ro", uri=True)) as database:
            return database.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()[0]

    def pids(self):
        return below(self.server.process.pid) if self.server else []

    def close(self):
        if self.server:
            self.server.remove()


class Bench:
    def __init__(self, options):
        self.options, self.figures = options, {}
        self.store, self.agents = Store(options.store), AgentsDir()
        self.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        self.config.write(CONFIG.format(together=options.together))
        self.config.flush()

    def start(self):
        self.server = Server(args=("--sim", "--config", self.config.name), env=self.store.environment(), agents_dir=self.agents.path)
        self.server.start()

    def all(self):
        return below(self.server.pid) + self.store.pids()

    def cpu(self):
        return cpu_ms(self.all())

    def finished(self, runs):
        for run in runs:
            self.server.finish(run, 600)
        wait_for(lambda: not any((self.server.data / "attempts").iterdir()), 120, "ended runs to be tidied")

    def rest(self):
        """Nothing to do: memory, and CPU of ten seconds."""
        self.finished([self.server.create("sim: reply Done.")["id"]])
        self.figures["server_mib"] = pss(self.server.pid) / (1 << 20)
        self.figures["warden_mib"] = sum(pss(pid) for pid in below(self.server.pid)[1:]) / (1 << 20)
        before = self.cpu()
        select.select([], [], [], 10)
        self.figures["rest_cpu_ms_per_s"] = (self.cpu() - before) / 10

    def work(self):
        """One run after the other: CPU, bytes, events."""
        data, events = self.server.data, []
        before_cpu, before_db, before_blobs = self.cpu(), self.store.bytes(data), disk(data / "blobs")
        began = time.monotonic()
        for _ in range(self.options.runs):
            run = self.server.create(WORK)["id"]
            self.finished([run])
            events.append(self.server.run(run)["lastEventSeq"])
        took, runs, all_events = time.monotonic() - began, self.options.runs, sum(events)
        self.figures["events_per_run"] = all_events / runs
        self.figures["run_seconds"] = took / runs
        self.figures["run_cpu_ms"] = (self.cpu() - before_cpu) / runs
        self.figures["run_db_bytes"] = (self.store.bytes(data) - before_db) / runs
        self.figures["event_db_bytes"] = (self.store.bytes(data) - before_db) / all_events
        self.figures["run_blob_bytes"] = (disk(data / "blobs") - before_blobs) / runs
        # The same with a run that says little: what is left for each event.
        before_cpu = self.cpu()
        few = []
        for _ in range(self.options.runs):
            run = self.server.create("sim: reply Done.")["id"]
            self.finished([run])
            few.append(self.server.run(run)["lastEventSeq"])
        short = (self.cpu() - before_cpu) / runs
        self.figures["short_run_cpu_ms"] = short
        self.figures["event_cpu_ms"] = (self.figures["run_cpu_ms"] - short) / max(1, (all_events - sum(few)) / runs)

    def together(self):
        """So many at once: memory of a keeper and of a sandbox's own processes, disk of an open attempt."""
        count, data = self.options.together, self.server.data
        before, before_disk = pss(self.server.pid), disk(data / "attempts")
        runs = [self.server.create(SLOW)["id"] for _ in range(count)]
        for run in runs:
            self.server.wait_until(run, lambda e: e["type"] == "agent.tool_completed", 300)
        held = keepers(data)
        self.figures["keeper_mib"] = statistics.mean(pss(pid) for pid in held) / (1 << 20)
        inside = [sum(pss(pid) for pid in below(keeper)[1:]) for keeper in held]
        others = [pid for pid in below(self.server.pid) if pid not in held and pid != self.server.pid]
        self.figures["sandbox_mib"] = max(statistics.mean(inside), sum(map(pss, others)) / count) / (1 << 20)
        self.figures["run_server_mib"] = (pss(self.server.pid) - before) / count / (1 << 20)
        self.figures["attempt_disk_mib"] = (disk(data / "attempts") - before_disk) / count / (1 << 20)
        self.figures["run_processes"] = (len(below(self.server.pid)) - 2) / count
        before_cpu, before_events = self.cpu(), sum(self.server.run(run)["lastEventSeq"] for run in runs)
        select.select([], [], [], 10)
        events = sum(self.server.run(run)["lastEventSeq"] for run in runs) - before_events
        self.figures["live_events_per_s"] = events / 10
        self.figures["live_cpu_ms_per_event"] = (self.cpu() - before_cpu) / max(1, events)
        for run in runs:
            self.server.call("POST", f"/v1/runs/{run}/cancel")
        self.finished(runs)

    def subscribers(self):
        count = self.options.subscribers
        run = self.server.create("sim: repeat 20 sh true\nsim: reply Done.", approvalMode="manual")["id"]
        asked = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        before = pss(self.server.pid)
        all_of_them = [Subscriber(self.server, run).started() for _ in range(count)]
        self.figures["subscriber_kib"] = (pss(self.server.pid) - before) / count / 1024
        before_cpu = cpu_ms([self.server.pid])
        self.server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        read_all(all_of_them, 600)
        events = self.server.run(run)["lastEventSeq"]
        self.figures["delivery_cpu_us"] = (cpu_ms([self.server.pid]) - before_cpu) * 1000 / (count * events)
        for one in all_of_them:
            one.close()
        self.finished([run])

    def checkpoint(self):
        """A workspace of ten megabytes that does not compress: what its state takes."""
        before = disk(self.server.data / "blobs")
        run = self.server.create("sim: sh head -c 10485760 /dev/urandom > big\nsim: reply Done.")["id"]
        self.finished([run])
        wait_for(lambda: disk(self.server.data / "blobs") - before > 10 << 20, 60, "the checkpoint")
        self.figures["checkpoint_bytes_per_byte"] = (disk(self.server.data / "blobs") - before) / (10 << 20)

    def measure(self):
        self.start()
        try:
            for part in (self.rest, self.work, self.together, self.subscribers, self.checkpoint):
                part()
                print(f"        {part.__name__} is measured", file=sys.stderr, flush=True)
        except BaseException:
            self.server.abandon()
            raise
        finally:
            self.server.stop()
            self.server.remove_data()
            self.agents.remove()
            self.store.close()


def sizes(figures, agent_mib, events_per_s):
    """(concurrent runs, memory in GiB, cores of ours) for runs that give so many events a second each."""
    for runs in (1, 100, 10_000):
        memory = figures["server_mib"] + figures["warden_mib"] + runs * (figures["keeper_mib"] + figures["sandbox_mib"] + max(0, figures["run_server_mib"]) + agent_mib)
        cpu = (figures["rest_cpu_ms_per_s"] + runs * events_per_s * figures["live_cpu_ms_per_event"]) / 1000
        yield runs, memory / 1024, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="sqlite", choices=["sqlite", "postgres"])
    parser.add_argument("--runs", type=int, default=30, help="runs, one after the other")
    parser.add_argument("--together", type=int, default=16, help="runs at the same time")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--agent-mib", type=float, default=100, help="what an agent and its commands take of memory, for the sizes")
    parser.add_argument("--events-per-second", type=float, default=0.5, help="of a run, for the sizes: an agent waits for its model most of the time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    raise_open_files()
    bench = Bench(options)
    bench.measure()
    if options.json:
        print(json.dumps({"store": options.store, **bench.figures}))
        return
    print(f"store: {options.store}")
    for name, value in bench.figures.items():
        print(f"{name:28} {value:12.3f}")
    for runs, memory, cores in sizes(bench.figures, options.agent_mib, options.events_per_second):
        print(f"{runs:6} at once: {memory:8.1f} GiB with {options.agent_mib:.0f} MiB for each agent, {cores:6.2f} cores at {options.events_per_second} events/s each")


main()
