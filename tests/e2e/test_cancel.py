"""Cancel in every state of a run, with both real agents: nothing of the agent's runs 2 s later, whatever it does about signals; what it made is kept, the
answer is always the same, and the conversation goes on. What runs is judged from outside, by the sandbox's pid namespace."""
import concurrent.futures
import contextlib
import gzip
import os
import pathlib
import signal
import socket
import tempfile
import time

from agents import keepers, processes_in, sandbox_of
from harness import Case, Server, main, wait_for
from person import Person

BOUND = 2.0
KINDS = ("codex", "claude_code")
KEPT = "sim: write kept.txt kept\\n\n"
DEAF = "trap '' INT TERM HUP; "
# What the agent's command does: the name of the state, and how many processes sleep then; with none all are stopped.
COMMANDS = {
    "a command": ("exec /bin/sleep 1000", 1),
    "processes that ignore signals": (f"{DEAF}(while :; do /bin/sleep 1000; done) & while :; do /bin/sleep 1000; done", 2),
    "a new session": (f"{DEAF}setsid sh -c \"{DEAF}exec /bin/sleep 1000\" & {DEAF}exec /bin/sleep 1000", 2),
    "an agent that is stopped": ("/bin/sleep 1000 & kill -STOP -1; /bin/sleep 1000", 0),
}
FORKS = "f() { f & f & }; while :; do f; done"
QUOTA = "sim: error 429 rate_limit_exceeded retry-after=600 always\n"
# Enough for one request of a real agent, not for two.
BUDGET = "[budgets]\nallowance_tokens = 20000\n[budgets.workspace]\nday_tokens = 20000\nmonth_tokens = 10000000\n"
NEVER = "sim: reply Never."


def of_agent(space):
    """Processes of a sandbox that are not our own: neither its init nor what collects afterwards."""
    found = []
    for pid in processes_in(space):
        with contextlib.suppress(OSError):
            exe = os.readlink(f"/proc/{pid}/exe")
            if "agentrouter" not in exe and "memfd:" not in exe:
                found.append(pid)
    return found


def sleepers(space):
    found = 0
    for pid in processes_in(space):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/{pid}/exe").endswith("/sleep")
    return found


def are_stopped(space):
    def state(pid):
        with contextlib.suppress(OSError):
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    # But for the shell that stops the others.
    return sum(state(pid) == "T" for pid in of_agent(space)) >= 2


def configured(text, *args):
    file = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-cancel-")) / "agentrouter.toml"
    file.write_text(text)
    return Server(args=("--sim", "--config", str(file), *args))


