"""Agents directories of a suite's own, and a look at the processes of one server: what the hostile suites share."""
import contextlib
import os
import pathlib
import shutil
import tempfile

from harness import ROOT

VERSION = "0.169.0"
BINARIES = "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin"
SCRIPTED = pathlib.Path(os.environ.get("AGENTROUTER_SCRIPTED_AGENT", ROOT / "build/release/bin/scripted_agent"))


class AgentsDir:
    """An AGENTROUTER_AGENTS_DIR whose `codex` is the scripted agent, a shell script, or nothing."""

    def __init__(self, script=None, missing=False):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-agents-"))
        self.path.chmod(0o755)
        self.codex = self.path / "codex" / VERSION / BINARIES / "codex"
        if not missing:
            self.codex.parent.mkdir(parents=True)
            self.codex.write_bytes(SCRIPTED.read_bytes() if script is None else script.encode())
            self.codex.chmod(0o755)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def answering(version, then):
    """A shell script that answers the version check and does `then` as the agent."""
    return f'#!/bin/sh\nif [ "$1" = --version ]; then echo "codex-cli {version}"; exit 0; fi\n{then}\n'


def status_kib(pid, name):
    """A figure of /proc/PID/status in KiB, None when the process is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return None


def cpu_ticks(pid):
    """utime + stime in clock ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def cpu_ms(pid):
    """CPU time in milliseconds, from the scheduler's nanoseconds over all threads."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e6


def keepers(data):
    """Keeper processes that hold a file below this data folder: pid -> attempt id."""
    prefix = f"{os.path.realpath(data)}/attempts/"
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            if len(command) < 2 or command[1] != b"keeper":
                continue
            for fd in os.listdir(f"/proc/{entry}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{entry}/fd/{fd}")
                    if target.startswith(prefix):
                        found[int(entry)] = target[len(prefix):].split("/")[0]
    return found


def sandbox_of(keeper):
    """The pid namespace of the sandbox that this keeper holds, from the pidfd of the sandbox's init."""
    for fd in os.listdir(f"/proc/{keeper}/fd"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{keeper}/fdinfo/{fd}").read_text().splitlines():
                if line.startswith("Pid:") and int(line.split()[1]) > 0:
                    return os.readlink(f"/proc/{line.split()[1]}/ns/pid")
    return None


def processes_in(namespace):
    """Processes in a pid namespace."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    found.append(int(entry))
    return found
