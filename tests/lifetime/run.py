#!/usr/bin/env python3
"""kill -9 of server, keepers and warden at random moments, again and again; afterwards nothing is left: run.py [KILLS] [--seed N] [--as root|user] [--warm N].

Needs the targets `agentrouter` and `scripted_agent`. As root it lives in a pid and a mount namespace of its own, so that processes, mounts and
namespaces can be counted exactly, and tries a server of root and one of a plain user in turn.
"""
import argparse
import contextlib
import os
import pathlib
import random
import select
import shutil
import signal
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support")]

import world  # noqa: E402
from agents import AgentsDir, keepers  # noqa: E402
from first_process import in_own_space, reap_all  # noqa: E402
from harness import Server, wait_for  # noqa: E402

USER = 20001
ACTIVE = 4          # runs at the same time
KILLS_IN_A_ROUND = 20
LONGEST_PAUSE = 0.25
TASKS = ("sim: sh echo one > one; mkdir -p d; echo two > d/two\nsim: reply done",
         "sim: sh for i in $(seq 300); do echo $i > f$i; done; sleep .1 & (sleep 600 &)\nsim: reply done",
         "sim: sleep 1\nsim: sh head -c 3000000 /dev/zero > big\nsim: reply done",
         "sim: sh mkdir -p a/b/c; ln -s / a/root; mkfifo a/pipe\nsim: edit one one => 1\nsim: reply done",
         "sim: hang")


