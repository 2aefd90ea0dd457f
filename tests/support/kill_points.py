"""kill -9 of a process right before one of its own system calls: strace counts them and kills at the chosen one.

A point is (call, number): before the numberth time that one thread makes this call after the tracing began.
"""
import collections
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from harness import wait_for

# What leaves a process: to the disk, to another process, to a client.
LEAVING = ("write", "pwrite64", "writev", "sendto", "sendmsg", "fdatasync", "fsync", "ftruncate", "fallocate", "renameat", "rename", "unlinkat", "unlink")


def traced(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return any(line.startswith("TracerPid:") and int(line.split()[1]) > 0 for line in status)


def all_traced(pid):
    try:
        return all(traced(int(task)) for task in os.listdir(f"/proc/{pid}/task"))
    except (OSError, ValueError):
        return True  # it is gone


class Tracing:
    """strace on one process until it has died or `stop()`."""

    def __init__(self, pid, point=None):
        self.pid, self.out = pid, pathlib.Path(tempfile.mkstemp(prefix="agentrouter-trace-")[1])
        calls = f"inject={point[0]}:signal=KILL:when={point[1]}" if point else "trace=" + ",".join(LEAVING)
        traced_calls = ["-e", f"trace={point[0]}"] if point else []
        self.process = subprocess.Popen(["strace", "-f", "-qqq", "-p", str(pid), *traced_calls, "-e", calls, "-o", str(self.out)], stderr=subprocess.PIPE)
        wait_for(lambda: all_traced(pid) or self.process.poll() is not None, 20, "strace to hold every thread")

    def stop(self):
        """Lets the process go. Whether it died of the point."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1].decode()
        self.text = self.out.read_text(errors="replace")
        self.out.unlink()
        if "ttach" in said and "No such process" not in said:
            raise AssertionError(said)
        return "killed by SIGKILL" in self.text

    def points(self):
        """Every point that was passed, in order, from what was traced without one."""
        seen, found = collections.Counter(), []
        for line in self.text.splitlines():
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                seen[match.groups()] += 1
                point = (match[2], seen[match.groups()])
                if point not in found:
                    found.append(point)
        return found
