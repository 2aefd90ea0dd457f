#!/usr/bin/env python3
"""Compares what bash runs with what the policy engine says it would run.

    shell_differential.py JUDGE [SECONDS [SEED]]

Takes the texts of src/policy/evasions.txt with `marked` in the place of `rm -rf src`, changes them at random, and asks JUDGE, a program that reads
scripts ended by NUL and answers each with the number of its verdict under a policy that allows everything but `marked` (tests/fuzz/shell_judge.cpp).
What it allows is run by bash in an empty folder, with a PATH of a few programs. A script that is allowed and runs `marked` is an evasion.

What has been changed at random may do anything, so it runs as nobody, where the root is read-only, in namespaces of its own without a network. Only root can
set that up: run it as root; it refuses otherwise.
"""
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What leaves the folder, runs for long, or needs programs that are not there.
LEFT_OUT = ("/bin", "/usr", "/lib", "/dev/tcp", "/dev/udp", "/tmp", "/etc", "/proc", "curl", "while", "until", "f() { f", "set -", "trap", "exec ")
PROGRAMS = ("bash", "sh", "env", "xargs", "timeout", "nohup", "nice", "setsid", "cat", "true", "find", "tee")
PIECES = ("marked", "marked\n", "'", '"', "\\", "\n", "\\\n", "$(", ")", "`", "(", "{ ", "; }", "<<E\n", "\nE\n", "E\n", ";", "&&", "|", "#", " # ", "[[ ", " ]]",
          "case x in ", "x) ", ";; ", "esac", "${x:-", "}", "$'", "$", "x=", "if true; ", "then ", "; fi", "for i in 1", "; do ", "; done", "<(", "((", "))",
          "$((", "1", "a", "eval ", "bash -c ", "sh -c ", "env ", "xargs ", "time ", "! ", "[", "]", "~", "*", "&", "<<<", "<<-'E'\n", "\t", " ", "2>&1",
          "=~ ", "==", "||", '<<"E"\n', "\nE", "\n)", '"$(', ')"', "$x", "@", "+", "-c ", "'E'")


def texts():
    found = []
    for line in (ROOT / "src/policy/evasions.txt").read_text().splitlines():
        if not line or line.startswith(("# ", "== ")) or any(part in line for part in LEFT_OUT):
            continue
        for mark, meant in (("¶", "\n"), ("␉", "\t"), ("␍", "\r"), ("␀", ""), ("rm -rf src", "marked"), ("rm", "marked")):
            line = line.replace(mark, meant)
        found.append(line)
    return found


def changed(script, known):
    for _ in range(random.randint(1, 4)):
        at, kind = random.randint(0, len(script)), random.random()
        if kind < 0.5:
            script = script[:at] + random.choice(PIECES) + script[at:]
        elif kind < 0.7:
            script = script[:at] + script[at + random.randint(1, 3):]
        elif kind < 0.85:
            script = script[:at] + random.choice(known) + script[at:]
        else:
            script += random.choice(("\n", " ", "; ")) + random.choice(PIECES) + random.choice(PIECES)
    return script


def in_a_cell():
    """Starts this program anew where nothing of the machine can be changed; returns there."""
    if os.environ.get("SHELL_DIFFERENTIAL_CELL") == "1":
        return
    if os.geteuid() != 0:
        sys.exit("shell_differential: random scripts are run only in a cell that root can make; run it as root")
    inside = ("mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /dev/shm && for place in / /tmp /var/tmp /run; do "
              "mount --bind $place $place && mount -o remount,bind,ro $place || exit 1; done && exec \"$@\"")
    os.environ["SHELL_DIFFERENTIAL_CELL"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--mount-proc", "--kill-child", "sh", "-c", inside, "sh",
                          sys.executable, "-B", *map(os.path.abspath, sys.argv[:2]), *sys.argv[2:]])


def confined():
    os.setsid()
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def runs_marked(script, folder, programs):
    with tempfile.TemporaryDirectory(dir=folder) as place:
        os.chown(place, 65534, 65534)
        mark = os.path.join(place, ".mark")
        environment = {"PATH": programs, "HOME": "/nonexistent", "LANG": "C.UTF-8", "MARK": mark}
        try:
            subprocess.run(["/bin/bash", "-c", script], cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=2, preexec_fn=confined, check=False)
        except subprocess.TimeoutExpired:
            pass
        return os.path.exists(mark)


def main():
    in_a_cell()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    known = texts()
    judge = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    made = allowed = evasions = 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        os.chmod(folder, 0o755)
        programs = os.path.join(folder, "programs")
        os.mkdir(programs)
        for name in PROGRAMS:
            os.symlink(shutil.which(name), os.path.join(programs, name))
        marked = pathlib.Path(programs, "marked")
        marked.write_text('#!/bin/sh\n: > "$MARK"\n')
        marked.chmod(0o755)
        while time.monotonic() < end:
            script = changed(random.choice(known), known)
            if len(script) > 2000 or "while" in script or "until" in script:
                continue
            made += 1
            judge.stdin.write(script.encode() + b"\0")
            judge.stdin.flush()
            if judge.stdout.readline() != b"0\n":
                continue
            allowed += 1
            if runs_marked(script, folder, programs):
                evasions += 1
                print("evasion:", repr(script), flush=True)
    judge.stdin.close()
    judge.wait()
    print(f"{made} scripts, {allowed} allowed and run, {evasions} evasions")
    return 1 if evasions else 0


sys.exit(main())
