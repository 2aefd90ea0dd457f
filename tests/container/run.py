#!/usr/bin/env python3
"""The slow suite: the container image, built by tools/container (buildah, no engine) and run by crun as container engines would.

    python3 tests/container/run.py [--package FILE] [--keep]

It needs root, buildah, mmdebstrap and crun (tools/setup container), and the targets package_files and scripted_agent of a release build. There is no engine in
it: what docker, podman or a kubelet make of their own settings is not tested, only the process that they would start, with each privilege that
docs/operating.md asks for, and without it.
"""
import argparse
import http.client
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from container import USER, Container, profile, without_namespaces  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("AGENTROUTER_BUILD", ROOT / "build/release"))
OURS = ROOT / "deploy/container/seccomp.json"
USUAL = pathlib.Path("/usr/share/containers/seccomp.json")  # Debian's golang-github-containers-common, which buildah comes with
KEY = "ar_container_0123456789"
CODEX = "codex/0.169.0/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()):
        expect(time.monotonic() < end, f"timed out waiting for {what}")
        select.select([], [], [], 0.05)
    return value


class Image:
    """Built in a storage of the suite's own; `root` is its file system and `config` what it says of itself."""

    def __init__(self, work, package):
        self.options = ["--root", str(work / "storage"), "--runroot", str(work / "run"), "--storage-driver", "vfs"]
        environment = {**os.environ, "BUILDAH_OPTIONS": " ".join(self.options)}
        subprocess.run([str(ROOT / "tools/container"), "--package", str(package)], check=True, stdin=subprocess.DEVNULL, env=environment, stdout=subprocess.DEVNULL)
        version = subprocess.run(["dpkg-deb", "--field", str(package), "Version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        name = f"localhost/agentrouter:{version}"
        self.config = json.loads(self.buildah("inspect", "--type", "image", name))["Docker"]["config"]
        self.container = self.buildah("from", "--pull-never", name).strip()
        self.root = self.buildah("mount", self.container).strip()

    def buildah(self, *arguments):
        return subprocess.run(["buildah", *self.options, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout

    def close(self):
        self.buildah("rm", self.container)
        self.buildah("rmi", "--all", "--force")


class Server:
    def __init__(self, suite):
        self.log = open(suite.work / "server.log", "ab")
        self.container = Container(suite.work, suite.image.root, ["/usr/bin/agentrouter", "serve", "--sim", "--listen", "127.0.0.1:0", "--data", "/var/lib/agentrouter",
                                                                  "--config", "/etc/agentrouter/agentrouter.toml"],
                                   suite.volume, profile(OURS), environment=["AGENTROUTER_API_KEY_FILE=/run/secrets/api_key"],
                                   mounts=[(suite.agents, "/opt/agentrouter/agents"), (suite.secret, "/run/secrets/api_key")]).start(self.log)
        line = self.container.process.stdout.readline()
        expect(line.startswith("agentrouter: listening on http://"), f"{line!r} {(suite.work / 'server.log').read_text()[-2000:]}")
        self.address = line.split("http://")[1].strip()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
            reply = connection.getresponse()
            data = reply.read()
            expect(reply.status in (200, 201, 202), f"{method} {path}: {reply.status} {data[:300]}")
            return json.loads(data)
        finally:
            connection.close()

    def create(self, task):
        return self.call("POST", "/v1/runs", {"task": task})["id"]

    def finished(self, run):
        def over():
            state = self.call("GET", f"/v1/runs/{run}")
            return state if state["status"] in ("completed", "failed", "cancelled") else None
        return wait_for(over, f"the end of {run}")

    def processes(self):
        """(pid, state, command line) of all inside."""
        _, text = self.container.inside("sh", "-c", "for p in /proc/[0-9]*; do sed 's/^\\([0-9]*\\) (.*) \\(.\\).*/\\1 \\2/' $p/stat | tr '\\n' ' '; tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null")
        return [[*line.split(None, 2), "", ""][:3] for line in text.splitlines() if line[:1].isdigit()]

    def stop(self):
        began = time.monotonic()
        self.container.signal("TERM")
        code = self.container.process.wait(30)
        self.container.close()
        self.log.close()
        return code, time.monotonic() - began


class Suite:
    def __init__(self, work, package):
        self.work = work
        self.image = Image(work, package)
        self.volume, self.agents, self.secret = work / "volume", work / "agents", work / "api_key"
        self.volume.mkdir(mode=0o700)
        os.chown(self.volume, USER, USER)
        (self.agents / CODEX).parent.mkdir(parents=True)
        shutil.copy(BUILD / "bin/scripted_agent", self.agents / CODEX)
        self.secret.write_text(KEY + "\n")
        self.secret.chmod(0o400)
        os.chown(self.secret, USER, USER)
        self.server = None

    def doctor(self, **privileges):
        container = Container(self.work, self.image.root, ["/usr/bin/agentrouter", "doctor", "--json", "--data", "/var/lib/agentrouter"], self.volume,
                              mounts=[(self.agents, "/opt/agentrouter/agents")], **privileges)
        try:
            code, text = container.output()
            expect(text.startswith("{"), f"{code} {text}")
            return code, {item["name"]: item for item in json.loads(text)["items"]}
        finally:
            container.close()

    def says_of_itself_what_an_engine_needs(self):
        config = self.image.config
        expect(config["User"] == f"{USER}:{USER}" and config["Entrypoint"] == ["/usr/bin/agentrouter"], config)
        expect("/var/lib/agentrouter" in config["Volumes"] and "8787/tcp" in config["ExposedPorts"] and config["StopSignal"] in ("SIGTERM", "15"), config)
        expect(config["Healthcheck"]["Test"][0] == "CMD" and config["Healthcheck"]["Retries"] == 4, config)

    def confines_agents_with_the_privileges_that_the_documentation_asks_for(self):
        code, items = self.doctor(seccomp=profile(OURS))
        lacking = [item for item in items.values() if item["required"] and item["found"] == "missing" and item["name"] != "claude_code"]
        expect(not lacking, lacking)
        return f"{code}; {items['sandbox']['detail']}; {items['resource limits']['detail']}"

    def says_what_is_missing_under_the_profile_that_podman_has_itself(self):
        """It lets namespaces and mounts through, and refuses a sandbox its host name."""
        code, items = self.doctor(seccomp=profile(USUAL))
        expect(code == 1 and items["user namespace"]["found"] == "ok" and items["sandbox"]["found"] == "missing", items)
        return f"sandbox: {items['sandbox']['detail']}"

    def says_what_is_missing_under_a_profile_without_namespaces(self):
        """As docker's own is for a container without CAP_SYS_ADMIN."""
        code, items = self.doctor(seccomp=without_namespaces(profile(USUAL)))
        expect(code == 1 and items["user namespace"]["found"] == "missing" and items["user namespace"]["remedy"], items)
        return f"user namespace: {items['user namespace']['detail']}"

    def says_what_is_missing_where_proc_is_masked(self):
        code, items = self.doctor(seccomp=profile(OURS), masked=True)
        expect(code == 1 and items["user namespace"]["found"] == "ok" and items["sandbox"]["found"] == "missing", items)
        return f"sandbox: {items['sandbox']['detail']}"

    def serves_a_run_with_its_key_from_a_file(self):
        self.server = Server(self)
        run = self.server.create("sim: sh echo in a container; id -u\nsim: reply Done.")
        state = self.server.finished(run)
        expect(state["status"] == "completed", f"{state} {(self.work / 'server.log').read_text()[-2000:]}")
        events = self.server.call("GET", f"/v1/runs/{run}/events?limit=500")["items"]
        output = [event["payload"].get("output", "") for event in events if event["type"] == "agent.tool_completed"]
        expect(output and output[0].startswith("in a container"), output)
        limits = [event["payload"].get("limits") for event in events if event["type"] == "sandbox.destroyed"]
        self.first = run
        return f"limits: {limits[0]}"

    def is_healthy_by_its_own_check(self):
        words = [word.replace("127.0.0.1:8787", self.server.address) for word in self.image.config["Healthcheck"]["Test"][1:]]
        expect(self.server.container.inside(*words)[0] == 0, "the check fails where a server answers")
        expect(self.server.container.inside(*self.image.config["Healthcheck"]["Test"][1:])[0] != 0, "the check passes where none does")

    def reaps_what_a_killed_keeper_leaves_to_it(self):
        """The server is process 1: nobody else would."""
        run = self.server.create("sim: repeat 600 sh sleep 0.1\nsim: reply Done.")
        keepers = wait_for(lambda: [pid for pid, _, command in self.server.processes() if command.split()[1:2] == ["keeper"]], "a keeper", 30)
        code, said = self.server.container.inside("sh", "-c", f"kill -9 {keepers[0]}")
        expect(code == 0, f"{said} {self.server.processes()}")
        try:
            state = self.server.finished(run)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.server.call('GET', f'/v1/runs/{run}')} {self.server.processes()} {(self.work / 'server.log').read_text()[-1500:]}") from None
        expect(state["status"] == "failed", state)
        wait_for(lambda: not [entry for entry in self.server.processes() if entry[1] == "Z"], f"no zombie to be left: {self.server.processes()}", 20)
        return f"{state['status']}: {(state.get('failure') or {}).get('code')}"

    def ends_at_once_when_it_is_told_to(self):
        code, seconds = self.server.stop()
        expect(code == 0 and seconds < 10, f"{code} after {seconds:.1f} s")
        return f"{seconds:.1f} s"

    def goes_on_with_its_volume_in_another_container(self):
        self.server = Server(self)
        state = self.server.call("GET", f"/v1/runs/{self.first}")
        expect(state["status"] == "completed", state)
        self.server.stop()

    def close(self):
        self.image.close()

    def tests(self):
        return [self.says_of_itself_what_an_engine_needs, self.confines_agents_with_the_privileges_that_the_documentation_asks_for,
                self.says_what_is_missing_under_the_profile_that_podman_has_itself,
                self.says_what_is_missing_under_a_profile_without_namespaces, self.says_what_is_missing_where_proc_is_masked, self.serves_a_run_with_its_key_from_a_file,
                self.is_healthy_by_its_own_check, self.reaps_what_a_killed_keeper_leaves_to_it, self.ends_at_once_when_it_is_told_to,
                self.goes_on_with_its_volume_in_another_container]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=pathlib.Path, help="a package that was made before; otherwise of the build folder's programs")
    parser.add_argument("--keep", action="store_true", help="keep image and logs, and say where")
    options = parser.parse_args()
    missing = [name for name in ("buildah", "mmdebstrap", "crun") if not shutil.which(name)]
    if os.geteuid() != 0 or missing or not USUAL.exists():
        print(f"not run: it needs root, buildah, mmdebstrap and crun (tools/setup container); missing: {missing or USUAL}")
        return 2
    work = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-container-"))
    work.chmod(0o755)
    began, passed, failed, suite, names = time.monotonic(), 0, 0, None, []
    try:
        package = options.package or subprocess.run([str(ROOT / "tools/package"), "--built"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                    text=True).stdout.strip().splitlines()[-1]
        suite = Suite(work, package)
        print(f"        the image is built ({time.monotonic() - began:.0f} s)", flush=True)
        names = suite.tests()
        for test in names:
            start = time.monotonic()
            try:
                detail = test() or ""
                passed += 1
                print(f"ok      {test.__name__.replace('_', ' ')} ({time.monotonic() - start:.1f} s){': ' if detail else ''}{detail}", flush=True)
            except Exception as error:  # those behind it may pass all the same
                failed += 1
                print(f"FAILED  {test.__name__.replace('_', ' ')}: {type(error).__name__}: {error}", flush=True)
    finally:
        if suite and suite.server and suite.server.container.process.poll() is None:
            suite.server.container.close()
        if options.keep:
            print(f"kept: {work}")
        else:
            if suite:
                suite.close()
            shutil.rmtree(work, ignore_errors=True)
    print(f"\n{passed} passed, {failed} failed, {len(names) - passed - failed} not run, {time.monotonic() - began:.0f} s")
    print("not run here: an engine (docker, podman, kubelet) with its own settings, AppArmor, SELinux, cgroup v2")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