class Cancelling(Case):
    def attempt(self, server, run):
        return server.call("GET", f"/v1/runs/{run}/record")["attempt"]["id"]

    def keeper(self, server, run):
        attempt = self.attempt(server, run)
        return wait_for(lambda: next((pid for pid, held in keepers(server.data).items() if held == attempt), None), what="the keeper")

    def cancel(self, server, run):
        """Several at once and again: one answer."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: server.call("POST", f"/v1/runs/{run}/cancel"), range(4)))
        replies.append(server.call("POST", f"/v1/runs/{run}/cancel", {}))
        self.assertEqual(len({(r["id"], r["cancelRequestedAt"]) for r in replies}), 1, replies)
        self.assertLessEqual({r["status"] for r in replies}, {"cancelling", "cancelled"})
        return replies[0]

    def measured(self, server, run, name, space=None):
        """From the first request until nothing of the agent's runs, and until the sandbox is gone."""
        space = space or sandbox_of(self.keeper(server, run))
        begun = time.monotonic()
        self.cancel(server, run)
        wait_for(lambda: not of_agent(space), 20, "an empty sandbox")
        emptied = time.monotonic() - begun
        wait_for(lambda: not processes_in(space), 60, "the sandbox to be gone")
        print(f"\n  {name}: empty after {emptied:.2f} s, gone after {time.monotonic() - begun:.2f} s", end="", flush=True)
        self.assertLessEqual(emptied, BOUND, name)

    def ended(self, server, run, attempt=True):
        record, events = server.finish(run, 60)
        self.assertEqual((record["status"], record.get("failure")), ("cancelled", None))
        self.assertEqual(events[-1]["type"], "run.cancelled")
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        if attempt:
            self.assertEqual(len(server.artifacts(run)), 6)
        self.assertEqual(server.call("POST", f"/v1/runs/{run}/cancel"), record)
        return events

    def kept(self, server, run, kind):
        events = self.ended(server, run)
        types = [e["type"] for e in events]
        self.assertEqual([e["payload"].get("reason") for e in events if e["type"] == "execution.failed"][-1], "cancelled")
        self.assertIn("usage.recorded", types)
        self.assertIn("checkpoint.created", types)
        artifacts = server.artifacts(run)
        self.assertIn(b"+kept", server.download(run, artifacts["workspace_patch"]["id"]), kind)
        self.assertIn(b"kept.txt", gzip.decompress(server.download(run, artifacts["stdout_log"]["id"])))

    def go_on(self, server, runs, asked=False):
        turns = [server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh ls\nsim: reply Went on."}, expect=(202,))["runId"] for run in runs]
        with contextlib.ExitStack() as people:
            for turn in turns if asked else ():
                people.enter_context(Person(server, turn))
            for turn in turns:
                record, _ = server.finish(turn, 60)
                self.assertEqual(record["status"], "completed", record.get("failure"))


class Cancel(Cancelling):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.silent = socket.create_server(("127.0.0.1", 0))  # a git server that takes connections and never answers
        cls.addClassCleanup(cls.silent.close)
        host = "127.0.0.1:%d" % cls.silent.getsockname()[1]
        cls.repository = {"git": {"url": f"http://{host}/never.git"}}
        cls.server = configured(f'[git]\nhttp_hosts = ["{host}"]\n', "--concurrency", "12").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def at_work(self, kind, command, sleeping):
        run = self.server.create(f"{KEPT}sim: sh {command}\n{NEVER}", runtime={"kind": kind})["id"]
        self.server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
        space = sandbox_of(self.keeper(self.server, run))
        wait_for(lambda: sleepers(space) >= sleeping if sleeping else are_stopped(space), 30, "the command to be at work")
        return run, space

    def test_running_whatever_its_processes_do_about_signals(self):
        for name, (command, sleeping) in COMMANDS.items():
            runs = {kind: self.at_work(kind, command, sleeping) for kind in KINDS}
            for kind, (run, space) in runs.items():
                with self.subTest((name, kind)):
                    self.measured(self.server, run, f"{name}, {kind}", space)
                    self.kept(self.server, run, kind)
            self.go_on(self.server, [run for run, _ in runs.values()])

    def test_running_and_forking_in_a_loop(self):
        run = self.server.create(f"{KEPT}sim: sh {FORKS}\n{NEVER}", limits={"maxPids": 200})["id"]
        self.server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
        space = sandbox_of(self.keeper(self.server, run))
        wait_for(lambda: len(processes_in(space)) > 60, 30, "the forks")
        self.measured(self.server, run, "forks in a loop", space)
        self.kept(self.server, run, "codex")

    def test_waiting_for_a_person(self):
        runs = {}
        for kind in KINDS:
            launch = self.server.create(NEVER, runtime={"kind": kind}, approvalMode="manual")["id"]
            action = self.server.create(f"{KEPT}{NEVER}", runtime={"kind": kind}, approvalMode="manual", approvalScope="action")["id"]
            runs[kind] = (launch, action)
        for kind, (launch, action) in runs.items():
            asked = self.server.wait_until(launch, lambda e: e["type"] == "approval.requested")[-1]["payload"]
            first = self.server.wait_until(action, lambda e: e["type"] == "approval.requested")[-1]
            self.server.call("POST", f"/v1/runs/{action}/actions/{first['payload']['actionId']}/approve", {"actionDigest": first["payload"]["actionDigest"]})
            self.server.wait_until(action, lambda e: e["type"] == "approval.requested", after=first["sequence"])
            for name, run in (("launch", launch), ("action", action)):
                with self.subTest((kind, name)):
                    self.measured(self.server, run, f"waiting for approval of its {name}, {kind}")
                    events = self.ended(self.server, run)
                    self.assertIn("approval.withdrawn", [e["type"] for e in events])
            late = self.server.call("POST", f"/v1/runs/{launch}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]}, expect=(409,))
            self.assertIn(late["error"]["code"], ("approval_not_pending", "run_not_active"))
        self.go_on(self.server, [run for pair in runs.values() for run in pair], asked=True)

    def test_waiting_for_quota(self):
        runs = {kind: self.server.create(KEPT + QUOTA + NEVER, runtime={"kind": kind}, waitForQuota=True)["id"] for kind in KINDS}
        for kind, run in runs.items():
            with self.subTest(kind):
                self.server.wait_until(run, lambda e: e["type"] == "run.waiting")
                self.measured(self.server, run, f"waiting for quota, {kind}")
                self.kept(self.server, run, kind)
        self.go_on(self.server, runs.values())

    def test_preparing_a_repository(self):
        run = self.server.create(NEVER, workspace=self.repository)["id"]
        self.server.wait_until(run, lambda e: e["type"] == "workspace.preparing")
        self.silent.settimeout(30)
        connection = self.silent.accept()[0]  # it asks, and waits
        self.addCleanup(connection.close)
        attempt = self.attempt(self.server, run)
        begun = time.monotonic()
        self.cancel(self.server, run)
        wait_for(lambda: not (self.server.data / "attempts" / attempt).exists(), 20, "the attempt to be removed")
        self.assertLessEqual(time.monotonic() - begun, BOUND)
        self.ended(self.server, run, attempt=False)

    def test_starting(self):
        """As soon as it has been taken: wherever the cancel meets it, no agent is left and none begins."""
        for number in range(4):
            run = self.server.create(f"sim: sh /bin/sleep {number + 100}\n{NEVER}", runtime={"kind": KINDS[number % 2]})["id"]
            wait_for(lambda: self.server.run(run)["status"] != "queued", 20, "the run to be taken")
            begun = time.monotonic()
            self.cancel(self.server, run)
            events = self.ended(self.server, run, attempt=False)
            self.assertLessEqual(time.monotonic() - begun, BOUND + 1)  # the end of the run, not only of its sandbox
            self.assertNotIn("agent.response", [e["type"] for e in events])

    def test_ending(self):
        """Collected while it is cancelled: it ends as it was answered."""
        run = self.server.create("sim: sh for i in $(seq 3000); do echo $i > $i.txt; done\nsim: reply Done.")["id"]
        self.server.wait_until(run, lambda e: e["type"] == "agent.completed")
        reply = self.server.call("POST", f"/v1/runs/{run}/cancel")
        record, events = self.server.finish(run)
        expected = "cancelled" if reply["status"] == "cancelling" else "completed"
        self.assertEqual((record["status"], events[-1]["type"]), (expected, f"run.{expected}"))
        self.assertIn(b"2999.txt", self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]))
        self.go_on(self.server, [run])

    def test_a_keeper_that_is_stopped_or_lost(self):
        for name, sign in (("stopped", signal.SIGSTOP), ("lost", signal.SIGKILL)):
            with self.subTest(name):
                run, space = self.at_work("codex", "exec /bin/sleep 1000", 1)
                os.kill(self.keeper(self.server, run), sign)
                begun = time.monotonic()
                reply = self.server.call("POST", f"/v1/runs/{run}/cancel")
                wait_for(lambda: not processes_in(space), 20, "the sandbox to be gone")
                print(f"\n  keeper {name}: gone after {time.monotonic() - begun:.2f} s", end="", flush=True)
                self.assertLessEqual(time.monotonic() - begun, BOUND)
                record, events = self.server.finish(run)
                if reply["status"] == "cancelling" or name == "stopped":
                    self.assertEqual(record["status"], "cancelled", record)
                self.assertEqual(len(self.server.artifacts(run)), 6)
                self.go_on(self.server, [run])


