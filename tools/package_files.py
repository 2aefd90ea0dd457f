#!/usr/bin/env python3
"""What a package has besides the program, from the program itself: package_files.py PROGRAM VERSION FOLDER.

A manual page of its help texts, completions for shells, and a changelog in Debian's form that points to the project's own.
"""
import datetime
import gzip
import os
import pathlib
import re
import subprocess
import sys

MAINTAINER = "The AgentRouter authors <maintainers@agentrouter.org>"


def said(program, *words):
    done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise SystemExit(f"package_files: {program} {' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def roff(text):
    """Lines as they are."""
    lines = text.rstrip("\n").replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").split("\n")
    return ".nf\n" + "\n".join(f"\\&{line}" if line.startswith(".") else line for line in lines) + "\n.fi\n"


def commands_of(help_text):
    """Names from the lists of the program's help: lines such as "  run   Create a run"."""
    return [match[1] for line in help_text.splitlines() if (match := re.match(r"  ([a-z][a-z-]*) {2,}\S", line))]


def manual(program, version, day):
    root = said(program, "--help")
    parts = [f'.TH AGENTROUTER 1 "{day:%Y-%m-%d}" "agentrouter {version}" "User Commands"\n',
             ".SH NAME\nagentrouter, agentrouter\\-git \\- runs coding agents in sandboxes\n",
             ".SH SYNOPSIS\n.B agentrouter\n.I COMMAND\n[...]\n",
             ".SH DESCRIPTION\n", roff(root),
             ".PP\n.B agentrouter\\-git\nis started by the server for pushes, and is no command for people.\n"]
    for command in commands_of(root):
        parts += [f".SH {command.upper()}\n".replace("-", "\\-"), roff(said(program, command, "--help"))]
    parts.append(".SH FILES\n.TP\n.I /etc/agentrouter/agentrouter.toml\nthe configuration of the services\n.TP\n.I /etc/agentrouter/environment\n"
                 "their variables, keys among them\n.TP\n.I /var/lib/agentrouter\nwhat they keep\n"
                 ".SH SEE ALSO\n.I /usr/share/doc/agentrouter/operating.md\n")
    return "".join(parts)


def changelog(version, day):
    return (f"agentrouter ({version}) unstable; urgency=medium\n\n  * See the project's CHANGELOG.md.\n\n"
            f" -- {MAINTAINER}  {day.strftime('%a, %d %b %Y %H:%M:%S +0000')}\n")


def main():
    program, version, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    source = pathlib.Path(__file__).resolve().parents[1]
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(["git", "-C", str(source), "log", "-1", "--format=%ct"], stdout=subprocess.PIPE,
                                                                   stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip() or "0"
    day = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    packed = {"agentrouter.1.gz": manual(program, version, day), "changelog.gz": changelog(version, day),
              "README.Debian.gz": (source / "deploy/debian/README.Debian").read_text()}
    for name, text in packed.items():
        (folder / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for shell, name in (("bash", "agentrouter.bash"), ("zsh", "_agentrouter"), ("fish", "agentrouter.fish")):
        (folder / name).write_text(said(program, "completion", shell))


main()
