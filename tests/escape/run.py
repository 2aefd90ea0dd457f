#!/usr/bin/env python3
"""The escape suite: real runs of the real Codex try to get out, as root's server and as a plain user's, and are judged from outside.

It needs root (or sudo without a password), since it lives in namespaces of its own: a network in which every attacked address is local
and answers, so that no packet leaves the machine; a pid and a mount namespace, so that "nothing is left" can be counted exactly.
"""
import collections
import contextlib
import ctypes
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support")]

import contract  # noqa: E402
import harness  # noqa: E402
import outside  # noqa: E402
from box_cases import box_cases, way_out  # noqa: E402
from cases import BOMB, DAEMON, ENDLESS_BOMB, KILL_ALL, TRAPS, WANTED, cases  # noqa: E402

USER = 20001
MOST_PROCESSES = 560  # a sandbox may have 512, and there is a neighbour
ENOUGH = 400          # of them: the bomb has grown
GRACE = 2             # seconds that an agent has to obey an interrupt
ROOT = pathlib.Path(__file__).resolve().parents[2]
WEAK_BOX = pathlib.Path(os.environ.get("AGENTROUTER_WEAK_BOX", ROOT / "build/release/bin/weak_box"))


def sim(command):
    return "sim: sh " + command.replace("\\", "\\\\").replace("\n", "\\n")


def task(*lines):
    return "\n".join(["Try these.", *lines, "sim: reply Tried.", ""])


def same(condition):
    """Whether it becomes true: what has been ended may take a moment to be gone."""
    try:
        return harness.wait_for(condition, 10)
    except AssertionError:
        return False


