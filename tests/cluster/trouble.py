"""What is done to a cluster, drawn from a seed: which fault, when, on whom and for how long. The same seed gives the same faults at the same times."""
import os
import random
import select
import signal
import threading
import time

# How often each comes.
WEIGHTS = {"worker_kill": 6, "host_crash": 4, "worker_term": 2, "api_kill": 5, "api_term": 1, "cut": 6, "cut_api": 2, "cut_long": 2, "narrow": 2,
           "postgres_crash": 3, "postgres_restart": 2, "postgres_stop": 2, "sessions_cut": 3, "storage_down": 3}
LONGEST_DOWN = 3.0   # seconds
LONGEST_CUT = 4.0
LONGEST_STOP = 2.0
LEASE = 15           # seconds, of an attempt: who is cut off for longer loses what it works on
# What a run may end of beside what tests/chaos/endings.py knows: its machine was lost, or cut off until its lease was over.
MAY_CAUSE = {"host_crash": {"attempt_lost"}, "cut_long": {"attempt_lost"}}


class Plan:
    """Until so many runs were acknowledged, and so much time is over; never longer than `most` seconds."""

    def __init__(self, seconds, runs, most, history):
        self.began = time.monotonic()
        self.seconds, self.runs, self.most, self.history = seconds, runs, most, history
        self.done = dict.fromkeys(WEIGHTS, 0)

    def acknowledged(self):
        return len({fact["run"] for fact in list(self.history.facts) if fact["what"] == "answered" and fact["status"] in (200, 201, 202)})

    def over(self):
        took = time.monotonic() - self.began
        return took >= self.most or (took >= self.seconds and self.acknowledged() >= self.runs)


class Trouble(threading.Thread):
    """Does one thing after the other until the plan is over; then everything runs again."""

    def __init__(self, cluster, plan, seed, pause, history, long_cuts=True):
        super().__init__(name="trouble")
        self.cluster, self.plan, self.pause, self.history = cluster, plan, pause, history
        self.random, self.error, self.slowest_start = random.Random(f"{seed} trouble"), None, 0.0
        self.weights = {kind: weight for kind, weight in WEIGHTS.items() if long_cuts or kind != "cut_long"}

    def run(self):
        try:
            while not self.plan.over():
                self._wait(min(self.random.expovariate(1 / self.pause), 4 * self.pause))
                if not self.plan.over():
                    self._one()
        except BaseException as error:  # told by who joins
            self.error = error

    def _wait(self, seconds):
        select.select([], [], [], seconds)

    def _one(self):
        kind = self.random.choices(list(self.weights), list(self.weights.values()))[0]
        amount, pick = self.random.random(), self.random.random()  # always drawn, whatever the fault needs
        self._notice_crashes()
        worker = self.cluster.workers[int(pick * len(self.cluster.workers))]
        began = time.time()
        facts = getattr(self, "_" + kind)(worker, amount) or {}
        self.plan.done[kind] += 1
        self.history.add("fault", site=self.cluster.name, kind=kind, began=round(began, 3), ended=round(time.time(), 3), **facts)

    def _notice_crashes(self):
        for node in self.cluster.nodes:
            if not node.running():
                self.history.add("crash", site=self.cluster.name, code=node.server.process.returncode, log=node.server.log_text()[-2000:])
                self._start(node)

    def _start(self, node):
        began = time.monotonic()
        node.start()
        self.slowest_start = max(self.slowest_start, time.monotonic() - began)

    # Nodes.
    def _worker_kill(self, node, amount):
        node.kill()
        self._wait(amount * LONGEST_DOWN if amount > 0.5 else 0)
        self._start(node)
        return {"node": node.name, "server_died": True}

    def _worker_term(self, node, amount):
        node.server.stop(60)
        self._start(node)
        return {"node": node.name}

    def _host_crash(self, node, amount):
        """The machine of a worker loses all its processes, and comes back with its disk."""
        node.crash()
        self._wait(amount * LONGEST_DOWN)
        self._start(node)
        return {"node": node.name, "server_died": True}

    def _api_kill(self, _, amount):
        self.cluster.api.kill()
        self._wait(amount * LONGEST_DOWN if amount > 0.7 else 0)
        self._start(self.cluster.api)

    def _api_term(self, *_):
        self.cluster.api.server.stop(60)
        self._start(self.cluster.api)

    # The network between them.
    def _without(self, host, seconds):
        host.cut()
        try:
            self._wait(seconds)
        finally:
            host.join()

    def _cut(self, node, amount):
        self._without(node.host, amount * LONGEST_CUT)
        return {"node": node.name}

    def _cut_api(self, _, amount):
        self._without(self.cluster.api.host, amount * LONGEST_CUT)

    def _cut_long(self, node, amount):
        """For longer than a lease: what it works on is another's then."""
        self._without(node.host, LEASE * (1.2 + amount))
        return {"node": node.name}

    def _narrow(self, node, amount):
        node.host.narrow("256kbit")
        try:
            self._wait(amount * LONGEST_CUT)
        finally:
            node.host.widen()
        return {"node": node.name}

    # What they share.
    def _postgres_crash(self, _, amount):
        self.cluster.postgres.stop("immediate")
        self._wait(amount * LONGEST_DOWN)
        self.cluster.postgres.start()

    def _postgres_restart(self, *_):
        self.cluster.postgres.restart()

    def _postgres_stop(self, _, amount):
        """All of its processes stand still."""
        pids = [self.cluster.postgres.process.pid, *children_of(self.cluster.postgres.process.pid)]
        for pid in pids:
            send(pid, signal.SIGSTOP)
        try:
            self._wait(amount * LONGEST_STOP)
        finally:
            for pid in pids:
                send(pid, signal.SIGCONT)

    def _sessions_cut(self, *_):
        self.cluster.postgres.cut_sessions()

    def _storage_down(self, _, amount):
        self.cluster.storage.outage()
        self._wait(amount * LONGEST_DOWN)
        self.cluster.storage.restore()


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def children_of(parent):
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(open(f"/proc/{entry}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(entry))
        except OSError:
            pass
    return found
