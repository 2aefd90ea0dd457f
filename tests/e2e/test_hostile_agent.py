"""Agents that are missing, wrong, silent, loud or dying, and keepers that die: every run ends with the documented code. Scripted agent."""
import gzip
import os
import signal
import threading
import time

from agents import AgentsDir, answering, keepers, processes_in, sandbox_of, status_kib
import stores
from harness import Case, Server, TERMINAL, main, wait_for

FLOOD = 1_000_000_000
MOST_KIB = 64 * 1024
GRACE_BOUND = 2 + 4  # the documented grace, and what a busy machine may add


def kinds(events):
    return [e["type"] for e in events]


def of(events, kind):
    return [e for e in events if e["type"] == kind]


class Ended(Case):
    """Assertions about a run that has ended."""

    def assert_failed(self, server, run, code):
        self.assertEqual((run["status"], run.get("failure", {}).get("code")), ("failed", code), run)
        self.assertTrue(run["failure"]["reason"])
        events = server.events(run["id"])
        self.assertEqual([e["sequence"] for e in events], list(range(1, run["lastEventSeq"] + 1)))
        self.assertEqual(events[-1]["type"], "run.failed")
        return events

    def assert_logs(self, server, run):
        artifacts = server.artifacts(run["id"])
        for kind in ("stdout_log", "stderr_log", "session_events", "session_manifest"):
            self.assertIn(kind, artifacts)
        return artifacts


class WrongAgent(Ended):
    """What is installed as `codex` is not what it should be."""

    def outcome(self, agents):
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server:
            run, events = server.finish(server.create("sim: reply never")["id"], 30)
            self.outcome_events = events
            self.assertEqual(server.events(run["id"]), events)
            if "sandbox.created" in kinds(events):
                self.assert_logs(server, run)
            return run

    def code(self, agents):
        run = self.outcome(agents)
        self.assertEqual(run["status"], "failed")
        return run["failure"]["code"], run["failure"]["reason"]

    def test_missing_binary(self):
        if stores.POSTGRES:
            agents = AgentsDir(missing=True)
            self.addCleanup(agents.remove)
            with Server(agents_dir=agents.path) as server:
                self.assert_waits_for(server, server.create("sim: reply never")["id"], {"runtime": "codex"})
            return
        code, reason = self.code(AgentsDir(missing=True))
        self.assertEqual(code, "agent_missing")
        self.assertIn("agentrouter agents install codex", reason)
        self.assertNotIn("sandbox.created", kinds(self.outcome_events))

    def test_wrong_version(self):
        code, reason = self.code(AgentsDir(answering("0.1.0", "exit 0")))
        self.assertEqual(code, "agent_version_mismatch")
        self.assertIn("0.1.0", reason)
        self.assertIn("0.169.0", reason)

    def test_exits_at_once(self):
        code, _ = self.code(AgentsDir(answering("0.169.0", "echo no such luck >&2; exit 7")))
        self.assertEqual(code, "agent_exited")

    def test_prints_garbage_from_the_start(self):
        code, _ = self.code(AgentsDir(answering("0.169.0", "echo this is no protocol; cat >/dev/null")))
        self.assertEqual(code, "agent_protocol_error")


