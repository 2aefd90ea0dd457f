"""Plays a service manager for one server: sockets that it opens itself, what the server tells it, and its watchdog."""
import contextlib
import os
import pathlib
import select
import socket
import subprocess
import tempfile

from harness import PROGRAM, Deadline, Server

# Sets LISTEN_PID, which only the process itself knows, and puts the sockets where they belong.
EXEC = r"""
import os, sys
fds = [int(word) for word in sys.argv[1].split(",") if word]
for place, fd in enumerate(fds):
    os.dup2(fd, 100 + place)
for place in range(len(fds)):
    os.dup2(100 + place, 3 + place)
    os.close(100 + place)
for name in ("LISTEN_PID", "WATCHDOG_PID"):
    if os.environ.get(name) == "self":
        os.environ[name] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        self.folder = tempfile.TemporaryDirectory(prefix="agentrouter-manager-")
        self.name = f"@agentrouter-manager-{os.getpid()}-{id(self)}" if abstract else str(pathlib.Path(self.folder.name, "notify"))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        self.said = []  # (pid, assignments)

    def hear(self, seconds=30):
        """The next message as a dict with `pid`, the sender's."""
        deadline = Deadline(seconds)
        while not select.select([self.socket], [], [], deadline.left("a word to the service manager"))[0]:
            pass
        data, ancillary, _, _ = self.socket.recvmsg(4096, 4096)
        words = dict(line.split("=", 1) for line in data.decode().splitlines())
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                words["pid"] = int.from_bytes(value[:4], "little")
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                for place in range(0, len(value), 4):
                    os.close(int.from_bytes(value[place:place + 4], "little"))
        self.said.append(words)
        return words

    def until(self, name, seconds=30):
        """The next message that assigns `name`."""
        deadline = Deadline(seconds)
        while name not in (words := self.hear(deadline.left(f"{name} to be said"))):
            pass
        return words

    def close(self):
        self.socket.close()
        self.folder.cleanup()


def has_ended(pid):
    """Also when nobody has asked for its end yet."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def listening():
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def served(manager, sockets=(), names=None, env=None, **more):
    """A server that `manager` would start, with these listening sockets."""
    variables = {"NOTIFY_SOCKET": manager.name, **(env or {})}
    fds = [each.fileno() for each in sockets]
    if fds:
        variables.update(LISTEN_PID="self", LISTEN_FDS=str(len(fds)))
        if names:
            variables["LISTEN_FDNAMES"] = ":".join(names)
    server = ManagedServer(env=variables, prefix=("/usr/bin/python3", "-c", EXEC, ",".join(map(str, fds))), **more)
    server.fds = fds
    return server


class ManagedServer(Server):
    fds = ()

    def launch(self, seconds=30):
        """Starts it where it has no http address to tell; gives its first line."""
        self.log = open(self.data.parent / (self.data.name + ".log"), "ab")
        self.process = subprocess.Popen([*self.prefix, str(PROGRAM), "serve", "--data", str(self.data), *self.args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.log, env=self.environment(), pass_fds=self.fds)
        return self._first_line(seconds)

    def start(self, seconds=30):
        original = subprocess.Popen

        def with_sockets(*args, **keywords):
            return original(*args, pass_fds=self.fds, **keywords)
        subprocess.Popen = with_sockets
        try:
            return super().start(seconds)
        finally:
            subprocess.Popen = original
