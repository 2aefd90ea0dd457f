"""Inside the virtual machine: the two services of the suite, the units of deploy/systemd as a plain user's and as root's, and what the kernel says of them."""
import contextlib
import http.client
import json
import os
import pathlib
import select
import subprocess
import time

# Small, since memory that an emulated machine has never touched is slow.
MEMORY, PIDS, CPU_PERCENT = 192 << 20, 150, 100
LIMITS = f"[sandbox.limits]\nmemory_bytes = {MEMORY}\npids = {PIDS}\ncpu_percent = {CPU_PERCENT}\n"
GROUPS = pathlib.Path("/sys/fs/cgroup")
UNITS = pathlib.Path("/etc/systemd/system")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        select.select([], [], [], 0.1)


def run(*command, check=True, seconds=300):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def read(path):
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text()
    return ""


def counter(text, name):
    """The number behind `name` in a file such as memory.events."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)


def task(*lines):
    return "\n".join(["Do this.", *lines, "sim: reply Done."])


class Service:
    def __init__(self, mode):
        self.mode, self.root = mode, mode == "root"
        self.name = "agentrouter-root" if self.root else "agentrouter"
        self.port = 8788 if self.root else 8787
        self.data = pathlib.Path("/var/lib", self.name)
        self.config = pathlib.Path("/etc/agentrouter", f"{self.name}.toml")
        self.group = GROUPS / "system.slice" / f"{self.name}.service"

    def install(self):
        folder = UNITS / f"{self.name}.service.d"
        folder.mkdir()
        lines = ["[Service]", "Environment=AGENTROUTER_AGENTS_DIR=/opt/agents"]
        if self.root:
            unit = (UNITS / "agentrouter.service").read_text()
            unit = unit.replace("/var/lib/agentrouter", str(self.data)).replace("=agentrouter\nStateDirectoryMode", f"={self.name}\nStateDirectoryMode")
            (UNITS / f"{self.name}.service").write_text(unit.replace("/etc/agentrouter/agentrouter.toml", str(self.config)))
            (folder / "as-root.conf").write_text(pathlib.Path("/opt/vm/as-root.conf").read_text())
        (folder / "tests.conf").write_text("\n".join(lines) + "\n")
        self.data.mkdir(mode=0o700)
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(f'provider = "sim"\nworkspace_roots = ["/srv"]\nlisten = "127.0.0.1:{self.port}"\n' + LIMITS)
        if not self.root:
            run("chown", "-R", "agentrouter:agentrouter", str(self.data))
        run("systemctl", "daemon-reload")
        run("systemctl", "enable", self.name)

    def start(self):
        run("systemctl", "start", self.name)
        self.await_ready()

    def await_ready(self):
        wait_for(self.answers, 300, f"{self.name} to answer; {self.journal()}")

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask("GET", "/healthz")[0] == 200
        return False

    def journal(self):
        return run("journalctl", "-u", self.name, "-n", "30", "-o", "cat", check=False)

    def is_active(self):
        return run("systemctl", "is-active", self.name, check=False).strip() == "active"

    # The API.
    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        key = read(self.data / "api_key").strip()
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        finally:
            connection.close()

    def call(self, method, path, body=None):
        status, value = self.ask(method, path, body)
        if status not in (200, 201, 202):
            raise AssertionError(f"{method} {path}: {status} {value}")
        return value

    def create(self, *lines, **fields):
        return self.call("POST", "/v1/runs", {"task": task(*lines), **fields})["id"]

    def state(self, run_id):
        return self.call("GET", f"/v1/runs/{run_id}")

    def is_over(self, run_id):
        state = self.state(run_id)
        return state if state["status"] in ("completed", "failed", "cancelled") else None

    def events(self, run_id):
        items = []
        while page := self.call("GET", f"/v1/runs/{run_id}/events?afterSeq={items[-1]['sequence'] if items else 0}&limit=500")["items"]:
            items += page
        return items

    def outputs(self, run_id):
        return [e["payload"].get("output", "") for e in self.events(run_id) if e["type"] == "agent.tool_completed"]

    def finish(self, run_id, while_it_runs=lambda: None, seconds=240):
        """Waits for the end; looks at the run again and again meanwhile."""
        looks = [0]

        def over():
            while_it_runs()
            looks[0] += 1
            return looks[0] % 5 == 0 and self.is_over(run_id)  # a request is not free where it is emulated
        state = wait_for(over, seconds, f"the end of {run_id}")
        wait_for(lambda: not self.groups() and not any((self.data / "attempts").iterdir()), 60, "the run to be tidied")
        return state

    # The kernel.
    def groups(self):
        """Those of attempts; a walk, since they may go while we look."""
        return sorted(pathlib.Path(folder, name) for folder, names, _ in os.walk(self.group) for name in names if ".attempt_" in name)

    def limits_of(self, group):
        return {name: read(group / name).strip() for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")}

    def as_service(self, *command, seconds=1200):
        """A command with the user, the delegated group and the confinement that the service has; gives (code, output)."""
        unit, said = f"vm-once-{self.mode}", pathlib.Path(f"/run/vm-once-{self.mode}.txt")
        lines = (UNITS / f"{self.name}.service").read_text().splitlines() + ["[Service]", *([] if not self.root else pathlib.Path("/opt/vm/as-root.conf").read_text().splitlines())]
        kept = [line for line in lines if not line.startswith(("Type=", "ExecStart=", "ExecReload=", "Restart=", "StateDirectory=", "TimeoutStartSec=", "WatchdogSec="))]
        (pathlib.Path("/run/systemd/system") / f"{unit}.service").write_text("\n".join(
            [*kept, "Type=oneshot", "Restart=no", f"TimeoutStartSec={seconds}", f"StandardOutput=file:{said}", "StandardError=inherit", "ExecStart=" + " ".join(command)]) + "\n")
        run("systemctl", "daemon-reload")
        said.write_text("")
        run("systemctl", "start", f"{unit}.service", check=False, seconds=seconds + 60)
        code = int(run("systemctl", "show", "-P", "ExecMainStatus", f"{unit}.service").strip() or -1)
        return code, read(said)
