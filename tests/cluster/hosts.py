"""Hosts of a cluster on one machine: each a network, a mount and a pid namespace of its own, on a bridge that somebody can cut them off from.

Needs root, in a network namespace of the suite's own (run.py makes it). Whatever is killed here is a process in such a namespace.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

from harness import Server, wait_for

NETWORK = "10.77.0"
MIDDLE = f"{NETWORK}.1"  # what hosts share is there: PostgreSQL, the object store, receivers of webhooks
BRIDGE = "ar-middle"

# The first process of a host takes in what nobody waits for.
FIRST = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
print("up", flush=True)
while True:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    signal.sigwait({signal.SIGCHLD})
"""


def ip(*words, check=True):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"ip {' '.join(map(str, words))}: {done.stderr}")
    return done.returncode == 0


def make_network():
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("addr", "add", f"{MIDDLE}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


class HostServer(Server):
    """`agentrouter serve` inside a host: what is started here is nsenter, and the server its child."""

    def __init__(self, host, **more):
        super().__init__(prefix=host.enter(), **more)
        self.host_of = host

    def start(self, seconds=60):
        super().start(seconds)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0])
        return self

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.gone()

    def gone(self):
        """After whatever has ended it."""
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()

    def stop(self, seconds=60):
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the server did not stop on SIGTERM") from None
        if self.process and not self.process.stdout.closed:
            self.gone()
        return self.process.returncode if self.process else None


class Host:
    """`number` is the last part of its address. It is up or down; its data folder outlives it."""

    def __init__(self, name, number, data):
        self.name, self.address, self.link, self.data = name, f"{NETWORK}.{number}", f"ar-{name}"[:15], pathlib.Path(data)
        self.data.mkdir()
        self.first = None

    def boot(self):
        self.first = subprocess.Popen(["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", sys.executable, "-c", FIRST],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self.first.stdout.readline() != b"up\n":
            raise AssertionError(f"{self.name} does not come up")
        self.pid = int(pathlib.Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text().split()[0])
        ip("link", "delete", self.link, check=False)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.pid)
        ip("link", "set", self.link, "master", BRIDGE, "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            subprocess.run([*self.enter(), "ip", *words], check=True)

    def enter(self):
        """Before a command that is to run there."""
        return ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", "--"]

    def crash(self):
        """As a machine that loses power: all its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.first.wait(30)
        self.first.stdout.close()
        wait_for(lambda: ip("link", "show", self.link, check=False) is False or ip("link", "delete", self.link, check=False), 20,
                 f"the link of {self.name} to go")

    def is_up(self):
        return self.first is not None and self.first.poll() is None

    def cut(self):
        ip("link", "set", self.link, "down")

    def join(self):
        ip("link", "set", self.link, "up")

    def narrow(self, rate):
        subprocess.run(["tc", "qdisc", "add", "dev", self.link, "root", "tbf", "rate", rate, "burst", "4kb", "latency", "400ms"], check=True)

    def widen(self):
        subprocess.run(["tc", "qdisc", "del", "dev", self.link, "root"], check=True)


class Node:
    """A host and the server on it."""

    def __init__(self, host, role, arguments, env, agents):
        self.host, self.role, self.server = host, role, None
        self.arguments, self.env, self.agents = arguments, env, agents

    @property
    def name(self):
        return self.host.name

    def start(self):
        if not self.host.is_up():
            self.host.boot()
        self.server = HostServer(self.host, data=self.host.data, agents_dir=self.agents, env=self.env, listen=f"{self.host.address}:8787",
                                 args=("--role", self.role, *self.arguments))
        self.server.start(120)

    def kill(self):
        self.server.kill()

    def crash(self):
        self.host.crash()
        self.server.gone()

    def running(self):
        return self.server is not None and self.server.running()