class Lifetime:
    def __init__(self, name, kills, seed, warm=0):
        self.name, self.kills, self.random, self.warm = name, kills, random.Random(f"{seed} {name}"), warm
        self.user = USER if name == "user" else None
        self.agents = AgentsDir()
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-lifetime-"))
        if warm:
            (self.data / "agentrouter.toml").write_text(f"[machine]\nwarm_sandboxes = {warm}\n")
        if self.user:
            os.chown(self.data, self.user, self.user)
        self.server = Server(data=self.data, agents_dir=self.agents.path, user=self.user, env={"HOME": str(self.data)} if self.user else {},
                             args=("--sim", "--concurrency", "6", "--log-level", "warn"))
        self.killed, self.statuses, self.failures, self.slowest = {}, {}, {}, 0.0

    def start(self):
        began = time.monotonic()
        self.server.start(60)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def active(self):
        return self.server.call("GET", "/v1/runs?status=active&limit=100")["items"]

    # Something to be killed in the middle of.
    def fill(self):
        active = self.active()
        for run in self.random.sample(active, min(len(active), 1)):
            if self.random.random() < 0.3:
                self.server.call("POST", f"/v1/runs/{run['id']}/cancel", expect=(200, 409))
        for _ in range(ACTIVE - len(active)):
            ended = self.server.call("GET", "/v1/runs?status=completed&limit=20")["items"]
            task = self.random.choice(TASKS)
            before = self.random.choice(ended)["id"] if ended and self.random.random() < 0.4 else None
            if before and self.random.random() < 0.3:
                self.server.call("POST", f"/v1/runs/{before}/fork", {"message": task}, expect=(200, 201, 202, 409))
            elif before:
                self.server.call("POST", f"/v1/runs/{before}/messages", {"message": task}, expect=(200, 201, 202, 409))
            else:
                self.server.create(task)

    def wardens(self):
        found = []
        for pid in world.pids():
            with contextlib.suppress(OSError):
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if command[1:2] == [b"warden"]:
                    found.append(pid)
        return found

    def alive(self):
        """Keepers, once there are some."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: keepers(self.data), 2, "a keeper")
        return sorted(keepers(self.data))

    def kill_one(self):
        what = self.random.choices(("server", "keeper", "warden"), (4, 5, 1))[0]
        if what == "warden" and not self.wardens():
            what = "server"
        if what == "keeper":
            alive = self.alive()
            if not alive:
                what = "server"
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(alive), signal.SIGKILL)
        if what == "warden":
            for pid in self.wardens():
                os.kill(pid, signal.SIGKILL)
        if what == "server":
            self.server.kill()
            self.start()
        self.killed[what] = self.killed.get(what, 0) + 1

    def pause(self):
        select.select([], [], [], self.random.random() * LONGEST_PAUSE)

    # Everything comes to its end, and is what it was before the first run.
    def settle(self, before):
        if self.random.random() < 0.5:
            self.server.kill()
            self.start()

        def cancel_all():
            active = self.active()
            for run in active:
                self.server.call("POST", f"/v1/runs/{run['id']}/cancel", expect=(200, 409))
            return not active
        wait_for(cancel_all, 90, f"all runs to end: {[r['status'] for r in self.active()]}")
        for run in self.server.call("GET", "/v1/runs?limit=100")["items"]:
            self.server.call("POST", f"/v1/runs/{run['id']}/close", expect=(200, 202, 204, 404, 409))
        if not self.warm:
            self.compare(before, "with the server idle", allowed=2)
            return
        # An idle server has sandboxes that wait, and takes them with it.
        self.files_are_gone(before)
        self.server.stop()
        self.compare(before, "after the server, with sandboxes made ahead")
        self.start()

    def compare(self, before, when, allowed=0):
        """`allowed`: processes more than before, the server's own."""
        last = {}

        def same():
            last.clear()
            last.update(world.differs(before, self.data))
            if allowed and len(last.get("processes", {}).get("new", [])) <= allowed and not last["processes"]["missing"]:
                del last["processes"]
            return not last
        try:
            wait_for(same, 30, "nothing to be left")
        except AssertionError:
            raise AssertionError(f"{when}, left: {last}\n{self.server.log_text()[-3000:]}") from None

    def run(self):
        before = world.world(self.data)
        began = time.monotonic()
        self.start()
        done = 0
        while done < self.kills:
            for _ in range(min(KILLS_IN_A_ROUND, self.kills - done)):
                self.fill()
                self.pause()
                self.kill_one()
                done += 1
            self.settle(before)
            print(f"  {self.name}: {done} kills, nothing left, {time.monotonic() - began:.0f} s", flush=True)
        self.count_ends()
        if self.warm:
            self.see_warm(before)
        self.server.stop()
        self.compare(before, "after the server")
        print(f"{self.name}: {done} kills ({', '.join(f'{n} of {w}' for w, n in sorted(self.killed.items()))}), slowest start {self.slowest:.1f} s, "
              f"runs: {self.statuses}, failures: {self.failures}; left: nothing")

    def files_are_gone(self, before):
        def rest():
            inside = ("processes", "netns", "mountns", "namespaces", "cgroups")
            return {k: v for k, v in world.differs(before, self.data).items() if k not in inside}
        wait_for(lambda: not rest(), 30, f"nothing but sandboxes that wait to be left: {rest()}")

    def see_warm(self, before):
        """Sandboxes do wait, when nothing runs."""
        run = self.server.create("sim: reply done")["id"]
        wait_for(lambda: not self.active(), 60, f"{run} to end")
        self.server.call("POST", f"/v1/runs/{run}/close", expect=(200, 202, 204, 404, 409))
        self.files_are_gone(before)
        wait_for(lambda: len(world.differs(before, self.data).get("netns", {}).get("new", [])) == self.warm and not keepers(self.data), 30,
                 "sandboxes that were made ahead")

    def count_ends(self):
        cursor = ""
        while True:
            page = self.server.call("GET", f"/v1/runs?limit=100{cursor}")
            for run in page["items"]:
                self.statuses[run["status"]] = self.statuses.get(run["status"], 0) + 1
                code = run.get("failure", {}).get("code")
                if code:
                    self.failures[code] = self.failures.get(code, 0) + 1
            if not page.get("nextCursor"):
                return
            cursor = f"&cursor={page['nextCursor']}"

    def remove(self):
        with contextlib.suppress(Exception):
            if self.server.process.poll() is None:
                self.server.kill()
        self.agents.remove()
        shutil.rmtree(self.data, ignore_errors=True)
        pathlib.Path(f"{self.data}.log").unlink(missing_ok=True)


def inside(options):
    print(f"seed {options.seed}", flush=True)
    for name in options.names or (["root", "user"] if os.geteuid() == 0 else ["self"]):
        one = Lifetime(name, options.kills, options.seed, options.warm)
        try:
            one.run()
        except AssertionError as error:
            print(f"{name}: {error}")
            return 1
        finally:
            one.remove()
            sys.stdout.flush()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--as", dest="names", action="append", choices=("root", "user"))
    parser.add_argument("--warm", type=int, default=0, help="machine.warm_sandboxes of the servers")
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    if os.geteuid() == 0 and not options.inside:
        return in_own_space([*sys.argv, "--inside"])
    return reap_all(lambda: inside(options)) if options.inside else inside(options)


if __name__ == "__main__":
    sys.exit(main())
