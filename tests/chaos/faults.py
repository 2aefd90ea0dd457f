"""What is done to servers, keepers and the machine, drawn from a seed: which fault, when, on whom and for how long.

A schedule asks for nothing but its own random numbers, so the same seed gives the same faults at the same times; what they hit is up to the machine.
"""
import contextlib
import json
import os
import pathlib
import random
import select
import signal
import subprocess
import threading
import time

from agents import keepers

# How often each fault comes, beside those that are counted (Plan).
WEIGHTS = {"server_kill": 30, "keeper_kill": 9, "server_stop": 4, "server_term": 3, "keeper_stop": 4, "warden_kill": 2, "warden_stop": 2,
           "init_kill": 3, "starve": 2, "fill": 2, "reload": 3, "takeover": 5}
LONGEST_DOWN = 1.5      # seconds that a killed server stays away, now and then
LONGEST_STOP = 3.0
LONGEST_STARVING = 1.0
LONGEST_TAKEOVER = 0.2  # until one of the two is killed
LONGEST_FULL = 2.0


class Plan:
    """How many of each are wanted, if that is said, and how long it goes on at least."""

    def __init__(self, seconds, counts):
        self.until, self.counts = time.monotonic() + seconds, counts
        self.done = dict.fromkeys(WEIGHTS, 0)

    def over(self):
        return time.monotonic() >= self.until and all(self.done[kind] >= wanted for kind, wanted in self.counts.items())

    def weights(self):
        """What has come often enough makes room for the rest once the time is over."""
        if time.monotonic() < self.until:
            return WEIGHTS
        return {kind: weight for kind, weight in WEIGHTS.items() if self.done[kind] < self.counts.get(kind, 0)}


