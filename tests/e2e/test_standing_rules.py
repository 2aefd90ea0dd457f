"""The rest of a run by rule, with both real agents: what a person decided in advance happens at once and is told as that person's decision; what
no rule matches is asked; what is denied does not happen."""
import json
import os
import subprocess

from harness import KEY, PROGRAM, Case, Server, main

KINDS = ("codex", "claude_code")
TASK = """sim: sh echo one >> a.txt
sim: sh echo two >> b.txt
sim: sh touch asked.txt
sim: sh rm -rf a.txt
sim: reply Done."""


class Rules(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(args=("--sim", "--concurrency", "2")).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def question(self, run):
        page = {"items": []}
        while not page["items"]:
            page = self.server.call("GET", f"/v1/approvals?runId={run}&waitSeconds=20")
        return page["items"][0]

    def decide(self, run, question, verb="approve"):
        self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/{verb}", {"actionDigest": question["actionDigest"]})

    def command(self, *words):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.server.data), "AGENTROUTER_API_BASE_URL": self.server.url, "AGENTROUTER_API_KEY": KEY}
        return subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, env=env, timeout=60, check=True).stdout

    def actions(self, events):
        lives = {}
        for event in events:
            if event["payload"].get("actionId"):
                lives.setdefault(event["payload"]["actionId"], {})[event["type"]] = event["payload"]
        return [life for life in lives.values() if life["action.proposed"]["action"]["type"] == "tool_call"]

    def test_the_rest_is_approved_and_denied_by_rule(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.server.create(TASK, runtime={"kind": kind}, approvalScope="action", approvalMode="manual")["id"]
                self.decide(run, self.question(run))  # the launch, which no rule reaches
                first = self.question(run)
                given = json.loads(self.command("approvals", run, "--approve-rest", "command=echo", "--approve-rest", "path=*.txt", "--reason", "harmless", "--json"))
                # A redirection is a file that is written, which "command" alone does not cover.
                self.assertEqual(given["decided"], 0)
                self.command("approvals", run, "--approve-rest", "command=echo")
                self.command("approvals", run, "--approve-rest", "tool=shell", "--approve-rest", "path=*.txt")
                self.command("approvals", run, "--deny-rest", "command=rm", "--reason", "nothing is removed")
                asked = self.question(run)
                self.assertIn("touch asked.txt", json.dumps(asked["event"]["payload"]["action"]))
                self.decide(run, asked)
                record, events = self.server.finish(run)
                self.assertEqual(record["status"], "completed", record.get("failure"))
                actions = self.actions(events)
                decided = [(a["approval.decided"]["decision"], "ruleId" in a["approval.decided"]) for a in actions]
                self.assertEqual(decided, [("approved", True), ("approved", True), ("approved", False), ("denied", True)])
                for action in actions:
                    self.assertTrue(action["approval.decided"]["decidedBy"].startswith("key_"))
                    self.assertEqual(action["approval.decided"]["actionDigest"], action["action.proposed"]["actionDigest"])
                    self.assertEqual("execution.started" in action, action["approval.decided"]["decision"] == "approved")
                self.assertEqual(actions[0]["approval.requested"]["actionId"], first["actionId"])
                self.assertEqual(actions[3]["approval.decided"]["reason"], "nothing is removed")
                patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()
                for name in ("a.txt", "b.txt", "asked.txt"):
                    self.assertIn(f"b/{name}\n", patch)
                self.check_chain(run, events)
                later = self.server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh echo three >> c.txt\nsim: reply Done."}, expect=(202,))["runId"]
                self.assertEqual(self.server.call("GET", f"/v1/runs/{later}/approval-rules")["items"], [])
                self.decide(later, self.question(later))
                self.decide(later, self.question(later), "deny")
                self.server.finish(later)

    def check_chain(self, run, events):
        lines = self.command("audit", "export").splitlines()
        mine = [e for e in map(json.loads, lines) if e["runId"] == run]
        self.assertEqual(sum(e["type"] == "approval.rule_given" for e in mine), 4)
        decided = {e["sequence"]: e["who"] for e in mine if e["type"] == "approval.decided"}
        self.assertEqual(decided, {e["sequence"]: e["payload"]["decidedBy"] for e in events if e["type"] == "approval.decided"})

    def test_a_withdrawn_rule_decides_nothing_any_more(self):
        run = self.server.create("sim: sh true one\nsim: sh true two\nsim: sh true three\nsim: reply Done.", approvalScope="action", approvalMode="manual")["id"]
        self.decide(run, self.question(run))
        first = self.question(run)
        rule = self.server.call("POST", f"/v1/runs/{run}/approval-rules", {"decision": "approved", "rule": {"command": "true two"}})
        self.assertEqual(rule["decided"], 0)
        self.decide(run, first)
        third = self.question(run)
        self.assertIn("three", json.dumps(third["event"]["payload"]["action"]))
        rules = self.server.call("GET", f"/v1/runs/{run}/approval-rules")["items"]
        self.assertEqual((rules[0]["used"], rules[0]["givenBy"][:4]), (1, "key_"))
        self.assertIn("withdrawn", self.command("approvals", run, "--withdraw", rule["id"]))
        self.assertIn("used 1 times", self.command("approvals", run, "--rules"))
        self.decide(run, third)
        self.server.finish(run)
        refused = self.server.call("POST", f"/v1/runs/{run}/approval-rules", {"decision": "approved", "rule": {"tool": "shell"}}, expect=(409,))
        self.assertEqual(refused["error"]["code"], "run_not_active")

    def test_a_rule_survives_kill_9_and_never_loosens_a_policy(self):
        run = self.server.create("sim: sh true one\nsim: sh rm x\nsim: sh true two\nsim: reply Done.", approvalScope="action", approvalMode="manual", policy="locked")["id"]
        self.decide(run, self.question(run))
        self.server.call("POST", f"/v1/runs/{run}/approval-rules", {"decision": "approved", "rule": {"tool": "shell"}})
        self.server.kill()
        self.server.start()
        record, events = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        for action in self.actions(events):
            if action["policy.evaluated"]["decision"] == "blocked":
                self.assertNotIn("approval.decided", action)
                self.assertNotIn("execution.started", action)
        self.assertTrue(any(a["policy.evaluated"]["decision"] == "blocked" for a in self.actions(events)))


if __name__ == "__main__":
    main()
