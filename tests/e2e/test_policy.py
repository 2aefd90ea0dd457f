"""Policies of the server with both real agents: what a rule denies does not happen, what it allows does, a request can only tighten, and files
count as soon as they have changed."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import KEY, Case, Server, main

KINDS = ("codex", "claude_code")
HOUSE = """
inherit = "ask-writes"
[[rules]]
id = "no-canary"
command = "touch"
with = "*canary*"
verdict = "deny"
reason = "Canaries stay"
[[rules]]
id = "touch"
command = "touch"
verdict = "allow"
"""
TASK = """sim: sh touch yes.txt
sim: sh bash -c "to'u'ch can''ary-1"
sim: sh true; env touch canary-2 && echo
sim: sh touch 'yes 2.txt'; ls
sim: reply Done."""


class Policies(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-policy-"))
        cls.policies = cls.folder / "policies"
        cls.policies.mkdir()
        (cls.policies / "house.toml").write_text(HOUSE)
        (cls.folder / "server.toml").write_text(f'[policy]\ndir = "{cls.policies}"\ndefault = "house"\n')
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(cls.folder / "server.toml"))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def verdicts(self, events):
        return [(e["payload"]["decision"], e["payload"].get("ruleId")) for e in events
                if e["type"] == "policy.evaluated" and "callId" in e["payload"]]

    def ended(self, run):
        record, events = self.server.finish(run, 90)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        return events

    def patch(self, run):
        return self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()

    def test_every_run_is_held_to_the_servers_policy(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.server.create(TASK, runtime={"kind": kind})["id"]
                events = self.ended(run)
                self.assertEqual(self.verdicts(events), [("allowed", "touch"), ("blocked", "no-canary"), ("blocked", "no-canary"), ("allowed", "touch")])
                patch = self.patch(run)
                self.assertIn("b/yes.txt", patch)
                self.assertIn("yes 2.txt", patch)
                self.assertNotIn("canary", patch)

    def test_a_request_only_tightens(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.server.create("sim: sh touch yes.txt\nsim: reply Done.", runtime={"kind": kind}, policy="locked")["id"]
                events = self.ended(run)
                self.assertEqual(self.verdicts(events), [("blocked", "default")])
                self.assertEqual(self.patch(run), "")
        run = self.server.create("sim: sh touch canary\nsim: reply Done.", policy="observe")["id"]
        self.assertEqual(self.verdicts(self.ended(run)), [("blocked", "no-canary")])

    def test_an_unknown_policy_is_refused_with_the_known_ones(self):
        status, _, data = self.server.request("POST", "/v1/runs", {"task": "sim: reply x", "policy": "nobody"})
        error = json.loads(data)["error"]
        self.assertEqual((status, error["code"]), (400, "policy_unknown"))
        self.assertEqual(error["details"]["known"], ["ask-all", "ask-writes", "ci-safe", "house", "locked", "observe"])

    def test_a_changed_file_counts_for_the_next_run_and_a_broken_one_does_not(self):
        path = self.policies / "other.toml"
        path.write_text('default = "allow"\n')
        self.server.create("sim: reply x", policy="other")
        path.write_text('default = "deny"\n# longer\n')
        run = self.server.create("sim: sh touch a\nsim: reply x", policy="other")["id"]
        self.assertEqual(self.verdicts(self.ended(run)), [("blocked", "default")])
        path.write_text("default = \n# broken, and longer still\n")
        run = self.server.create("sim: sh touch a\nsim: reply x", policy="other")["id"]
        self.assertEqual(self.verdicts(self.ended(run)), [("blocked", "default")])
        self.assertIn("a policy is broken", self.server.log_text())
        path.unlink()
        status, _, _ = self.server.request("POST", "/v1/runs", {"task": "sim: reply x", "policy": "other"})
        self.assertEqual(status, 400)

    def test_rules_judge_the_launch(self):
        path = self.policies / "launches.toml"
        path.write_text('default = "allow"\n[[rules]]\nid = "night"\ntool = "launch"\ntag = { time = "night" }\nverdict = "deny"\nreason = "Nobody is here"\n'
                        '[[rules]]\nid = "ask-first"\ntool = "launch"\nverdict = "ask"\n')
        self.addCleanup(path.unlink)
        denied = self.server.create("sim: reply x", policy="launches", tags={"time": "night"})["id"]
        record, events = self.server.finish(denied)
        self.assertEqual((record["status"], record["failure"]["code"]), ("failed", "policy_denied"))
        self.assertIn("Nobody is here", record["failure"]["reason"])
        verdict = next(e["payload"] for e in events if e["type"] == "policy.evaluated")
        self.assertEqual((verdict["policyId"], verdict["ruleId"], verdict["decision"]), ("launches", "night", "blocked"))
        run = self.server.create("sim: reply Done.", policy="launches")["id"]
        events = self.server.wait_until(run, lambda event: event["type"] == "approval.requested")
        asked = events[-1]["payload"]
        self.assertEqual(asked["action"]["type"], "runtime_command")
        self.assertEqual([e["payload"]["ruleId"] for e in events if e["type"] == "policy.evaluated"], ["ask-first"])
        self.server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.ended(run)

    def test_rules_are_drafted_from_decisions(self):
        run = self.server.create("sim: sh mkdir made\nsim: reply Done.")["id"]
        events = self.server.wait_until(run, lambda event: event["type"] == "approval.requested")
        asked = next(e["payload"] for e in events if e["type"] == "approval.requested")
        self.server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.ended(run)
        environment = {"AGENTROUTER_API_BASE_URL": self.server.url, "AGENTROUTER_API_KEY": KEY, "PATH": os.environ["PATH"]}
        drafted = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], "policy", "suggest", run], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(drafted.returncode, 0, drafted.stderr)
        self.assertIn('command = ["mkdir"]\nverdict = "allow"', drafted.stdout)


if __name__ == "__main__":
    main()
