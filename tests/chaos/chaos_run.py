"""Chaos on whatever has sites: load and faults, then peace, a last turn of conversations, reading, closing, judging. run.py is its command; tests/cluster
gives it a site of several machines."""
import collections
import contextlib
import json
import os
import pathlib
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import judge  # noqa: E402
import world  # noqa: E402
from client import Api, Away  # noqa: E402
from faults import WEIGHTS, Faults, Plan  # noqa: E402
from harness import wait_for  # noqa: E402
from history import History  # noqa: E402
from load import Customer, Person  # noqa: E402
from mcp_http import McpHttp  # noqa: E402
from reading import Reader  # noqa: E402
from sites import USER, Site  # noqa: E402
from webhook_receiver import Receiver  # noqa: E402

SECRET = "Bearer chaos-2f9b7c"
SETTLES = 180         # seconds until everything that goes on has ended, once nothing dies any more
MOST_TOLD = 10        # violations of a rule; judge.py tells the others
RATE = 40             # a line about how it goes every so many seconds


class Watchers:
    """The subscribers of one site, in a process of their own."""

    def __init__(self, site, number, seed, folder):
        self.site, self.out = site, folder / f"{site.name}-watched.jsonl"
        env = {**os.environ, "PYTHONPATH": str(HERE.parent / "support"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen([sys.executable, str(HERE / "watchers.py"), *map(str, site.address), str(number), f"{seed} {site.name}", str(self.out)],
                                        stdin=subprocess.PIPE, env=env)
        self.lock = threading.Lock()

    def announce(self, run):
        with self.lock:
            self.process.stdin.write(run.encode() + b"\n")
            self.process.stdin.flush()

    def finish(self, history):
        self.process.stdin.write(b"finish\n")
        self.process.stdin.close()
        if self.process.wait(400):
            raise AssertionError(f"the subscribers of {self.site.name} ended with {self.process.returncode}")
        connections = events = 0
        for line in self.out.read_text().splitlines():
            seen = json.loads(line)
            connections += len(seen["connections"])
            events += sum(len(c["ids"]) for c in seen["connections"])
            history.add("watched", site=self.site.name, **seen)
        return connections, events


class Chaos:
    title, receivers = "chaos", "127.0.0.1"  # what verdicts begin with, and where webhooks go

    def __init__(self, options):
        self.options, self.folder = options, pathlib.Path(tempfile.mkdtemp(prefix=f"agentrouter-{self.title}-"))
        self.folder.chmod(0o755)
        self.history, self.over, self.decided = History(self.folder / "history.jsonl"), threading.Event(), threading.Event()
        self.remote, self.sites, self.watchers, self.threads = McpHttp(SECRET), [], {}, []
        self.receiver = Receiver(host=self.receivers).__enter__()
        for server in (self.remote.server, self.receiver.server):
            server.handle_error = lambda *_: None  # who asks may be killed in the middle of it

    def make_sites(self):
        user = USER if os.geteuid() == 0 else None
        one = {"folder": self.folder, "mcp": self.remote.url, "word": SECRET, "hooks": f"127.0.0.1:{self.receiver.port}"}
        self.sites = [Site("scripted", weight=4, scripted=True, concurrency=6, **one)]
        if not self.options.scripted_only:
            self.sites.append(Site("real", weight=1, scripted=False, user=user, concurrency=3, **one))
        for site in self.sites:
            site.pause = self.options.pace
            site.before = world.world(site.data)

    def api(self, site):
        return Api(site.address, self.history.reporter(site.name))

    def start(self):
        options = self.options
        for site in self.sites:
            site.start()
            self.api(site).send("POST", "/v1/webhooks", {"url": self.receiver.url(f"/{site.name}"), "events": list(judge.TOLD)})
            share = options.subscribers if len(self.sites) == 1 else options.subscribers * site.weight // 5
            self.watchers[site.name] = Watchers(site, share, options.seed, self.folder)
            customers = options.customers if site.scripted else max(1, options.customers // 4)
            for number in range(customers):
                self.threads.append(Customer(site, self.api(site), self.history, options.seed, number, self.over, self.watchers[site.name].announce))
            self.threads.append(Person(site, self.api(site), self.history, options.seed, self.decided))
        for thread in self.threads:
            thread.start()

    def torment(self):
        options = self.options
        counts = {k: v for k, v in (("server_kill", options.server_kills), ("keeper_kill", options.keeper_kills)) if v}
        plan = Plan(options.seconds, counts)
        faults = Faults(self.sites, plan, options.seed, options.pause, self.history)
        began, told = time.monotonic(), time.monotonic()
        faults.start()
        while faults.is_alive():
            faults.join(1)
            if time.monotonic() - told >= RATE:
                told = time.monotonic()
                print(f"  {told - began:.0f} s: {short(plan.done)}, {sum(f['what'] == 'answered' for f in self.history.facts)} requests", flush=True)
        if faults.error:
            raise faults.error
        self.took, self.plan, self.slowest = time.monotonic() - began, plan, faults.slowest_start

    # Nothing dies any more.
    def settle(self):
        """Whatever goes on comes to its end by itself, in bounded time; what does not is seen by the judge."""
        self.over.set()
        began = time.monotonic()
        for thread in self.threads:
            if isinstance(thread, Customer):
                thread.join(max(0, SETTLES - (time.monotonic() - began)))
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not any(self.active(site) for site in self.sites), max(1, SETTLES - (time.monotonic() - began)), "the end of all runs")
        self.settled = time.monotonic() - began
        for thread in self.threads:
            if thread.error:
                raise thread.error

    def active(self, site):
        select.select([], [], [], 0.2)
        return self.api(site).get("/v1/runs?status=active&limit=100").json()["items"]

    def last_turns(self):
        """Conversations go on as if nothing had happened: those first in which something did."""
        choose = random.Random(f"{self.options.seed} last")
        done = []
        for site in self.sites:
            reader = Reader(self.api(site))
            latest, troubled = {}, set()
            for run in reversed(reader.pages("/v1/runs?limit=100", "cursor", "nextCursor")):
                latest[run["conversationId"]] = run["id"]
                if run["status"] != "completed":
                    troubled.add(run["conversationId"])
            conversations = sorted(latest, key=lambda one: (one not in troubled, choose.random()))
            share = self.options.last_turns if len(self.sites) == 1 else self.options.last_turns * site.weight // 5
            done += self.talk(site, [latest[one] for one in conversations][:share])
        return len(done)

    def talk(self, site, runs):
        left, done, lock = list(runs), [], threading.Lock()
        customer = Customer(site, self.api(site), self.history, self.options.seed, "last", self.over, self.watchers[site.name].announce)

        def work():
            while True:
                with lock:
                    if not left:
                        return
                    run = left.pop()
                record = self.api(site).get(f"/v1/runs/{run}/record").json()
                if record["conversation"]["state"] != "open" or record["state"] not in judge.ENDED:
                    continue
                message = f"sim: {customer.evidence('free')}\nsim: reply Still here."
                turn = customer.ask("message", f"/v1/runs/{run}/messages", {"message": message}, about=run, last=True)
                if turn:
                    customer.follow(turn)
                    done.append(turn)
        workers = [threading.Thread(target=work) for _ in range(3)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        return done

    def read(self):
        account, evidence = {}, {}
        for site in self.sites:
            account[site.name] = Reader(self.api(site)).everything(lambda text, name=site.name: print(f"  {name}: {text}", flush=True))
            evidence[site.name] = {"calls": [], "told": self.told(site, account[site.name]["runs"]), "left": {}}
        calls = [arguments.get("text", "") for _, arguments in self.remote.calls]
        evidence[self.sites[-1].name]["calls"] = calls
        return account, evidence

    def told(self, site, runs):
        """What webhooks were sent, once each message that is due has had time to come: [type, run, sequence, message id]..."""
        due = {(event["type"], run, event["sequence"]) for run, entry in runs.items() for event in entry["events"] if event["type"] in judge.TOLD}
        found = []

        def all_came():
            found[:] = [[m["data"]["type"], m["data"]["data"]["runId"], m["data"]["data"]["sequence"], m["headers"]["webhook-id"]]
                        for m in list(self.receiver.messages) if m["path"] == f"/{site.name}"]
            return due <= {tuple(one[:3]) for one in found}
        with contextlib.suppress(AssertionError):
            wait_for(all_came, 90, "the messages of webhooks")
        return found

    def clear(self, account, evidence):
        """Everything is closed; then a machine holds what it held before."""
        for site in self.sites:
            api = self.api(site)
            for conversation in account[site.name]["turns"]:
                with contextlib.suppress(Away):
                    api.send("POST", f"/v1/runs/{conversation}/close", {})
        for site in self.sites:
            with contextlib.suppress(AssertionError):
                wait_for(lambda at=site: not entries(at), 90, "what runs have left to be removed")
        for site in self.sites:
            site.server.stop(60)
        for site in self.sites:
            evidence[site.name]["left"] = self.left(site)

    def left(self, site):
        found = {}

        def nothing():
            found.clear()
            found.update({kind: change for kind, change in world.differs(site.before, site.data).items() if kind != "entries"})
            if entries(site):
                found["entries"] = entries(site)
            return not found
        with contextlib.suppress(AssertionError):
            wait_for(nothing, 30, "nothing to be left")
        return found

    def run(self):
        self.make_sites()
        self.start()
        print(f"{self.title}: seed {self.options.seed}, {self.folder}", flush=True)
        self.torment()
        self.settle()
        turns = self.last_turns()
        self.decided.set()
        seen = [self.watchers[site.name].finish(self.history) for site in self.sites]
        account, evidence = self.read()
        self.clear(account, evidence)
        found = judge.violations(self.history.facts, account, evidence)
        if found or self.options.keep:
            for name, value in (("account.json", account), ("evidence.json", evidence)):
                (self.folder / name).write_text(json.dumps(value))
        self.tell(account, found, turns, seen)
        return bool(found)

    def tell(self, account, found, turns, seen):
        told = collections.Counter()
        for rule, site, text in found:
            told[rule] += 1
            if told[rule] <= MOST_TOLD:
                print(f"violation: {rule} ({site}): {text[:1000]}")
        ends = {}
        for one in account.values():
            for entry in one["runs"].values():
                end = entry["run"].get("failure", {}).get("code") or entry["run"]["status"]
                ends[end] = ends.get(end, 0) + 1
        events = sum(len(entry["events"]) for one in account.values() for entry in one["runs"].values())
        print(f"  runs: {dict(sorted(ends.items()))}, {events} events; {turns} conversations continued; all ended {self.settled:.1f} s after the last fault; "
              f"slowest start {self.slowest:.2f} s")
        print(f"  {self.options.subscribers} subscribers: {sum(c for c, _ in seen)} connections, {sum(e for _, e in seen)} events; "
              f"peak of this program {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
        print(f"{self.title}: {'FAILED' if found else 'passed'}: seed {self.options.seed}, {self.took:.0f} s, {short(self.plan.done)}, {sum(ends.values())} runs, "
              f"{len(found)} violations", flush=True)

    def remove(self, failed):
        with contextlib.suppress(OSError, ValueError):
            for one in self.watchers.values():
                one.process.kill()
                one.process.wait()
        for site in self.sites:
            site.remove()
        self.remote.close()
        self.receiver.__exit__()
        self.history.close()
        if failed or self.options.keep:
            print(f"kept: {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def entries(site):
    """What lies in the data folder beyond records; uploads are kept for their time."""
    return [one for one in world.entries_of(site.data) if not one.startswith("uploads/")]


def short(done):
    return ", ".join(f"{number} {kind}" for kind, number in done.items() if number)


def carry_out(make):
    """The exit code of the chaos that `make` gives; what it needs is removed, and what it found kept."""
    chaos, failed = make(), True
    try:
        failed = chaos.run()
    except Exception:
        traceback.print_exc()
        print(f"{chaos.title}: FAILED: seed {chaos.options.seed}: it did not come to a verdict", flush=True)
    finally:
        chaos.remove(failed)
    return int(failed)