class Faults(threading.Thread):
    """Does them one after the other, on sites chosen at random, until the plan is over; then everything runs again."""

    def __init__(self, sites, plan, seed, pause, history):
        super().__init__(name="faults")
        self.sites, self.plan, self.random, self.pause, self.history = sites, plan, random.Random(f"{seed} faults"), pause, history
        self.error, self.slowest_start = None, 0.0

    def run(self):
        try:
            while not self.plan.over():
                self._wait(min(self.random.expovariate(1 / self.pause), 5 * self.pause))
                if not self.plan.over():
                    self._one()
        except BaseException as error:  # told by who joins
            self.error = error

    def _wait(self, seconds):
        select.select([], [], [], seconds)

    def _one(self):
        weights = self.plan.weights()
        if not weights:
            return
        site = self.random.choices(self.sites, [s.weight for s in self.sites])[0]
        kind = self.random.choices(list(weights), list(weights.values()))[0]
        amount, pick = self.random.random(), self.random.random()  # always drawn, whatever the fault needs
        self._notice_crash(site)
        began = time.time()
        facts = getattr(self, "_" + kind)(site, amount, pick)
        if facts is not None:
            self.plan.done[kind] += 1
            self.history.add("fault", site=site.name, kind=kind, began=round(began, 3), ended=round(time.time(), 3), **facts)

    def _notice_crash(self, site):
        code = site.server.process.poll()
        if code is not None:
            self.history.add("crash", site=site.name, code=code, log=site.server.log_text()[-2000:])
            self._start(site)

    def _start(self, site):
        began = time.monotonic()
        site.start()
        self.slowest_start = max(self.slowest_start, time.monotonic() - began)

    # The server.
    def _server_kill(self, site, amount, pick):
        site.server.kill()
        down = amount * LONGEST_DOWN if pick < 0.1 else 0
        self._wait(down)
        self._start(site)
        return {"server_died": True, "down": round(down, 2)}

    def _server_term(self, site, amount, pick):
        site.server.stop(60)
        self._start(site)
        return {}

    def _server_stop(self, site, amount, pick):
        """Stopped for a while; now and then it dies of it, at the end or while its keepers go on."""
        os.kill(site.server.pid, signal.SIGSTOP)
        self._wait(amount * LONGEST_STOP)
        if pick < 0.3:
            site.server.kill()
            self._start(site)
        else:
            os.kill(site.server.pid, signal.SIGCONT)
        return {"server_died": pick < 0.3}

    def _reload(self, site, amount, pick):
        if not site.reloads():
            return None
        os.kill(site.server.pid, signal.SIGHUP)
        return {}

    def _takeover(self, site, amount, pick):
        """By a newer server; now and then one of the two is killed in the middle of it."""
        if not site.takes_over:
            return None
        victim = {0: "newer", 1: "older"}.get(int(pick * 6))

        def disturb(newer, older):
            if victim:
                self._wait(amount * LONGEST_TAKEOVER)
                dies = {"newer": newer, "older": older}[victim]
                dies.kill()
                dies.wait()
        trouble = site.take_over(disturb)
        if trouble and not victim:
            self.history.add("crash", site=site.name, code="takeover", log=str(trouble[0])[-2000:])
        if site.server.process.poll() is not None:
            self._start(site)
        return {"victim": victim, "server_died": bool(victim)}

    # What belongs to a run.
    def _keeper(self, site, pick):
        alive = sorted(keepers(site.data).items())
        return alive[int(pick * len(alive))] if alive else None

    def _keeper_kill(self, site, amount, pick):
        found = self._keeper(site, pick)
        if not found:
            return None
        run = run_of(site.data, found[1])
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[0], signal.SIGKILL)
            return {"run": run, "attempt": found[1]}
        return None

    def _keeper_stop(self, site, amount, pick):
        found = self._keeper(site, pick)
        if not found:
            return None
        run = run_of(site.data, found[1])
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[0], signal.SIGSTOP)
            try:
                if amount < 0.3:  # the server meets it anew while it stands still
                    site.server.kill()
                    self._start(site)
                self._wait(amount * LONGEST_STOP)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found[0], signal.SIGCONT)
            return {"run": run, "attempt": found[1], "server_died": amount < 0.3}
        return None

    def _init_kill(self, site, amount, pick):
        """The first process of a sandbox, and all that is in it."""
        found = self._keeper(site, pick)
        init = found and init_of(found[0])
        if not init:
            return None
        run = run_of(site.data, found[1])
        with contextlib.suppress(ProcessLookupError):
            os.kill(init, signal.SIGKILL)
            return {"run": run, "attempt": found[1]}
        return None

    def _warden_kill(self, site, amount, pick):
        found = wardens_of(site.server.pid)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return {} if found else None

    def _warden_stop(self, site, amount, pick):
        found = wardens_of(site.server.pid)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self._wait(amount * LONGEST_STOP)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return {} if found else None

    # The machine.
    def _starve(self, site, amount, pick):
        """Many busy processes beside the server, in its own share of the processors."""
        number = 4 * os.cpu_count()
        busy = [subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL) for _ in range(number)]
        try:
            self._wait(amount * LONGEST_STARVING)
        finally:
            for one in busy:
                one.kill()
            for one in busy:
                one.wait()
        return {"processes": number}

    def _fill(self, site, amount, pick):
        """The disk under the data folder is full, or nearly: some room below the reserve is left half of the time."""
        if not site.disk:
            return None
        left = int(pick * 2 * site.disk.reserve) if pick < 0.5 else 0
        site.disk.shrink(left)
        try:
            self._wait(amount * LONGEST_FULL)
        finally:
            site.disk.grow()
        return {"left": left}


def run_of(data, attempt):
    """The run of an attempt, from the first record of its journal (docs/formats/journal.md); None before there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        with open(pathlib.Path(data, "attempts", attempt, "journal"), "rb") as journal:
            return json.loads(journal.readline().split(b" ", 1)[1])["data"]["runId"]
    return None


def init_of(keeper):
    """The process whose pidfd this keeper holds: its sandbox's first one."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{keeper}/fdinfo"):
            for line in pathlib.Path(f"/proc/{keeper}/fdinfo/{fd}").read_text().splitlines():
                if line.startswith("Pid:") and int(line.split()[1]) > 0:
                    return int(line.split()[1])
    return None


def wardens_of(server):
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if pathlib.Path(f"/proc/{int(entry)}/cmdline").read_bytes().split(b"\0")[1] == b"warden":
                parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == server:
                    found.append(int(entry))
    return found