class WithoutAServer(Cancelling):
    def test_a_server_that_dies_after_its_answer(self):
        with Server() as server:
            run = server.create(f"{KEPT}sim: sh /bin/sleep 1000\n{NEVER}")["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
            space = sandbox_of(self.keeper(server, run))
            asked = server.call("POST", f"/v1/runs/{run}/cancel")
            server.kill()
            server.start()
            begun = time.monotonic()
            wait_for(lambda: not of_agent(space), 20, "an empty sandbox")
            self.assertLessEqual(time.monotonic() - begun, BOUND)
            self.assertEqual(server.call("POST", f"/v1/runs/{run}/cancel")["cancelRequestedAt"], asked["cancelRequestedAt"])
            self.kept(server, run, "codex")
            self.go_on(server, [run])


class InLine(Cancelling):
    def test_queued_and_waiting_for_a_budget(self):
        with configured(BUDGET, "--concurrency", "2") as server:
            holder = server.create(f"sim: sleep 100\n{NEVER}")["id"]
            server.wait_until(holder, lambda e: e["type"] == "agent.started")
            waiting = server.create(f"{KEPT}{NEVER}")["id"]
            server.wait_until(waiting, lambda e: e["type"] == "agent.started")
            queued = server.create(NEVER)["id"]
            self.assertEqual(server.run(queued)["status"], "queued")
            reply = self.cancel(server, queued)
            self.assertEqual([e["type"] for e in self.ended(server, queued, attempt=False)], ["run.cancelled"])
            self.assertNotIn("startedAt", reply)
            self.measured(server, waiting, "waiting for a budget")
            self.assertNotIn("agent.message", [e["type"] for e in self.ended(server, waiting)])
            self.measured(server, holder, "in a provider's answer")
            self.ended(server, holder)
            for run in (waiting, queued):  # their turns are not busy; whether the budget has anything left is another matter
                turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply Went on."}, expect=(202, 429))
                if "runId" in turn:
                    server.finish(turn["runId"])


if __name__ == "__main__":
    main()
