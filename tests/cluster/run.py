#!/usr/bin/env python3
"""A cluster under chaos: run.py [--runs N] [--seconds S] [--most S] [--seed N] [--pause S] ...

Three hosts on this machine, each with network, mount and pid namespaces and a disk folder of its own: one answers (`--role api`), two work (`--role worker`). They
share a PostgreSQL server and an object store, and nothing else. While customers ask for runs of the scripted agent, workers, machines, the API, PostgreSQL, the
object store and the network between them are killed and cut at random moments. Then everything is read through the API and judged by tests/chaos. Needs root.
"""
import argparse
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CHAOS = HERE.parent / "chaos"
sys.path[:0] = [str(HERE), str(CHAOS), str(HERE.parent / "support")]

import chaos_run  # noqa: E402
import endings  # noqa: E402
import stores  # noqa: E402
import world  # noqa: E402
from agents import AgentsDir  # noqa: E402
from client import Away  # noqa: E402
from first_process import reap_all  # noqa: E402
from harness import wait_for  # noqa: E402
from hosts import MIDDLE, Host, Node, make_network  # noqa: E402
from postgres import Postgres  # noqa: E402
from s3 import S3  # noqa: E402
from sites import CONFIG, INSTALLED, show, write_workspace  # noqa: E402
from trouble import LEASE, MAY_CAUSE, Plan, Trouble  # noqa: E402

SHARED = """
[cluster]
lease_seconds = {lease}
[store]
url = "{store}"
{blobs}"""


class Cluster:
    """What tests/chaos knows as a site: its address is the API's."""
    scripted, weight, name, disk = True, 1, "cluster", None

    def __init__(self, folder, mcp, word, hooks):
        self.files = pathlib.Path(folder, "files")
        self.archive = write_workspace(self.files)
        self.agents = AgentsDir()
        show(INSTALLED / "claude_code", self.agents.path / "claude_code")
        self.postgres, self.storage = Postgres(listen=MIDDLE).start(), S3(more=("--listen", "0.0.0.0"))
        config = pathlib.Path(folder, "cluster.toml")
        config.write_text(CONFIG.format(reserve=0, files=self.files, mcp=mcp, word=word, hooks=hooks, attempts=endings.MOST_ATTEMPTS) + SHARED.format(
            lease=LEASE, store=self.postgres.url(self.postgres.database(), host=MIDDLE), blobs=self.storage.settings(endpoint=f"http://{MIDDLE}:{self.storage.port}")))
        arguments = ("--sim", "--config", str(config), "--workspace-root", str(self.files), "--concurrency", "5", "--log-level", "warn")

        env = {**self.storage.environment(), "AGENTROUTER_MASTER_KEY": stores.MASTER_KEY}

        def node(name, number, role):
            return Node(Host(name, number, pathlib.Path(folder, name)), role, arguments, env, self.agents.path)
        self.api, self.workers = node("api", 11, "api"), [node("one", 12, "worker"), node("two", 13, "worker")]
        self.nodes = [self.api, *self.workers]

    @property
    def address(self):
        return self.api.host.address, 8787

    def start(self):
        for one in self.nodes:
            one.start()

    def left(self):
        """What the data folders and the machine hold of runs that are over and closed."""
        found = {}
        for one in self.nodes:
            entries = [entry for entry in world.entries_of(one.host.data) if not entry.startswith("uploads/")]
            found.update({f"{kind} of {one.name}": value for kind, value in (("entries", entries), ("cgroups", world.cgroups_of(one.host.data))) if value})
        return found

    def stop(self):
        for one in self.nodes:
            one.server.stop(60)

    def remove(self):
        for one in self.nodes:
            with contextlib.suppress(Exception):
                if one.host.is_up():
                    one.host.crash()
        for path in self.agents.path.iterdir():
            if path.is_mount():
                subprocess.run(["umount", "-l", str(path)], check=False)
        self.agents.remove()
        self.storage.process.kill()
        self.storage.process.wait()
        self.postgres.remove()


class ClusterChaos(chaos_run.Chaos):
    """Chaos whose one site is a cluster."""
    title, receivers = "cluster", MIDDLE

    def make_sites(self):
        self.sites = [Cluster(self.folder, mcp=self.remote.url, word=chaos_run.SECRET, hooks=f"{MIDDLE}:{self.receiver.port}")]
        self.sites[0].pause = self.options.pace

    def torment(self):
        options, cluster = self.options, self.sites[0]
        self.plan = Plan(options.seconds, options.runs, options.most, self.history)
        trouble = Trouble(cluster, self.plan, options.seed, options.pause, self.history, long_cuts=not options.no_long_cuts)
        began = told = time.monotonic()
        trouble.start()
        while trouble.is_alive():
            trouble.join(1)
            if time.monotonic() - told >= chaos_run.RATE:
                told = time.monotonic()
                print(f"  {told - began:.0f} s: {chaos_run.short(self.plan.done)}; {self.plan.acknowledged()} runs", flush=True)
        if trouble.error:
            raise trouble.error
        self.took, self.slowest = time.monotonic() - began, trouble.slowest_start

    def clear(self, account, evidence):
        cluster = self.sites[0]
        for conversation in account[cluster.name]["turns"]:
            with contextlib.suppress(Away):
                self.api(cluster).send("POST", f"/v1/runs/{conversation}/close", {})
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not cluster.left(), 120, "what runs have left to be removed")
        cluster.stop()
        evidence[cluster.name]["left"] = cluster.left()


def make(options):
    endings.MAY_CAUSE.update(MAY_CAUSE)
    make_network()
    return ClusterChaos(options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="until so many runs were acknowledged")
    parser.add_argument("--seconds", type=float, default=60, help="and so much time is over")
    parser.add_argument("--most", type=float, default=3600, help="but no longer than that")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--subscribers", type=int, default=60)
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--pace", type=float, default=0.5, help="seconds that a customer rests between two things, at most")
    parser.add_argument("--pause", type=float, default=3, help="seconds between two faults, on average")
    parser.add_argument("--last-turns", type=int, default=40, help="how many conversations are continued at the end")
    parser.add_argument("--no-long-cuts", action="store_true", help="nobody is cut off for longer than a lease")
    parser.add_argument("--keep", action="store_true", help="the folder, also when nothing was found")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("cluster: not run: it needs root for its network")
        return 77
    if options.inside:
        return reap_all(lambda: chaos_run.carry_out(lambda: make(options)))
    words = [*sys.argv, f"--seed={options.seed}", "--inside"]
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", sys.executable, *words]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
