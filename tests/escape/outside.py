"""The world around the sandbox, as the suite owns it: canaries that record every touch, and counts that must be the same afterwards."""
import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
import select
import socket
import struct
import subprocess
import threading

from harness import wait_for
from world import counts, difference, own_link, pids  # noqa: F401

# Who must never be reached, and which case tries it.
TCP = {("127.0.0.1", 18099): "N01", ("169.254.169.254", 80): "N02", ("10.0.0.1", 22): "N03", ("192.0.2.1", 80): "N03",
       ("192.0.2.2", 22): "N03", ("8.8.8.8", 53): "N03", ("2001:4860:4860::8888", 53): "N04"}
UDP = {("8.8.8.8", 53): "N03", ("2001:4860:4860::8888", 53): "N04"}
ABSTRACT = "\0sbx-canary"


def bring_up_network():
    """In a network namespace of the suite's own: lo is up, and every attacked address is local. Nothing can leave the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as v4, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as v6:
        def flags(name, value):
            fcntl.ioctl(v4, 0x8914, struct.pack("16sH14x", name.encode(), value))
        flags("lo", 0x49)
        for i, address in enumerate(sorted({a for a, _ in TCP if ":" not in a and a != "127.0.0.1"})):
            request = struct.pack("16sHH4s8x", f"lo:{i + 1}".encode(), socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(v4, 0x8916, request)
        for address in sorted({a for a, _ in TCP if ":" in a}):
            fcntl.ioctl(v6, 0x8916, socket.inet_pton(socket.AF_INET6, address) + struct.pack("Ii", 128, 1))


def bound(one, place):
    """False while the address is still new: IPv6 takes a moment."""
    try:
        one.bind(place)
        return True
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return False


class Listeners:
    """Accepts everywhere and writes down who came; a packet socket on lo also sees what no listener accepted."""

    def __init__(self):
        self.hits, self.lock, self.sockets = [], threading.Lock(), {}
        for kind, places in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
            for (host, port), case in places.items():
                one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                wait_for(lambda place=(host, port), one=one: bound(one, place), 10, f"{host} to be an address of lo")
                self._keep(one, case, f"{host} {port}")
        hidden = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        hidden.bind(ABSTRACT)
        self._keep(hidden, "N01", "@sbx-canary")
        self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.packets.bind(("lo", 3))
        self.sockets[self.packets.fileno()] = (self.packets, None, "packet")
        self.targets = {socket.inet_pton(socket.AF_INET6 if ":" in h else socket.AF_INET, h): (h, c)
                        for (h, _), c in TCP.items() if h != "127.0.0.1"}
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _keep(self, one, case, name):
        if one.type == socket.SOCK_STREAM:
            one.listen(64)
        one.setblocking(False)
        self.sockets[one.fileno()] = (one, case, name)

    def _watch(self):
        poll = select.poll()
        for fd in [*self.sockets, self.stop_read]:
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.stop_read:
                    return
                with contextlib.suppress(BlockingIOError):
                    self._take(*self.sockets[fd])

    def _take(self, one, case, name):
        if one is self.packets:
            data = one.recv(128)
            version = data[0] >> 4 if data else 0
            target = self.targets.get(data[16:20] if version == 4 else data[24:40] if version == 6 else b"")
            if not target:
                return
            name, case = f"packet to {target[0]}", target[1]
        elif one.type == socket.SOCK_STREAM:
            one.accept()[0].close()
        else:
            one.recv(128)
        with self.lock:
            self.hits.append((case, name))

    def take(self):
        """What was touched since the last call."""
        with self.lock:
            hits, self.hits = self.hits, []
        return hits

    def close(self):
        os.write(self.stop_write, b"x")
        self.thread.join()
        for one, _, _ in self.sockets.values():
            one.close()
        os.close(self.stop_read)
        os.close(self.stop_write)


class Canaries:
    """Files and a process of the host that must be there, unchanged, at the end."""

    def __init__(self):
        for place, text in (("/tmp/canary/host-secret", "CANARY-HOST-5d1f"), ("/tmp/other/secret", "CANARY-OTHER-77ab")):
            pathlib.Path(place).parent.mkdir(mode=0o755, exist_ok=True)
            pathlib.Path(place).write_text(text)
        # Far from the small numbers that a sandbox gives its own processes.
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text("20000")
        self.process = subprocess.Popen(["escape-host-canary", "86400"], executable="/bin/sleep")
        self.before = self.state()

    @staticmethod
    def state():
        state = {}
        for name in ("kernel/core_pattern", "kernel/modprobe", "kernel/panic", "kernel/sysrq", "vm/overcommit_memory", "net/ipv4/ip_forward"):
            with contextlib.suppress(OSError):
                state[name] = pathlib.Path("/proc/sys", name).read_text()
        for top in ("/etc", "/tmp/canary", "/tmp/other"):
            state[top] = tree_hash(top)
        for path in ("/x", "/usr/x", "/usr/bin/pwn", "/tmp/agents/x"):
            state[path] = os.path.lexists(path)
        state["/usr/lib/os-release"] = os.lstat("/usr/lib/os-release").st_mtime_ns
        return state

    def complaints(self):
        now = self.state()
        found = [f"{k} changed" for k in now if now[k] != self.before.get(k)]
        if self.process.poll() is not None:
            found.append("the host's process was killed")
        return found

    def close(self):
        self.process.kill()
        self.process.wait()


def tree_hash(top):
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            digest.update(repr((path, info.st_mode, info.st_uid, info.st_size)).encode())
            if os.path.isfile(path) and not os.path.islink(path):
                digest.update(pathlib.Path(path).read_bytes())
    return digest.hexdigest()


def boxed():
    """Processes that live in a pid namespace other than the suite's: the inside of every sandbox."""
    own = own_link("pid")
    return [p for p in pids() if own_link("pid", p) not in (own, None)]


def named(text):
    found = []
    for pid in pids():
        with contextlib.suppress(OSError):
            if text.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() and pid != os.getpid():
                found.append(pid)
    return found


def groups_of(pid):
    """Names of the cgroups of a process that are not the suite's own."""
    with contextlib.suppress(OSError):
        own = set(pathlib.Path("/proc/self/cgroup").read_text().splitlines())
        lines = set(pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()) - own
        return {line.split(":", 2)[2].rsplit("/", 1)[1] for line in lines}
    return set()


def refusal_counters(name):
    """Where the kernel's process controller counts what it refused to a group that lives now."""
    return list(pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}/pids.events"))


def refusals(counter):
    with contextlib.suppress(OSError):
        return int(dict(l.split() for l in counter.read_text().splitlines())["max"])
    return 0


def groups_left(names):
    return sorted({str(p) for n in names if n for p in pathlib.Path("/sys/fs/cgroup").glob(f"**/{n}")}) if names else []


def uids_of(pid):
    with contextlib.suppress(OSError):
        line = next(l for l in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if l.startswith("Uid:"))
        return set(map(int, line.split()[1:]))
    return set()