class Peak(threading.Thread):
    """The highest VmHWM of the server and of each keeper, read while they live."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.keeper, self.done = server, 0, threading.Event()

    def run(self):
        known = set()
        while not self.done.is_set():
            known |= set(keepers(self.server.data))
            for _ in range(10):
                known = {p for p in known if (kib := status_kib(p, "VmHWM")) is not None and self.note(kib)}
                if self.done.wait(0.01):
                    break

    def note(self, kib):
        self.keeper = max(self.keeper, kib)
        return True

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        self.join()
        self.process = status_kib(self.server.pid, "VmHWM")


class WithScriptedAgent(Ended):
    arguments = ("--sim",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.server = Server(agents_dir=cls.agents.path, args=cls.arguments).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.tidy()
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        super().tearDownClass()


class Loud(WithScriptedAgent):
    """A thousand megabytes of output, beside another run."""
    arguments = ("--sim", "--concurrency", "3")

    def flood(self, shape, *codes):
        with Peak(self.server) as peak:
            # Not before its keeper was seen: some floods are over at once.
            loud = self.server.create(f"sim: say Hear me.\nsim: flood {FLOOD} {shape}\nsim: reply Never said.", approvalMode="manual")["id"]
            asked = self.server.wait_until(loud, lambda e: e["type"] == "approval.requested", 30)[-1]["payload"]
            wait_for(lambda: peak.keeper, 20, "a look at the keeper")
            begun = time.monotonic()
            self.server.call("POST", f"/v1/runs/{loud}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
            self.server.wait_until(loud, lambda e: e["type"] == "agent.started", 30)
            start = time.monotonic()
            quiet, _ = self.server.finish(self.server.create("sim: sh echo quiet\nsim: reply Quiet.")["id"], 60)
            other = time.monotonic() - start
            run, _ = self.server.finish(loud, 120)
            took = time.monotonic() - begun
        print(f"\n  flood {shape or 'messages':8} {run['failure']['code']:22} {took:5.1f} s; server VmHWM {peak.process / 1024:.1f} MiB, "
              f"keeper {peak.keeper / 1024:.1f} MiB; the other run took {other:.2f} s", flush=True)
        self.assertEqual(quiet["status"], "completed")
        self.assertLess(other, 10, "another run was held up")
        self.assertIn(run["failure"]["code"], codes)
        self.assert_failed(self.server, run, run["failure"]["code"])
        self.assert_logs(self.server, run)
        self.assertGreater(peak.keeper, 0)
        self.assertLess(peak.keeper, MOST_KIB)
        self.assertLess(peak.process, MOST_KIB)

    def test_as_protocol_messages(self):
        self.flood("", "output_limit")

    def test_as_one_line_without_an_end(self):
        self.flood("line", "agent_protocol_error", "output_limit")

    def test_on_stderr(self):
        self.flood("stderr", "output_limit")


class LoudLines(Ended):
    def test_as_many_lines_of_garbage(self):
        agents = AgentsDir(answering("0.169.0", f"yes no protocol at all | head -c {FLOOD}; cat >/dev/null"))
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server, Peak(server) as peak:
            run, _ = server.finish(server.create("sim: reply never")["id"], 60)
            self.assertIn(run["failure"]["code"], ("agent_protocol_error", "output_limit"))
            self.assert_logs(server, run)
            peak.done.set()
            peak.join()
            self.assertLess(peak.keeper, MOST_KIB)
            self.assertLess(status_kib(server.pid, "VmHWM"), MOST_KIB)


class Endings(WithScriptedAgent):
    def test_exit_in_the_middle_of_a_turn(self):
        run, _ = self.server.finish(self.server.create("sim: say Bye.\nsim: exit 3\nsim: reply Never.")["id"], 30)
        self.assert_failed(self.server, run, "agent_exited")
        self.assert_logs(self.server, run)

    def test_garbage_in_the_middle_of_a_turn(self):
        run, _ = self.server.finish(self.server.create("sim: say Now.\nsim: garbage\nsim: reply Never.")["id"], 30)
        events = self.assert_failed(self.server, run, "agent_protocol_error")
        self.assertIn("Now.", [e["payload"].get("text") for e in of(events, "agent.message")])

    def test_a_hanging_agent_can_be_cancelled_and_keeps_what_it_did(self):
        created = self.server.create("sim: write kept.txt kept\\n\nsim: hang")
        self.server.wait_until(created["id"], lambda e: e["type"] == "agent.tool_completed", 30)
        start = time.monotonic()
        reply = self.server.call("POST", f"/v1/runs/{created['id']}/cancel", {})
        self.assertEqual(reply["status"], "cancelling")
        self.assertIn("cancelRequestedAt", reply)
        again = self.server.call("POST", f"/v1/runs/{created['id']}/cancel")
        self.assertEqual(again["cancelRequestedAt"], reply["cancelRequestedAt"])
        run, events = self.server.finish(created["id"], 30)
        took = time.monotonic() - start
        print(f"\n  cancel of a hanging agent: {took:.2f} s", flush=True)
        self.assertLess(took, GRACE_BOUND)
        self.assertEqual(run["status"], "cancelled")
        self.assertNotIn("failure", run)
        self.assertEqual(events[-1]["type"], "run.cancelled")
        failed = of(events, "execution.failed")
        self.assertEqual([e["payload"].get("reason") for e in failed], ["cancelled"])
        artifacts = self.assert_logs(self.server, run)
        patch = self.server.download(run["id"], artifacts["workspace_patch"]["id"])
        self.assertIn(b"+kept", patch)
        log = gzip.decompress(self.server.download(run["id"], artifacts["stdout_log"]["id"]))
        self.assertIn(b"kept.txt", log)
        self.assertEqual(self.server.call("POST", f"/v1/runs/{created['id']}/cancel", {}), run)

    def test_cancel_of_an_ended_run_changes_nothing(self):
        run, _ = self.server.finish(self.server.create("sim: reply Done.")["id"], 30)
        self.assertEqual(run["status"], "completed")
        self.assertEqual(self.server.call("POST", f"/v1/runs/{run['id']}/cancel", {}), run)
        self.assertEqual(len(self.server.events(run["id"])), run["lastEventSeq"])

    def test_cancel_of_an_unknown_run(self):
        status, _, data = self.server.request("POST", "/v1/runs/run_00000000-0000-4000-8000-000000000000/cancel", {})
        self.assertEqual(status, 404)
        self.assertIn(b"run_not_found", data)


class Queued(WithScriptedAgent):
    arguments = ("--sim", "--concurrency", "1")

    def test_cancel_of_a_queued_run(self):
        first = self.server.create("sim: hang")["id"]
        self.server.wait_until(first, lambda e: e["type"] == "agent.started", 30)
        second = self.server.create("sim: reply Never.")["id"]
        self.assertEqual(self.server.run(second)["status"], "queued")
        start = time.monotonic()
        self.assertEqual(self.server.call("POST", f"/v1/runs/{second}/cancel", {})["status"], "cancelling")
        run, events = self.server.finish(second, 20)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(run["status"], "cancelled")
        self.assertNotIn("startedAt", run)
        self.assertNotIn("sandbox.created", kinds(events))
        self.assertEqual(self.server.run(first)["status"], "running")
        self.server.call("POST", f"/v1/runs/{first}/cancel", {})
        self.assertEqual(self.server.finish(first, 20)[0]["status"], "cancelled")


class Approvals(WithScriptedAgent):
    def asked(self, run_id):
        return self.server.wait_until(run_id, lambda e: e["type"] == "approval.requested", 30)[-1]["payload"]

    def decide(self, run_id, question, verb, digest=None, expect=(200,)):
        return self.server.call("POST", f"/v1/runs/{run_id}/actions/{question['actionId']}/{verb}",
                                {"actionDigest": digest or question["actionDigest"]}, expect=expect)

    def test_block_is_policy_denied(self):
        run, events = self.server.finish(self.server.create("sim: reply Never.", approvalMode="block")["id"], 30)
        self.assert_failed(self.server, run, "policy_denied")
        self.assertEqual(of(events, "policy.evaluated")[0]["payload"]["decision"], "blocked")
        self.assertNotIn("execution.started", kinds(events))
        self.assertNotIn("agent.started", kinds(events))

    def test_approve_lets_it_run(self):
        run_id = self.server.create("sim: reply Allowed.", approvalMode="manual")["id"]
        question = self.asked(run_id)
        self.assertNotIn("execution.started", kinds(self.server.events(run_id)))
        decision = self.decide(run_id, question, "approve")
        self.assertEqual(decision["type"], "approval.decided")
        self.assertEqual(self.decide(run_id, question, "approve")["sequence"], decision["sequence"])
        run, events = self.server.finish(run_id, 30)
        self.assertEqual(run["status"], "completed", run)
        order = [t for t in kinds(events) if t in ("approval.requested", "approval.decided", "execution.started", "agent.started")]
        self.assertEqual(order, ["approval.requested", "approval.decided", "execution.started", "agent.started"])
        opposite = self.decide(run_id, question, "deny", expect=(409,))
        self.assertEqual(opposite["error"]["code"], "approval_already_decided")

    def test_deny_ends_it(self):
        run_id = self.server.create("sim: reply Never.", approvalMode="manual")["id"]
        self.decide(run_id, self.asked(run_id), "deny")
        run, events = self.server.finish(run_id, 30)
        self.assert_failed(self.server, run, "approval_denied")
        self.assertNotIn("execution.started", kinds(events))

    def test_a_wrong_digest_and_an_unknown_action_decide_nothing(self):
        run_id = self.server.create("sim: reply Allowed.", approvalMode="manual")["id"]
        question = self.asked(run_id)
        wrong = "sha256:" + "0" * 64
        error = self.decide(run_id, question, "approve", wrong, expect=(409,))["error"]
        self.assertEqual(error["code"], "action_digest_mismatch")
        self.assertEqual(error["details"], {"expected": question["actionDigest"], "received": wrong})
        unknown = self.decide(run_id, {**question, "actionId": "act_none"}, "approve", expect=(409,))
        self.assertEqual(unknown["error"]["code"], "approval_not_requested")
        self.assertNotIn("approval.decided", kinds(self.server.events(run_id)))
        self.server.call("POST", f"/v1/runs/{run_id}/cancel", {})
        run, _ = self.server.finish(run_id, 20)
        self.assertEqual(run["status"], "cancelled")
        late = self.decide(run_id, question, "approve", expect=(409,))
        self.assertEqual(late["error"]["code"], "run_not_active")


class Killed(Ended):
    """kill -9 of the server or of a keeper."""

    def setUp(self):
        self.agents = AgentsDir()
        self.server = Server(agents_dir=self.agents.path).start()
        self.addCleanup(self.agents.remove)
        self.addCleanup(self.server.remove_data)
        self.addCleanup(lambda: self.server.stop())

    def keeper(self):
        return wait_for(lambda: keepers(self.server.data), 20, "a keeper").popitem()[0]

    def approve(self, run_id, question):
        self.server.call("POST", f"/v1/runs/{run_id}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})

    def test_a_question_survives_a_kill_of_the_server(self):
        run_id = self.server.create("sim: reply Allowed.", approvalMode="manual")["id"]
        seen = self.server.wait_until(run_id, lambda e: e["type"] == "approval.requested", 30)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.server.events(run_id)[:len(seen)], seen)
        self.approve(run_id, seen[-1]["payload"])
        run, events = self.server.finish(run_id, 30)
        self.assertEqual(run["status"], "completed", run)
        self.assertEqual(events[:len(seen)], seen)
        self.assertEqual(len(of(events, "approval.requested")), 1)
        self.assertNotIn("run.attempt_started", kinds(events))

    def test_a_keeper_killed_before_the_launch_is_replaced(self):
        run_id = self.server.create("sim: reply Second try.", approvalMode="manual")["id"]
        seen = self.server.wait_until(run_id, lambda e: e["type"] == "approval.requested", 30)
        keeper = self.keeper()
        namespace = sandbox_of(keeper)
        self.assertTrue(processes_in(namespace))
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: not processes_in(namespace), 10, "the sandbox's processes to be gone")
        again = self.server.wait_until(run_id, lambda e: e["type"] == "run.attempt_started", 30, after=seen[-1]["sequence"])
        self.assertGreaterEqual(again[-1]["payload"]["attempt"], 2)
        question = seen[-1]["payload"]
        later = [e["payload"] for e in self.pending_after(run_id, again[-1]["sequence"])]
        self.approve(run_id, later[-1] if later else question)
        run, events = self.server.finish(run_id, 30)
        self.assertEqual(run["status"], "completed", run)
        self.assertEqual(len(of(events, "execution.started")), 1)

    def pending_after(self, run_id, sequence):
        """The question of the second attempt, when it asks one of its own."""
        seen = self.server.wait_until(run_id, lambda e: e["type"] in {"approval.requested", "policy.evaluated"} | TERMINAL, 30, after=sequence)
        if seen[-1]["type"] == "policy.evaluated":
            seen += self.server.wait_until(run_id, lambda e: e["type"] in ("approval.requested", "execution.started") or e["type"] in TERMINAL,
                                           30, after=seen[-1]["sequence"])
        return of(seen, "approval.requested")

    def test_a_keeper_killed_after_the_launch_loses_the_attempt_and_nothing_runs_on(self):
        run_id = self.server.create("sim: write half.txt half\\n\nsim: hang")["id"]
        self.server.wait_until(run_id, lambda e: e["type"] == "agent.tool_completed", 30)
        keeper = self.keeper()
        namespace = sandbox_of(keeper)
        self.assertGreaterEqual(len(processes_in(namespace)), 2)
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: not processes_in(namespace), 10, "the sandbox's processes to be gone")
        run, events = self.server.finish(run_id, 30)
        self.assert_failed(self.server, run, "attempt_lost")
        self.assertEqual(len(of(events, "execution.started")), 1)
        artifacts = self.assert_logs(self.server, run)
        self.assertIn(b"half.txt", gzip.decompress(self.server.download(run_id, artifacts["stdout_log"]["id"])))


if __name__ == "__main__":
    main()