class Table:
    """Verdicts: case -> column -> (passed, word)."""

    def __init__(self, name, columns):
        self.name, self.columns, self.rows, self.titles = name, columns, {}, {}

    def set(self, case, title, column, passed, word):
        self.titles.setdefault(case, title)
        old = self.rows.setdefault(case, {}).get(column)
        if not old or old[0]:
            self.rows[case][column] = (passed, word)

    def show(self):
        lines = [["case", self.name, *self.columns]]
        passed = failed = 0
        for case, row in self.rows.items():
            cells = [row.get(c, (True, "-")) for c in self.columns]
            lines.append([case, self.titles[case], *(word if fine else f"FAILED: {word}" for fine, word in cells)])
            passed += sum(1 for c in row.values() if c[0])
            failed += sum(1 for c in row.values() if not c[0])
        widths = [max(len(line[i]) for line in lines) + 2 for i in range(len(lines[0]))]
        print()
        for line in lines:
            print("".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        print(f"\n{len(self.rows)} cases: {passed} verdicts passed, {failed} failed")
        return failed


class Mode:
    """One server, as `root` or as `user`, and all cases in runs of it."""

    def __init__(self, name, table, listeners, canaries):
        self.name, self.table, self.listeners, self.canaries = name, table, listeners, canaries
        self.uid = 0 if name == "root" else USER
        self.data = pathlib.Path(f"/tmp/{name}-data")
        home = pathlib.Path(f"/tmp/{name}-home")
        for folder in (self.data, home):
            folder.mkdir(mode=0o700)
            os.chown(folder, self.uid, self.uid)
        self.server = harness.Server(data=self.data, user=None if name == "root" else USER, agents_dir="/tmp/agents",
                                     env={"HOME": str(home), "SERVER_SECRET": "CANARY-SERVER-90cc", "OPENAI_API_KEY": "CANARY-KEY-1b2c"})
        self.groups, self.counters, self.uids, self.problems = set(), [], set(), []

    def result(self, case, title, passed, word):
        self.table.set(case, title, self.name, passed, word)

    def all(self):
        before = outside.counts()
        self.server.start()
        try:
            self._run("true")  # the first run opens what a server keeps
            harness.wait_for(lambda: not any("attempt_" in name for name in self._server_fds()), 10, "the first run to be gone")
            fds = self._server_fds()
            self.neighbour = self._start_neighbour()
            now = outside.counts()
            if any(len(now[k]) <= len(before[k]) for k in ("processes", "netns", "mountns")):
                self.problems.append(f"a sandbox is not seen from outside: {now}")
            for step in (self.list_of_cases, self.traps, self.fork_bomb, self.bomb_is_killable, self.daemon, self.kill_all):
                began = time.monotonic()
                step()
                print(f"  {step.__name__}: {time.monotonic() - began:.1f} s", flush=True)
            self._end_neighbour()
            # What the launcher keeps of its newest sandbox is then what it kept before; one that ended while it looked is let go with the next.
            if not any(self._kept_after_a_run(fds) for _ in range(3)):
                self.problems.append(f"descriptors of the server: new {self._server_fds() - fds}")
        finally:
            self.server.stop()
        if not same(lambda: outside.counts() == before):
            self.problems.append(f"left: {outside.difference(before)}")
        if not same(lambda: not outside.groups_left(self.groups)):
            self.problems.append(f"cgroups left: {outside.groups_left(self.groups)}")
        self.problems += self.canaries.complaints()
        self.problems += [f"{case}: {what} was reached" for case, what in self.listeners.take()]
        if self.name == "root" and 0 in self.uids:
            self.problems.append("a process in a sandbox has the host's uid 0")
        if self.name == "root" and not self.groups and any(pathlib.Path("/sys/fs/cgroup").iterdir()):
            print("  note: no cgroup was seen around the sandboxes of root's server")
        self.result("left", "nothing left, canaries untouched", not self.problems, "held" if not self.problems else "; ".join(self.problems))

    def _kept_after_a_run(self, fds):
        self._run("true")
        return same(lambda: self._server_fds() <= fds)

    def _server_fds(self):
        """What the server holds open, by kind and number; its database's readers open their files when they are first needed."""
        folder, found = pathlib.Path(f"/proc/{self.server.pid}/fd"), []
        for fd in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.append(os.readlink(folder / fd).split(":[")[0])
        return collections.Counter(name for name in found if "/agentrouter.db" not in name)

    def _look(self):
        for pid in outside.boxed():
            for name in outside.groups_of(pid) - self.groups:
                self.groups.add(name)
                self.counters += outside.refusal_counters(name)
            # A sandbox's first process is the host's root until it has its range of ids.
            uids = outside.uids_of(pid)
            if 0 not in uids or not same(lambda: 0 not in outside.uids_of(pid)):
                self.uids |= uids

    def _start_neighbour(self):
        """Another run, which must not notice anything. Its workspace holds a secret."""
        run = self.server.create(task("sim: write secret.txt CANARY-" + "OTHER-e2aa", "sim: sleep 600", "sim: sh true"))["id"]
        self.server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
        self.other_file = next(p for p in self.data.glob("attempts/*/**/secret.txt") if p.is_file())
        self.other_text = self.other_file.read_text()
        self._look()
        return run

    def _end_neighbour(self):
        if self.server.run(self.neighbour)["status"] != "running" or self.other_file.read_text() != self.other_text:
            self.problems.append("the run next door was disturbed")
        self.server.call("POST", f"/v1/runs/{self.neighbour}/cancel", {})
        run, _ = self.server.finish(self.neighbour)
        if run["status"] != "cancelled":
            self.problems.append(f"the run next door ended as {run['status']}")

    def _run(self, *commands, on_output=None, seconds=180):
        """Runs shell commands in one run; gives (run, events, outputs in order)."""
        run = self.server.create(task(*map(sim, commands)))["id"]
        outputs = []

        def seen(event):
            if event["type"] == "agent.tool_completed":
                outputs.append(event["payload"].get("output", ""))
                if on_output:
                    on_output(len(outputs) - 1)
            return event["type"] in harness.TERMINAL
        events = self.server.wait_until(run, seen, seconds)
        return run, events, outputs

    def list_of_cases(self):
        todo = cases(self.canaries.process.pid, self.other_file)
        ids = [c.id for c in todo]
        setuid = []

        def look(index):
            self._look()
            if ids[index] == "F08":
                setuid.extend(os.lstat(p) for p in self.data.glob("attempts/*/box/upper/s"))
        run, events, outputs = self._run(*("exec 2>&1\n" + c.command for c in todo), on_output=look)
        hits = self.listeners.take()
        ended = events[-1]["type"]
        for index, case in enumerate(todo):
            output = outputs[index] if index < len(outputs) else f"(no output: the run ended with {ended})"
            verdict = case.judge(output)
            reached = [what for who, what in hits if who == case.id]
            if verdict != "held" or reached:
                print(f"  {self.name} {case.id} is {verdict}, reached {reached}, printed:\n{output}")
            self.result(case.id, case.title, verdict == "held" and not reached, verdict if not reached else "canary reached")
        patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"])
        index = patch.find(b" b/s\n")
        exported = index >= 0 and b"new file mode 100755" in patch[index:index + 200]
        owner = bool(setuid) and all(i.st_uid != 0 for i in setuid)
        self.result("F08", "", exported and owner, f"exported without setuid: {exported}, not root's: {owner}" if not (exported and owner) else "held")

    def traps(self):
        """What the agent leaves for its reader: judged by what can be had of it from outside, and by what happens to the host meanwhile."""
        began = time.monotonic()
        run, events, outputs = self._run(*TRAPS)
        made = [o.splitlines()[-1:] for o in outputs] == [["made"]] * len(TRAPS)
        ended = events[-1]["type"]
        if ended != "run.completed":
            ended = f"{ended}: {self.server.run(run).get('failure')}"
        bad = lambda data: b"root:" in data or b"CANARY" in data or b"SERVER_SECRET" in data  # noqa: E731
        for case, title, names in WANTED:
            problems = []
            for name in names:
                status, _, data = self.server.request("GET", f"/v1/runs/{run}/files/{name}", seconds=20)
                if bad(data) or status >= 500 or (case == "C05" and status < 400):
                    problems.append(f"{name}: {status} {data[:80]!r}")
            self.result(case, title, made and not problems, "; ".join(problems) or ("held" if made else f"not made: {outputs}"))
        patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"])
        self.result("C08", "deep trees, many files, a sparse giant", made and ended == "run.completed" and not bad(patch) and len(patch) < 64 << 20,
                    f"held, {time.monotonic() - began:.0f} s" if ended == "run.completed" else ended)
        self.result("C13", "git's own programs", made and not os.path.exists("/tmp/canary/pwn"), "held" if not os.path.exists("/tmp/canary/pwn") else "ran on the host")
        self.server.call("POST", f"/v1/runs/{run}/close", {})
        gone = same(lambda: not subprocess.run(["find", self.data, "-name", "locked"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout)
        self.result("C16", "what cannot be entered can be deleted", made and gone, "held" if gone else "still there")

    def fork_bomb(self):
        # Codex itself may fail while no process can be made, so the output is read from the workspace.
        run = self.server.create(task(sim(BOMB.command + " > bomb.txt 2>&1; sleep 1")))["id"]
        said, peak, refused, deadline = "", 0, 0, harness.Deadline(60)
        while self.server.run(run)["status"] not in ("completed", "failed"):
            deadline.left("the end of the fork bomb")
            now = len(outside.boxed())
            peak = max(peak, now)
            if now < 60:
                self._look()
            refused = max([refused, *map(outside.refusals, self.counters)])
            for path in self.data.glob("attempts/*/box/upper/bomb.txt"):
                said = path.read_text() or said
            select.select([], [], [], 0.05)
        verdict = BOMB.judge(said)
        fine = verdict == "held" and peak <= MOST_PROCESSES
        means = "cgroup" if refused else "rlimit"
        if not fine:
            print(f"  {self.name} P07 is {verdict} with {peak} processes, printed:\n{said}")
        self.result(BOMB.id, BOMB.title, fine, f"held by {means}, peak {peak}" if fine else f"{verdict}, peak {peak}")

    def bomb_is_killable(self):
        """The endless one is cut off by a cancel: Codex has its grace to obey, then everything goes at once."""
        run = self.server.create(task(sim(ENDLESS_BOMB)))["id"]
        harness.wait_for(lambda: len(outside.boxed()) > ENOUGH, 60, "the endless fork bomb to grow")
        began = time.monotonic()
        self.server.call("POST", f"/v1/runs/{run}/cancel", {})
        harness.wait_for(lambda: len(outside.boxed()) < ENOUGH, 20, "the kill to begin")
        killing = time.monotonic()
        harness.wait_for(lambda: len(outside.boxed()) < 30, 20, "the bomb to be gone")
        gone = time.monotonic()
        ended = self.server.finish(run)[0]["status"]
        fine = gone - killing < 1 and gone - began < GRACE + 3 and ended == "cancelled"
        self.result("P07k", "fork bomb ends with its run", fine, f"{gone - killing:.2f} s, asked {gone - began:.1f} s ago" + ("" if fine else f", {ended}"))

    def daemon(self):
        seconds = f"3600.{os.getpid()}{self.uid}"
        alive = []
        run, events, outputs = self._run(DAEMON.format(seconds=seconds), "sleep 3",
                                         on_output=lambda index: alive.append(same(lambda: index or outside.named(seconds))))
        seen = bool(alive and alive[0])
        left = outside.named(seconds)
        fine = seen and not left and outputs[:1] == ["main-exits\n"] and events[-1]["type"] == "run.completed"
        self.result("P10", "daemon that outlives its run", fine, "held" if fine else f"seen {seen}, left {left}, {outputs}")

    def kill_all(self):
        run, events, outputs = self._run(KILL_ALL, "echo still-here")
        self.server.call("GET", "/healthz")
        ok = self.server.run(self.neighbour)["status"] == "running" and self.canaries.process.poll() is None
        after, _ = self.server.finish(self.server.create(task(sim("echo works")))["id"])
        fine = ok and events[-1]["type"] in harness.TERMINAL and after["status"] == "completed"
        self.result("P01", "kill everything visible", fine, f"held, run {self.server.run(run)['status']}" if fine else f"{ok} {after['status']}")


def in_box(attempts, weakened, command, user=None, text=None):
    """What one program prints that makes a sandbox, and whether it and its sandbox ended well."""
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"] if user else []
    ran = subprocess.run([*drop, str(WEAK_BOX), str(attempts), weakened, command], input=text or b"", stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=300, check=False)
    return ran.stdout, ran.stderr, ran.returncode


def without_an_agent(table, listeners, canaries):
    """Each case as the first process of a sandbox, and as one that is started in a sandbox where another runs; as root and as a plain user."""
    todo = box_cases()
    for name, user in (("root", None), ("user", USER)):
        attempts = pathlib.Path(f"/tmp/{name}-attempts")
        attempts.mkdir(mode=0o755)
        os.chown(attempts, user or 0, user or 0)
        before = outside.counts()
        began = time.monotonic()
        said = {}
        for case in todo:
            out, err, code = in_box(attempts, "none", "exec 2>&1\n" + case.command, user)
            said[case.id, name] = (out + err).decode(errors="replace") + (f"(ended with {code})" if code else "")
        text = b"".join(b"exec 2>&1\n" + case.command.encode() + b"\0" for case in todo)
        out, err, code = in_box(attempts, "none", "-", user, text)
        pieces = out.decode(errors="replace").split("\0")
        for index, case in enumerate(todo):
            said[case.id, f"{name} exec"] = pieces[index] if index < len(pieces) - 1 else f"(no output, ended with {code}: {err[-500:]!r})"
        reached = {who for who, _ in listeners.take()}
        routed = way_out()
        out, err, code = in_box(attempts, "outbound", "exec 2>&1\n" + routed.command, user)
        printed, hits = (out + err).decode(errors="replace"), listeners.take()
        verdict = f"reached {hits}" if hits else routed.judge(printed) if code == 0 else f"ended with {code}"
        if verdict != "held":
            print(f"  {name} {routed.id} is {verdict}, printed:\n{printed}")
        table.set(routed.id, routed.title, name, verdict == "held", verdict)
        for case in todo:
            for column in (name, f"{name} exec"):
                verdict = case.judge(said[case.id, column]) if case.id not in reached else "canary reached"
                if verdict != "held":
                    print(f"  {column} {case.id} is {verdict}, printed:\n{said[case.id, column]}")
                table.set(case.id, case.title, column, verdict == "held", verdict)
        problems = canaries.complaints()
        if not same(lambda: outside.counts() == before):
            problems.append(f"left: {outside.difference(before)}")
        if os.listdir(attempts):
            problems.append(f"left: {os.listdir(attempts)}")
        table.set("left", "nothing left, canaries untouched", name, not problems, "; ".join(problems) or "held")
        print(f"  as {name}: {time.monotonic() - began:.1f} s", flush=True)


def controls(table, todo, listeners, canaries):
    """The same cases in a weakened sandbox: the judges must see each open door."""
    attempts = pathlib.Path("/tmp/weak-attempts")
    attempts.mkdir(mode=0o755, exist_ok=True)
    before = outside.counts()
    for case in todo:
        if not case.weakened:
            continue
        out, err, code = in_box(attempts, case.weakened, "exec 2>&1\n" + case.command)
        output = (out + err).decode(errors="replace")
        verdict = case.judge(output)
        hits = {who for who, _ in listeners.take()}
        caught = verdict == "OPEN" and code == 0 and ("CONNECTED" not in case.opened or case.weakened != "network" or case.id in hits)
        if not caught:
            print(f"  control of {case.id} is {verdict}, canaries {hits}, printed:\n{output}")
        table.set(case.id, case.title, "control", caught, f"caught (no {case.weakened})" if caught else f"not caught: {verdict}")
    problems = canaries.complaints()
    if not same(lambda: outside.counts() == before):
        problems.append(f"left: {outside.difference(before)}")
    table.set("left", "", "control", not problems and not os.listdir(attempts), "; ".join(problems) or "held")


def with_an_agent(table, listeners, canaries):
    for name in ("root", "user"):
        print(f"server as {name}", flush=True)
        try:
            Mode(name, table, listeners, canaries).all()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            table.set("suite", "the suite itself", name, False, f"{type(error).__name__}: {error}")


def inside(half):
    began = time.monotonic()
    outside.bring_up_network()
    table = Table("attempt of the agent", ("root", "user", "control"))
    boxed = Table("attempt without an agent", ("root", "root exec", "user", "user exec", "control"))
    listeners, canaries = outside.Listeners(), outside.Canaries()
    try:
        if half != "box":
            with_an_agent(table, listeners, canaries)
            print("weakened sandbox", flush=True)
            controls(table, [*cases(canaries.process.pid, "/tmp/none"), BOMB], listeners, canaries)
        if half != "agent":
            print("without an agent", flush=True)
            without_an_agent(boxed, listeners, canaries)
            print("weakened sandbox", flush=True)
            controls(boxed, box_cases(), listeners, canaries)
    finally:
        canaries.close()
        listeners.close()
    failed = sum(one.show() for one in (table, boxed) if one.rows)
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def bind(source, target):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(str(source).encode(), str(target).encode(), None, 0x1000 | 0x4000, None) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount {source} at {target}")


def enter(folder, half):
    """In the new namespaces: /tmp becomes a folder of the suite's own, with the agents, the program and the weakened sandbox in it."""
    agents = os.environ.get("AGENTROUTER_AGENTS_DIR", "/opt/agentrouter/agents")
    (folder / "agents").mkdir()
    bind(agents, folder / "agents")
    for program in (harness.PROGRAM, WEAK_BOX):
        shutil.copy(program, folder / program.name)
    contract.contract()  # read while the checkout can still be seen, which may lie below /tmp
    bind(folder, "/tmp")
    harness.PROGRAM = pathlib.Path("/tmp", harness.PROGRAM.name)
    globals()["WEAK_BOX"] = pathlib.Path("/tmp", WEAK_BOX.name)
    os.chdir("/tmp")
    return inside(half)


def main():
    if sys.argv[1:2] == ["--inside"]:
        return enter(pathlib.Path(sys.argv[2]), sys.argv[3])
    half = sys.argv[1] if sys.argv[1:] else "all"
    if half not in ("all", "agent", "box"):
        print("usage: run.py [agent | box]")
        return 2
    if os.geteuid() != 0:
        if subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            print("the escape suite needs root, or sudo without a password")
            return 1
        keep = [f"{n}={v}" for n, v in os.environ.items() if n.startswith(("AGENTROUTER_", "PYTHON")) or n == "PATH"]
        return subprocess.run(["sudo", "-n", "env", *keep, sys.executable, *sys.argv], check=False).returncode
    folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-escape-"))
    folder.chmod(0o1777)
    try:
        # The shell is pid 1 there: it reaps what is orphaned.
        inner = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, str(pathlib.Path(__file__).resolve()), "--inside", str(folder), half]
        code = subprocess.run(["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", *inner],
                              check=False).returncode
    finally:
        subprocess.run(["rm", "-rf", folder], check=False)  # it may be deeper than Python goes
    if folder.exists():
        print(f"left behind: {folder}")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
