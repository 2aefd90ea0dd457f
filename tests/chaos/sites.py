"""A server under chaos: its data folder, on a disk of its own where that is possible, its configuration, its agents."""
import contextlib
import io
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tarfile
import threading

from agents import AgentsDir
from endings import MOST_ATTEMPTS
from harness import PROGRAM, Server, wait_for

MIB = 1 << 20
INSTALLED = pathlib.Path(os.environ.get("AGENTROUTER_AGENTS_DIR", "/opt/agentrouter/agents"))
USER = 20001
CONFIG = """
max_attempts = {attempts}
[machine]
disk_reserve_bytes = {reserve}
[sandbox.limits]
wall_seconds = 600
[conversations]
one_shot_grace_minutes = 600
idle_ttl_minutes = 600
[layers]
max_bytes = 200000000
[git]
file_roots = ["{files}"]
[mcp_servers.far]
url = "{mcp}"
headers.Authorization = "{word}"
[webhooks]
allow_hosts = ["{hooks}"]
[prices."*"]
input = 1
output = 10
max_output_tokens = 16000
[budgets]
allowance_tokens = 60000
allowance_usd = 5
[budgets.workspace]
month_tokens = 100000000000
month_usd = 1000000
"""


class Disk:
    """A tmpfs whose size is what a test says: a full one costs no memory and is empty again at once."""

    def __init__(self, path, size=16 << 30, reserve=64 * MIB):
        self.path, self.size, self.reserve = path, size, reserve
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "agentrouter-chaos", path], check=True)

    def _resize(self, size):
        return subprocess.run(["mount", "-o", f"remount,size={size}", self.path], stderr=subprocess.DEVNULL, check=False).returncode == 0

    def shrink(self, left):
        """Leaves so many bytes, more or less: what is written meanwhile is refused sooner."""
        for _ in range(20):
            info = os.statvfs(self.path)
            if self._resize((info.f_blocks - info.f_bfree) * info.f_frsize + max(left, info.f_frsize)):
                return

    def grow(self):
        if not self._resize(self.size):
            raise AssertionError(f"{self.path} cannot be made larger again")

    def remove(self):
        subprocess.run(["umount", "-l", self.path], check=False)


def packed(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, arcname=".")
    return out.getvalue()


def write_workspace(files):
    """What runs work on: a folder, a repository, and the folder's bytes as an archive, which are returned."""
    plain, repository = files / "plain", files / "repository"
    for folder in (plain, repository):
        folder.mkdir(parents=True)
        for number in range(20):
            (folder / f"file{number}.txt").write_text(f"{number}\n" * 50)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    return packed(plain)


def show(source, target):
    """Also to a user who may not see the folders above."""
    if os.geteuid() != 0:
        return target.symlink_to(source)
    target.mkdir(exist_ok=True)
    return subprocess.run(["mount", "--bind", "-o", "ro", str(source), str(target)], check=True)


def quiet_port():
    """A free one that no client is given: who connects while nobody listens must not be its own server."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        port = random.randrange(10_000, lowest)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Site:
    """`weight`: how often faults come here."""

    def __init__(self, name, folder, mcp, word, hooks, weight, scripted, user=None, concurrency=6):
        self.name, self.weight, self.scripted, self.user = name, weight, scripted, user
        self.data = pathlib.Path(folder, name)
        self.data.mkdir()
        self.files = pathlib.Path(folder, name + "-files")
        self.archive = write_workspace(self.files)
        self.disk = Disk(str(self.data)) if os.geteuid() == 0 else None
        self.agents = AgentsDir(missing=not scripted)
        for name in ("claude_code",) if scripted else ("claude_code", "codex"):
            show(INSTALLED / name, self.agents.path / name)
        config = pathlib.Path(folder, name + ".toml")
        config.write_text(CONFIG.format(reserve=self.disk.reserve if self.disk else 0, files=self.files, mcp=mcp, word=word, hooks=hooks, attempts=MOST_ATTEMPTS))
        if user:
            for path in (self.data, self.files, *self.files.rglob("*")):
                os.chown(path, user, user)
        self.arguments = ("--sim", "--config", str(config), "--workspace-root", str(self.files), "--concurrency", str(concurrency), "--log-level", "warn")
        self.listen = f"127.0.0.1:{quiet_port()}"
        self.server = self._server()
        usage = subprocess.run([str(PROGRAM), "serve", "--help"], capture_output=True, text=True, check=False)
        self.takes_over = "--takeover" in usage.stdout + usage.stderr

    @property
    def address(self):
        return self.server.host, int(self.server.port)

    def _server(self, *more):
        return Server(data=self.data, agents_dir=self.agents.path, user=self.user, listen=self.listen, env={"HOME": str(self.data)} if self.user else {},
                      args=(*self.arguments, *more))

    def start(self):
        self.server.start(60)

    def reloads(self):
        """Whether the server does something about SIGHUP other than end."""
        fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{self.server.pid}/status").read_text().splitlines())
        return any(int(fields[mask], 16) & 1 for mask in ("SigBlk", "SigCgt"))

    def take_over(self, disturb):
        """A newer server takes over from the one that runs, while `disturb(newer, older)` does what it wants. One of them answers afterwards, or none."""
        older, newer, trouble = self.server, self._server("--takeover"), []

        def begin():
            try:
                newer.start(60)
            except AssertionError as error:
                trouble.append(error)
        beginning = threading.Thread(target=begin)
        beginning.start()
        wait_for(lambda: newer.process or not beginning.is_alive(), 30, "the newer server's process")
        disturb(newer.process, older.process)
        beginning.join()
        if not trouble:
            older.process.wait(60)
            older.stop()
            newer.args, self.server = list(self.arguments), newer
        else:
            newer.stop()
        return trouble

    def remove(self):
        if self.server.process and self.server.process.poll() is None:
            self.server.kill()
        if self.disk:
            self.disk.remove()
        for path in self.agents.path.iterdir():
            if path.is_mount():
                subprocess.run(["umount", "-l", str(path)], check=False)
        self.agents.remove()
        shutil.rmtree(self.data, ignore_errors=True)
