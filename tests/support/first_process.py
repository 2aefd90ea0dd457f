"""Suites that count processes, mounts and namespaces exactly live in a pid and a mount namespace of their own, whose first process they are."""
import os
import subprocess
import sys


def in_own_space(words):
    """Runs this program again with `words` in such namespaces; its exit code. Needs root."""
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", sys.executable, *words]
    return subprocess.run(command, check=False).returncode


def reap_all(work):
    """Whoever is the first process of a pid namespace has to take in those that nobody waits for. The result of `work`, done in a child."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)
