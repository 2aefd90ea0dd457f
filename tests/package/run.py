#!/usr/bin/env python3
"""The slow suite: the Debian package in a clean Debian. Installed, served from, upgraded over itself while a run goes on, removed, purged; nothing is left.

    python3 tests/package/run.py [--package FILE] [--keep]

It needs root, mmdebstrap (tools/setup package) and the targets package_files and scripted_agent of a release build. The first time it makes a clean
root out of Debian's packages (a minute or two) and keeps it in the build folder; then it takes half a minute.
"""
import argparse
import http.client
import json
import os
import pathlib
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import clean_root  # noqa: E402
import deb  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("AGENTROUTER_BUILD", ROOT / "build/release"))
CODEX = "opt/agentrouter/agents/codex/0.169.0/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CONFIG = "etc/agentrouter/agentrouter.toml"
SYSTEMCTL = """#!/bin/sh
echo "$*" >>/var/cache/systemctl.calls
case "$*" in *is-active*agentrouter.service*) exit 0 ;; *is-active*) exit 3 ;; esac
"""


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()):
        expect(time.monotonic() < end, f"timed out waiting for {what}")
        select.select([], [], [], 0.05)
    return value


class Service:
    """The server as its unit starts it: user, variables and command line are the unit's. Only the port is one that is free."""

    def __init__(self, machine, unit="agentrouter"):
        text = (machine.root / f"usr/lib/systemd/system/{unit}.service").read_text().splitlines()
        lines = [line.partition("=")[::2] for line in text]
        values = dict(lines)
        command = [*shlex.split(values["ExecStart"]), "--listen", "127.0.0.1:0"]
        variables = [value for name, value in lines if name == "Environment"]
        self.machine = machine
        self.log = open(machine.root.parent / "server.log", "ab")
        self.process = subprocess.Popen(machine.entered(*command, environment=variables, user=values["User"]), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        expect(line.startswith("agentrouter: listening on http://"), f"{line!r}: {self.log_text()}")
        self.address = line.split("http://")[1].strip()
        self.key = (machine.root / "var/lib/agentrouter/api_key").read_text().strip()

    def log_text(self):
        return (self.machine.root.parent / "server.log").read_text()[-2000:]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
            reply = connection.getresponse()
            data = reply.read()
            expect(reply.status in (200, 201, 202), f"{method} {path}: {reply.status} {data[:300]}")
            return json.loads(data)
        finally:
            connection.close()

    def finished(self, run):
        def over():
            state = self.call("GET", f"/v1/runs/{run}")
            return state if state["status"] in ("completed", "failed", "cancelled") else None
        state = wait_for(over, f"the end of {run}")
        wait_for(lambda: not any((self.machine.root / "var/lib/agentrouter/attempts").iterdir()), "the run to be tidied")
        return state

    def owner(self):
        """Of the data folder, as the program itself tells its commands: a pid inside, and the one that it has out here."""
        inside = json.loads((self.machine.root / "var/lib/agentrouter/server.json").read_text())["pid"]
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                ids = [line.split()[1:] for line in pathlib.Path(f"/proc/{entry}/status").read_text().splitlines() if line.startswith("NSpid:")][0]
                if len(ids) > 1 and ids[-1] == str(inside) and os.readlink(f"/proc/{entry}/ns/pid") == os.readlink(f"/proc/{self.machine.first}/ns/pid"):
                    return int(entry)
            except OSError:
                continue
        raise AssertionError(f"no process is {inside} in there")

    def stop(self):
        os.kill(self.owner(), signal.SIGTERM)
        wait_for(lambda: not self.machine.processes(), f"the server and its runs to end: {self.machine.processes()}")
        self.process.wait(30)
        self.process.stdout.close()
        self.log.close()


class Suite:
    def __init__(self, work, package):
        self.work, self.package = work, package
        self.version = deb.field(package, "Version")
        self.newer = deb.newer(package, self.version + "+1", work)
        self.machine = clean_root.Machine(work / "root", clean_root.archive(BUILD / "package-root", deb.field(package, "Depends")))
        self.before = self.machine.paths()
        self.service = None

    def close(self):
        self.machine.close()

    def put(self, file):
        shutil.copy(file, self.machine.root / "var/cache" / file.name)
        return f"/var/cache/{file.name}"

    def installs_with_what_it_depends_on_alone(self):
        said = self.machine.apt("install", self.put(self.package))
        expect(f"Setting up agentrouter ({self.version})" in said, said)
        expect(self.machine.run("agentrouter", "--version").startswith("agentrouter "), "it does not start")
        needs = self.machine.run("sh", "-c", "ldd /usr/bin/agentrouter /usr/bin/agentrouter-git")
        expect("not found" not in needs, needs)
        return said.strip().splitlines()[-1]

    def makes_an_account_and_a_data_folder_of_its_own(self):
        account = self.machine.run("getent", "passwd", "agentrouter").strip()
        expect(account.endswith("/usr/sbin/nologin") and 0 < int(account.split(":")[2]) < 1000, account)
        owner = self.machine.run("stat", "-c", "%U:%G %a", "/var/lib/agentrouter").strip()
        expect(owner == "agentrouter:agentrouter 700", owner)
        return account

    def starts_nothing_by_itself(self):
        expect(not self.machine.processes(), self.machine.processes())
        links = [path for path in self.machine.named_after_us() if path.startswith("etc/systemd")]
        expect(not links, links)

    def finds_a_machine_that_agents_can_be_confined_on(self):
        said = json.loads(self.machine.run("agentrouter", "doctor", "--json", "--data", "/var/lib/agentrouter", user="agentrouter", check=False))
        lacking = [item for item in said["items"] if item["required"] and item["found"] == "missing" and item["name"] != "codex" and item["name"] != "claude_code"]
        expect(not lacking, lacking)
        return ", ".join(f"{item['name']}: {item['found']}" for item in said["items"][-5:])

    def serves_a_run_as_its_unit_starts_it(self):
        agent = self.machine.root / CODEX
        agent.parent.mkdir(parents=True)
        shutil.copy(BUILD / "bin/scripted_agent", agent)
        config = self.machine.root / CONFIG
        config.write_text('provider = "sim"\n' + config.read_text())
        self.service = Service(self.machine)
        run = self.service.call("POST", "/v1/runs", {"task": "sim: sh echo from the package; id -u\nsim: reply Done."})["id"]
        state = self.service.finished(run)
        expect(state["status"] == "completed", f"{state.get('failure')} {self.service.log_text()}")
        events = self.service.call("GET", f"/v1/runs/{run}/events?limit=500")["items"]
        output = [event["payload"].get("output", "") for event in events if event["type"] == "agent.tool_completed"]
        expect(output and output[0].startswith("from the package"), output)
        made = [event["payload"] for event in events if event["type"] == "sandbox.created"]
        return f"isolation: {made[0].get('isolation')}"

    def is_upgraded_while_a_run_goes_on(self):
        run = self.service.call("POST", "/v1/runs", {"task": "sim: repeat 60 sh sleep 0.1\nsim: reply Done."})["id"]
        wait_for(lambda: self.service.call("GET", f"/v1/runs/{run}")["status"] == "running", "the run to go on")
        before = self.service.owner()
        said = self.machine.apt("install", self.put(self.newer))
        expect("conffile" not in said and "provider" in (self.machine.root / CONFIG).read_text().splitlines()[0], said)
        expect(os.readlink(f"/proc/{before}/exe").endswith("(deleted)"), "the program was not replaced")
        os.kill(before, signal.SIGUSR2)  # what postinst has systemd do
        wait_for(lambda: not os.path.exists(f"/proc/{before}") or open(f"/proc/{before}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", "the owner to hand over")
        after = wait_for(lambda: self.service.owner(), "the newer server")
        expect(after != before and os.readlink(f"/proc/{after}/exe") == "/usr/bin/agentrouter", os.readlink(f"/proc/{after}/exe"))
        state = self.service.finished(run)
        expect(state["status"] == "completed", f"{state}")
        said = self.machine.run("dpkg-query", "-W", "-f", "${Version}", "agentrouter")
        expect(said == self.version + "+1", said)
        return f"{self.version} -> {said}, the run went on"

    def is_installed_over_itself(self):
        self.machine.apt("--reinstall", "install", self.put(self.newer))
        run = self.service.call("POST", "/v1/runs", {"task": "sim: reply Done."})["id"]
        expect(self.service.finished(run)["status"] == "completed", "the server does not go on")
        self.service.stop()

    def tells_systemd_what_it_has_to_do(self):
        """Where a service manager runs; its command is one of the suite's own, which says that agentrouter.service is active."""
        calls = self.machine.root / "var/cache/systemctl.calls"
        fake = self.machine.root / "usr/bin/systemctl"
        fake.write_text(SYSTEMCTL)
        fake.chmod(0o755)
        self.machine.run("mkdir", "-p", "/run/systemd/system")
        told = self.machine.apt("--reinstall", "install", self.put(self.newer))
        expect(calls.exists() and "Setting up agentrouter" in told, told)
        said = calls.read_text()
        expect("--system daemon-reload" in said and "kill --kill-whom=main --signal=USR2 agentrouter.service" in said, said)
        expect("restart" not in said and "USR2 agentrouter-api" not in said, said)
        calls.unlink()
        self.machine.apt("remove", "agentrouter")
        said = calls.read_text()
        expect("stop" in said and "agentrouter-worker.service" in said, said)
        fake.unlink()
        calls.unlink()
        self.machine.run("rm", "-r", "/run/systemd")

    def keeps_configuration_and_data_when_it_is_removed(self):
        left = self.machine.named_after_us()
        for path in (CONFIG, "var/lib/agentrouter/agentrouter.db"):
            expect(path in left, left)
        programs = [path for path in left if path.startswith(("usr/bin", "usr/lib", "usr/share"))]
        expect(not programs, programs)

    def leaves_nothing_when_it_is_purged_but_its_account(self):
        self.machine.apt("purge", "agentrouter")
        for name in os.listdir(self.machine.root / "var/cache"):
            if name.endswith(".deb"):
                (self.machine.root / "var/cache" / name).unlink()
        left = self.machine.named_after_us()
        expect(not left, left)
        after = self.machine.paths()
        changed = sorted(path for path in {*self.before, *after} if self.before.get(path) != after.get(path) and self.before.get(path, (0,))[0] != 0o040000)
        expect(not changed, {path: (self.before.get(path), after.get(path)) for path in changed})
        new = sorted(set(after) - set(self.before))
        expect(not new, new)
        account = self.machine.run("getent", "passwd", "agentrouter").split(":")
        owned = [path for path, what in after.items() if what[2] == int(account[2]) or what[3] == int(account[3])]
        expect(not owned, owned)
        expect("agentrouter" not in self.machine.run("dpkg-query", "-W", "-f", "${Package}\\n"), "dpkg still knows it")
        mounts = self.machine.run("cat", "/proc/mounts")
        expect("agentrouter" not in mounts, mounts)
        return "its account is left, and owns no file"

    def tests(self):
        return [self.installs_with_what_it_depends_on_alone, self.makes_an_account_and_a_data_folder_of_its_own, self.starts_nothing_by_itself,
                self.finds_a_machine_that_agents_can_be_confined_on, self.serves_a_run_as_its_unit_starts_it, self.is_upgraded_while_a_run_goes_on,
                self.is_installed_over_itself, self.tells_systemd_what_it_has_to_do, self.keeps_configuration_and_data_when_it_is_removed,
                self.leaves_nothing_when_it_is_purged_but_its_account]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=pathlib.Path, help="a package that was made before")
    parser.add_argument("--keep", action="store_true", help="keep the root, and say where")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        print("not run: it needs root and mmdebstrap (tools/setup package)")
        return 2
    package = options.package or pathlib.Path(deb.output(ROOT / "tools/package", "--built").strip().splitlines()[-1])
    work = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-package-"))
    work.chmod(0o755)
    began, passed, failed, suite = time.monotonic(), 0, 0, None
    try:
        suite = Suite(work, package)
        names = suite.tests()
        for test in names:
            start = time.monotonic()
            try:
                detail = test() or ""
                passed += 1
                print(f"ok      {test.__name__.replace('_', ' ')} ({time.monotonic() - start:.1f} s){': ' if detail else ''}{detail}", flush=True)
            except Exception as error:  # what comes behind it needs it
                failed += 1
                print(f"FAILED  {test.__name__.replace('_', ' ')}: {type(error).__name__}: {error}", flush=True)
                break
    finally:
        if suite and not options.keep:
            suite.close()
        if options.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"\n{passed} passed, {failed} failed, {len(names) - passed - failed} not run, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
