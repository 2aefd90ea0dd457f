"""A policy file that changes while runs go on: what it denies from then on does not happen, not even what is being asked about, and what it allows
is asked about as before; with both real agents, and across a restart of the server."""
import pathlib
import shutil
import tempfile

from harness import Case, Server, main

KINDS = ("codex", "claude_code")
ASKS = 'inherit = "ask-all"\n'
DENIES = """inherit = "ask-all"
[[rules]]
id = "frozen"
tool = ["shell", "launch"]
verdict = "deny"
reason = "Nothing runs today"
"""
TASK = "sim: sh touch one.txt\nsim: sh touch two.txt\nsim: reply Done."


def of(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


class PolicyReload(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-reload-"))
        self.policies = self.folder / "policies"
        self.policies.mkdir()
        self.write(ASKS)
        (self.folder / "server.toml").write_text(f'[policy]\ndir = "{self.policies}"\ndefault = "house"\n')
        self.server = Server(args=("--sim", "--concurrency", "4", "--config", str(self.folder / "server.toml"))).start()

    def tearDown(self):
        self.server.stop()
        self.server.remove_data()
        shutil.rmtree(self.folder)

    def write(self, text):
        """As an editor does: beside it, and then in its place."""
        new = self.policies / ".new"
        new.write_text(text)
        new.rename(self.policies / "house.toml")

    def asked(self, run, count=1):
        events = self.server.wait_until(run, lambda e: e["type"] == "approval.requested" and (self.seen.append(e) or len(self.seen) == count))
        return of(events, "approval.requested")[-1]

    def create(self, task=TASK, kind="codex", **fields):
        self.seen = []
        return self.server.create(task, runtime={"kind": kind}, **fields)["id"]

    def approve(self, run, question):
        self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})

    def nothing_ran(self, run, asked=1):
        record, events = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        self.assertEqual([verdict["decision"] for verdict in of(events, "policy.evaluated") if "callId" in verdict],
                         ["requires_approval", "blocked", "blocked"])
        self.assertEqual(len(of(events, "approval.requested")), asked)
        self.assertEqual([event["reason"] for event in of(events, "approval.withdrawn")], ["policy_denied"])
        self.assertEqual({verdict.get("ruleId") for verdict in of(events, "policy.evaluated") if verdict["decision"] == "blocked"}, {"frozen"})
        changes = of(events, "policy.tightened")
        self.assertEqual([change["policyId"] for change in changes], ["house"])
        self.assertNotEqual(changes[0]["policyVersion"], changes[0]["pinnedVersion"])
        patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()
        self.assertEqual(patch, "")
        return events

    def test_what_is_denied_now_is_refused_also_while_a_person_is_asked(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.write(ASKS)
                run = self.create(kind=kind)
                question = self.asked(run)
                self.write(DENIES)
                self.nothing_ran(run)
                status, _, _ = self.server.request("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})
                self.assertEqual(status, 409)

    def test_a_launch_that_waits_for_a_person_is_refused(self):
        run = self.create(approvalMode="manual")
        self.asked(run)
        self.write(DENIES)
        record, events = self.server.finish(run)
        self.assertEqual((record["status"], of(events, "run.failed")[0]["code"]), ("failed", "policy_denied"))
        self.assertEqual(of(events, "execution.started"), [])

    def test_what_is_allowed_now_is_asked_about_as_before(self):
        run = self.create()
        first = self.asked(run)
        self.write('default = "allow"\n')
        self.server.wait_until(run, lambda e: e["type"] == "policy.tightened")
        self.approve(run, first)
        events = self.server.wait_until(run, lambda e: e["type"] == "approval.requested" and e["payload"]["actionId"] != first["actionId"])
        self.approve(run, of(events, "approval.requested")[-1])
        record, _ = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))

    def test_a_server_that_comes_back_tells_what_changed_meanwhile(self):
        run = self.create()
        self.asked(run)
        self.server.kill()
        self.write(DENIES)
        self.server.start()
        self.nothing_ran(run)

    def test_a_broken_file_and_one_that_is_gone_change_nothing(self):
        run = self.create()
        first = self.asked(run)
        self.write("default = perhaps\n")
        self.write("")
        (self.policies / "house.toml").unlink()
        (self.policies / "other.toml").write_text(DENIES)
        self.approve(run, first)
        events = self.server.wait_until(run, lambda e: e["type"] == "approval.requested" and e["payload"]["actionId"] != first["actionId"])
        self.approve(run, of(events, "approval.requested")[-1])
        record, _ = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))


if __name__ == "__main__":
    main()
