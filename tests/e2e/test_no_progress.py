"""Agents that make no progress, with both real CLIs: a warning, a question whether the run goes on, an interrupt with words for the agent, the end;
and what is kept of a run that was ended so."""
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

from agents import keepers
from harness import KEY, TERMINAL, Case, Server, main

KINDS = ("codex", "claude_code")
# How long a person takes in the slow variant; 0 leaves it out.
HOLD_SECONDS = int(os.environ.get("AGENTROUTER_HOLD_SECONDS", "0"))
POLICIES = {
    "asks": 'action = "ask"',
    "interrupts": 'action = "interrupt"',
    "stops": 'action = "stop"',
    "ladder": 'action = ["warn", "interrupt", "stop"]',
}
CIRCLE = "sim: write before.txt one\nsim: repeat 3 sh false\nsim: sh echo more > after.txt\nsim: reply Done."


def of(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


class NoProgress(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-progress-"))
        policies = cls.folder / "policies"
        policies.mkdir()
        for name, text in POLICIES.items():
            (policies / f"{name}.toml").write_text(f"[no_progress]\n{text}\n")
        (cls.folder / "server.toml").write_text(f'[policy]\ndir = "{policies}"\n')
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(cls.folder / "server.toml"))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def start(self, task=CIRCLE, **fields):
        """A run of each agent, side by side."""
        return {kind: self.server.create(task, runtime={"kind": kind, **fields.get("runtime", {}).get(kind, {})},
                                         **{key: value for key, value in fields.items() if key != "runtime"})["id"] for kind in KINDS}

    def ended(self, run, status="completed"):
        record, events = self.server.finish(run, 90)
        self.assertEqual(record["status"], status, record.get("failure"))
        return record, events

    def patch(self, run):
        return self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()

    def question(self, run):
        events = self.server.wait_until(run, lambda e: e["type"] in TERMINAL or (
            e["type"] == "approval.requested" and e["payload"]["action"]["type"] == "continue"), 60)
        self.assertEqual(events[-1]["type"], "approval.requested", events[-1]["payload"])
        return events[-1]["payload"]

    def decide(self, run, payload, verb, **more):
        return self.server.call("POST", f"/v1/runs/{run}/actions/{payload['actionId']}/{verb}",
                                {"actionDigest": payload["actionDigest"], **more})

    def go_on(self, run, message):
        reply = self.server.call("POST", f"/v1/runs/{run}/messages", {"message": message}, expect=(202,))
        return self.ended(reply["runId"])

    def kept(self, run, events, code):
        """Everything of a run that was ended is there, and its conversation goes on."""
        record = self.server.run(run)
        self.assertEqual((record["failure"]["code"], record["failure"]["cause"]), (code, "repeated_command"))
        self.assertIn("false", record["failure"]["reason"])
        patch = self.patch(run)
        self.assertIn("b/before.txt", patch)
        self.assertNotIn("after.txt", patch)
        self.assertTrue(of(events, "checkpoint.created"))
        artifacts = self.server.artifacts(run)
        self.assertGreater(artifacts["stdout_log"]["sizeBytes"], 0)
        _, later = self.go_on(run, "sim: sh cat before.txt; ls\nsim: reply Fine.")
        outputs = "".join(payload["output"] for payload in of(later, "agent.tool_completed"))
        self.assertIn("one", outputs)
        self.assertNotIn("after.txt", outputs)

    def test_without_a_policy_it_is_a_warning(self):
        for kind, run in self.start().items():
            with self.subTest(kind):
                _, events = self.ended(run)
                signals = of(events, "agent.no_progress")
                self.assertEqual([(s["signal"], s["action"], s["occurrences"], s["exitCode"]) for s in signals], [("repeated_command", "warn", 3, 1)])
                self.assertIn("after.txt", self.patch(run))

    def test_a_person_lets_the_run_go_on(self):
        runs = self.start(policy="asks")
        for kind, run in runs.items():
            with self.subTest(kind):
                asked = self.question(run)
                self.assertEqual(asked["action"]["name"], f"{kind}.continue")
                self.assertEqual(asked["action"]["args"]["signal"], "repeated_command")
                pending = self.server.call("GET", f"/v1/approvals?runId={run}")["items"]
                self.assertEqual([item["actionId"] for item in pending], [asked["actionId"]])
                before = self.server.events(run)
                select.select([], [], [], 1.0)
                self.assertEqual([e["type"] for e in self.server.events(run)][len(before):], [])
                status, _, _ = self.server.request("GET", f"/v1/runs/{run}/files/after.txt")
                self.assertEqual(status, 404)
        shown = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], "approvals"], capture_output=True, text=True, timeout=30, check=True,
                               env={**os.environ, "AGENTROUTER_API_BASE_URL": self.server.url, "AGENTROUTER_API_KEY": KEY}).stdout
        self.assertIn("codex.continue", shown)
        for kind, run in runs.items():
            with self.subTest(kind):
                self.decide(run, self.question(run), "approve")
                _, events = self.ended(run)
                self.assertEqual([s["action"] for s in of(events, "agent.no_progress")], ["ask"])
                self.assertEqual(len(of(events, "agent.started")), 1)
                self.assertIn("after.txt", self.patch(run))

    @unittest.skipUnless(HOLD_SECONDS, "AGENTROUTER_HOLD_SECONDS says how long a person takes")
    def test_a_person_takes_long(self):
        runs = self.start(policy="asks")
        asked = {kind: self.question(run) for kind, run in runs.items()}
        select.select([], [], [], HOLD_SECONDS)
        for kind, run in runs.items():
            with self.subTest(kind):
                self.decide(run, asked[kind], "approve", reason="take your time")
                _, events = self.ended(run)
                self.assertIn("after.txt", self.patch(run))

    def test_a_person_ends_the_run(self):
        for kind, run in self.start(policy="asks").items():
            with self.subTest(kind):
                self.decide(run, self.question(run), "deny", reason="it is enough")
                record, events = self.ended(run, "failed")
                self.assertIn("it is enough", record["failure"]["reason"])
                self.kept(run, events, "approval_denied")

    def test_nobody_decides_in_time(self):
        run = self.server.create(CIRCLE, policy="asks", approvalTimeoutSeconds=1)["id"]
        record, events = self.ended(run, "failed")
        self.assertEqual(record["failure"]["code"], "approval_expired")
        self.assertTrue(of(events, "approval.expired"))

    def test_where_each_call_is_an_action_too(self):
        modes = {"codex": {"mode": "full_access"}, "claude_code": {"permissionMode": "bypassPermissions"}}
        for kind, run in self.start(policy="asks", approvalScope="action", runtime=modes).items():
            with self.subTest(kind):
                self.decide(run, self.question(run), "approve")
                _, events = self.ended(run)
                asked = of(events, "approval.requested")
                self.assertEqual([payload["action"]["type"] for payload in asked], ["continue"])
                self.assertIn("after.txt", self.patch(run))

    def test_cancel_while_a_person_is_asked(self):
        for kind, run in self.start(policy="asks").items():
            with self.subTest(kind):
                self.question(run)
                self.server.call("POST", f"/v1/runs/{run}/cancel", {})
                self.ended(run, "cancelled")
                self.assertEqual(self.server.call("GET", f"/v1/approvals?runId={run}")["items"], [])

    def test_the_question_survives_the_server(self):
        run = self.server.create(CIRCLE, policy="asks")["id"]
        asked = self.question(run)
        self.server.kill()
        self.server.start()
        self.decide(run, asked, "approve")
        self.ended(run)
        self.assertIn("after.txt", self.patch(run))

    def test_a_lost_keeper_voids_the_question(self):
        run = self.server.create(CIRCLE, policy="asks")["id"]
        asked = self.question(run)
        for pid in keepers(self.server.data):
            os.kill(pid, signal.SIGKILL)
        record, _ = self.ended(run, "failed")
        self.assertEqual(record["failure"]["code"], "attempt_lost")
        status, _, _ = self.server.request("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.assertEqual(status, 409)

    def test_an_interrupted_agent_is_told_and_goes_on(self):
        for kind, run in self.start(policy="interrupts").items():
            with self.subTest(kind):
                _, events = self.ended(run)
                self.assertEqual([s["action"] for s in of(events, "agent.no_progress")], ["interrupt"])
                self.assertEqual(len(of(events, "agent.started")), 1)
                self.assertIn("after.txt", self.patch(run))
                _, later = self.go_on(run, "sim: recall your work makes no progress (repeated_command)")
                self.assertEqual(of(later, "agent.response")[0]["text"], "seen")

    def test_a_stopped_run_says_why_and_keeps_everything(self):
        for kind, run in self.start(policy="stops").items():
            with self.subTest(kind):
                _, events = self.ended(run, "failed")
                self.assertEqual([s["action"] for s in of(events, "agent.no_progress")], ["stop"])
                self.kept(run, events, "no_progress")

    def test_what_follows_gets_stricter_with_each_occurrence(self):
        for kind, run in self.start("sim: write before.txt one\nsim: repeat 14 sh false\nsim: sh touch after.txt", policy="ladder").items():
            with self.subTest(kind):
                _, events = self.ended(run, "failed")
                self.assertEqual([s["action"] for s in of(events, "agent.no_progress")], ["warn", "interrupt", "stop"])
                self.kept(run, events, "no_progress")

    def test_the_command_line_knows_the_table(self):
        def policy(*words, code=0):
            done = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], "policy", *words], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stdout + done.stderr
        policies = self.folder / "policies"
        self.assertEqual(policy("check", str(policies)).count("ok "), len(POLICIES))
        told = policy("explain", "--policy", str(policies / "ladder.toml"), "--signal", "all")
        self.assertIn("ping_pong: after 3, polls 30: warn, then interrupt, then stop\n", told)
        told = json.loads(policy("explain", "--policy", "ask-all", "--signal", "error_loop", "--json"))
        self.assertEqual(told["signals"], [{"signal": "error_loop", "after": 6, "actions": ["warn"], "failures": 10}])
        broken = self.folder / "broken.toml"
        broken.write_text('[no_progress]\naction = "kill"\n')
        self.assertIn("no_progress.action: want one of warn, interrupt, ask, stop", policy("check", str(broken), code=1))
        self.assertIn("there is no signal", policy("explain", "--policy", "ask-all", "--signal", "x", code=2))


if __name__ == "__main__":
    main()
