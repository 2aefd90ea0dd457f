#!/usr/bin/env python3
"""What a run notices of a bomb in another run, and what the API does: run.py [--rounds N] [--seconds S] [--as root|user] [--bomb NAME] [--most RATIO].

A server with two runs: in one a command that takes about a second again and again, in the other one bomb after the other. Every measured stretch
with a bomb has a quiet one right before it; their 99th percentiles are compared. Needs the targets `agentrouter` and `scripted_agent`.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support")]

from agents import AgentsDir  # noqa: E402
from harness import KEY, Server, wait_for  # noqa: E402

USER = 20001
NOTICED = 0.3  # seconds: what is faster is no delay to anybody, whatever the ratio


def python(*lines):
    return "sim: sh python3 -c '" + "\\n".join(lines) + "'\nsim: reply over"


BOMBS = {
    "fork": python("import os", "while 1:", "  try:", "    if os.fork() == 0:", "      while 1:", "        try: os.fork()", "        except OSError: pass",
                   "  except OSError: pass"),
    "memory": "sim: sh while :; do python3 -c 'b=[bytearray(b\"x\"*(4<<20)) for i in range(4000)]' 2>/dev/null; done\nsim: reply over",
    "cpu": "sim: sh for i in $(seq 32); do (while :; do :; done) & done; wait\nsim: reply over",
    "connection": python("import socket", "k=[]", "while 1:", "  try:", "    s=socket.create_connection((\"127.83.1.1\",80),1)",
                         "    s.sendall(b\"GET / HTTP/1.1\")", "    k.append(s)", "  except OSError: k.clear()"),
    "output": "sim: flood 250000000\nsim: reply over",
    "disk": "sim: sh i=0; while :; do i=$((i+1)); head -c 50000000 /dev/zero > f$i || exit; done\nsim: reply over",
}
# About a second: work and waiting in turn, with a file and a process each time, as commands of an agent are.
COMMAND = ("sim: sh python3 -c 'import os,subprocess,time\\nout=open(\"/workspace/times\",\"a\")\\nwhile 1:\\n  t=time.monotonic()\\n  for i in range(40):\\n"
           "    end=time.process_time()+.008\\n    while time.process_time()<end: pass\\n    time.sleep(.012)\\n"
           "    if i%10==0: subprocess.run([\"/bin/true\"])\\n    open(\"f\",\"w\").write(\"x\"*10000)\\n"
           "  out.write(f\"{time.monotonic()} {time.monotonic()-t}\\\\n\");out.flush()'\nsim: reply over")


def percentile(samples, part):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Sampler(threading.Thread):
    """Times requests one after the other on one connection."""

    def __init__(self, server, run_id):
        super().__init__(daemon=True)
        self.server, self.run_id, self.done = server, run_id, threading.Event()
        self.samples = {"GET run": [], "POST create": []}
        self.created = []

    def request(self, connection, method, path, body=None):
        began = time.monotonic()
        connection.request(method, path, body, {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
        reply = connection.getresponse()
        data = reply.read()
        if reply.status not in (200, 201):
            raise AssertionError(f"{method} {path}: {reply.status} {data[:200]!r}")
        return began, time.monotonic() - began, data

    def run(self):
        connection = http.client.HTTPConnection(self.server.host, int(self.server.port), timeout=60)
        count = 0
        while not self.done.is_set():
            count += 1
            self.samples["GET run"].append(self.request(connection, "GET", f"/v1/runs/{self.run_id}")[:2])
            if count % 5 == 0:
                sample = self.request(connection, "POST", "/v1/runs", json.dumps({"task": "sim: reply x"}))
                self.samples["POST create"].append(sample[:2])
                self.created.append(json.loads(sample[2])["id"])
            self.done.wait(0.004)
        connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        self.join()


class Neighbours:
    def __init__(self, user, bombs, rounds, seconds):
        self.user, self.bombs, self.rounds, self.seconds = user, bombs, rounds, seconds
        self.agents = AgentsDir()
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-neighbours-"))
        (self.data / "agentrouter.toml").write_text("[sandbox.limits]\ndisk_bytes = 500000000\nmemory_bytes = 536870912\npids = 256\n")
        if user:
            os.chown(self.data, user, user)
        self.server = Server(data=self.data, agents_dir=self.agents.path, user=user, env={"HOME": str(self.data)} if user else {},
                             args=("--sim", "--concurrency", "2", "--log-level", "warn"))
        self.figures = {}

    def wait(self, seconds):
        select.select([], [], [], seconds)

    def commands(self):
        """(end, duration) of each command of the neighbour so far."""
        (path,) = self.data.glob(f"attempts/{self.attempt}/box/upper/times")
        return [tuple(map(float, line.split())) for line in path.read_text().splitlines()]

    def measure(self, sampler, kind, what):
        began = time.monotonic()
        self.wait(self.seconds)
        ended = time.monotonic()
        for name, samples in sampler.samples.items():
            self.figures.setdefault((what, name), {}).setdefault(kind, []).extend(t for at, t in list(samples) if began <= at <= ended)
        self.figures.setdefault((what, "1 s command"), {}).setdefault(kind, []).extend(
            t for at, t in self.commands() if began <= at - t / 2 <= ended)

    def clear_queue(self, sampler):
        created, sampler.created = sampler.created, []
        for run in created:
            self.server.call("POST", f"/v1/runs/{run}/cancel", expect=(200, 409))

    def one(self, name, task, quiet):
        with Sampler(self.server, quiet) as sampler:
            self.measure(sampler, "quiet", name)
        self.clear_queue(sampler)
        bomb = self.server.create(task)["id"]
        self.server.wait_until(bomb, lambda e: e["type"] in ("agent.tool_started", "agent.started"), 30)
        with Sampler(self.server, quiet) as sampler:
            self.measure(sampler, "bomb", name)
        self.server.call("POST", f"/v1/runs/{bomb}/cancel", expect=(200, 409))
        self.clear_queue(sampler)
        run, _ = self.server.finish(bomb, 60)
        self.figures.setdefault("ends", {}).setdefault(name, set()).add(run.get("failure", {}).get("code", run["status"]))

    def run(self):
        self.server.start()
        quiet = self.server.create("sim: reply x")["id"]
        self.server.finish(quiet)
        neighbour = self.server.create(COMMAND)["id"]
        self.server.wait_until(neighbour, lambda e: e["type"] == "agent.tool_started", 30)
        (self.attempt,) = os.listdir(self.data / "attempts")
        wait_for(lambda: any(self.data.glob(f"attempts/{self.attempt}/box/upper/times")), 20, "the neighbour's first command")
        for _ in range(self.rounds):
            for name in self.bombs:
                self.one(name, BOMBS[name], quiet)
        if self.server.run(neighbour)["status"] != "running":
            raise AssertionError("the neighbour has ended")
        self.server.call("POST", f"/v1/runs/{neighbour}/cancel", expect=(200,))
        self.server.finish(neighbour)

    def show(self, title):
        print(f"\n{title}\n{'bomb':12}{'':14}{'quiet p99':>12}{'bomb p99':>12}{'ratio':>8}{'samples':>10}   the bomb ended")
        worst = 0
        for key, sides in self.figures.items():
            if key == "ends":
                continue
            if not sides["quiet"] or not sides["bomb"]:
                print(f"{key[0]:12}{key[1]:14}too few samples: longer stretches are needed (--seconds)")
                continue
            quiet, bomb = percentile(sides["quiet"], .99), percentile(sides["bomb"], .99)
            if bomb > NOTICED:
                worst = max(worst, bomb / quiet)
            ends = ", ".join(sorted(self.figures["ends"][key[0]]))
            print(f"{key[0]:12}{key[1]:14}{quiet * 1000:9.1f} ms{bomb * 1000:9.1f} ms{bomb / quiet:8.2f}{len(sides['bomb']):10}   {ends}")
        return worst

    def remove(self):
        with contextlib.suppress(Exception):
            self.server.stop()
        self.agents.remove()
        shutil.rmtree(self.data, ignore_errors=True)
        pathlib.Path(f"{self.data}.log").unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--as", dest="names", action="append", choices=("root", "user"))
    parser.add_argument("--bomb", dest="bombs", action="append", choices=BOMBS, help="only this one; may be given more than once")
    parser.add_argument("--most", type=float, default=0, help=f"fail when a ratio is above it and the figure above {NOTICED} s")
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    if os.geteuid() == 0 and not options.inside:
        again = [sys.executable, __file__, *sys.argv[1:], "--inside"]
        return subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *again], check=False).returncode
    worst = 0
    for name in options.names or (["root", "user"] if os.geteuid() == 0 else ["self"]):
        one = Neighbours(USER if name == "user" else None, options.bombs or BOMBS, options.rounds, options.seconds)
        try:
            one.run()
            worst = max(worst, one.show(f"server as {name}"))
        finally:
            one.remove()
    if options.most and worst > options.most:
        print(f"a ratio of {worst:.1f} is above {options.most}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
