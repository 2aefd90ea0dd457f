"""Every mode of both real agents on the simulated provider: what runs, what is denied and why, and what the reviewer decides."""
from harness import Case, Server, main

TASK = "sim: sh cat /etc/hostname\nsim: sh touch by_shell.txt; echo status $?\nsim: write by_tool.txt alpha\nsim: reply Done."
OPEN = {"shell": "completed", "edit": "completed"}
CLOSED = {"shell": "declined", "edit": "declined"}
# What becomes of the command that writes and of the edit. In the modes that read only, the command runs and the kernel refuses it.
CELLS = {
    ("codex", "default"): OPEN, ("codex", "full_access"): OPEN, ("codex", "auto_review"): OPEN,
    ("codex", "read_only"): {"shell": "completed", "edit": "declined"},
    ("claude_code", "default"): OPEN, ("claude_code", "acceptEdits"): OPEN, ("claude_code", "bypassPermissions"): OPEN, ("claude_code", "auto"): OPEN,
    ("claude_code", "plan"): {"shell": "completed", "edit": "declined"},
    ("claude_code", "dontAsk"): CLOSED,
}
REVIEWED = [("codex", "auto_review"), ("claude_code", "auto")]


def runtime(kind, mode):
    return {"kind": kind, ("mode" if kind == "codex" else "permissionMode"): mode}


class Modes(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(args=("--sim", "--concurrency", "4")).start()
        cls.runs = {cell: cls.create(TASK, *cell) for cell in CELLS}
        cls.judged = {(kind, mode, judge): cls.create(f"sim: judge {judge}\n{TASK}", kind, mode)
                      for kind, mode in REVIEWED for judge in ("deny", "garbage")}
        cls.manual = cls.create(TASK, "claude_code", "dontAsk", approvalMode="manual")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    @classmethod
    def create(cls, task, kind, mode, **fields):
        return cls.server.create(task, runtime=runtime(kind, mode), **fields)["id"]

    def payloads(self, run, kind):
        return [event["payload"] for event in self.server.events(run) if event["type"] == kind]

    def ended(self, run):
        record, _ = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        return self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()

    def calls(self, run):
        """The started calls, each with its end."""
        ends = {end["callId"]: end for end in self.payloads(run, "agent.tool_completed")}
        return [{**call, "end": ends[call["callId"]]} for call in self.payloads(run, "agent.tool_started")]

    def verdicts(self, run):
        return [verdict for verdict in self.payloads(run, "policy.evaluated") if "callId" in verdict]

    def test_each_mode_does_what_its_name_says(self):
        for cell, expected in CELLS.items():
            with self.subTest(cell):
                run = self.runs[cell]
                patch = self.ended(run)
                reading, writing, editing = self.calls(run)[:3]
                self.assertEqual((reading["tool"], reading["end"]["status"]), ("shell", "completed"))
                self.assertEqual({"shell": writing["end"]["status"], "edit": editing["end"]["status"]}, expected)
                read_only = cell[1] in ("read_only", "plan")
                self.assertEqual("by_shell.txt" in patch, expected["shell"] == "completed" and not read_only, patch)
                self.assertEqual("by_tool.txt" in patch, expected["edit"] == "completed", patch)
                if read_only:
                    self.assertIn("Read-only file system", writing["end"]["output"])
                for call in (reading, writing, editing):
                    self.assertEqual("durationMs" in call["end"], call["end"]["status"] != "declined", call)

    def test_a_denied_call_has_its_reason_in_an_event(self):
        for cell, expected in CELLS.items():
            if cell in REVIEWED:
                continue
            with self.subTest(cell):
                self.ended(self.runs[cell])
                declined = [call["callId"] for call in self.calls(self.runs[cell]) if call["end"]["status"] == "declined"]
                verdicts = self.verdicts(self.runs[cell])
                self.assertEqual([verdict["callId"] for verdict in verdicts], declined)
                for verdict in verdicts:
                    self.assertEqual((verdict["policyId"], verdict["decision"], verdict["actor"]), ("runtime-mode", "blocked", "policy"))
                    self.assertIn(cell[1], verdict["reason"])

    def test_the_reviewer_judges_what_does_not_only_read(self):
        for kind, mode in REVIEWED:
            with self.subTest(mode):
                run = self.runs[kind, mode]
                self.ended(run)
                verdicts = self.verdicts(run)
                self.assertEqual([verdict["tool"] for verdict in verdicts], ["shell", "edit"])
                for verdict in verdicts:
                    self.assertEqual((verdict["policyId"], verdict["decision"], verdict["reason"]), ("auto-review", "allowed", "Simulated review."))
                requests = self.payloads(run, "egress.request")
                self.assertEqual(len([request for request in requests if request.get("purpose") == "review"]), 2)
                usage = self.payloads(run, "usage.recorded")[0]
                self.assertEqual(usage["requests"], len([request for request in requests if request["decision"] == "forwarded"]))

    def test_a_denial_or_no_clear_word_of_the_reviewer_keeps_the_call_from_running(self):
        for (kind, mode, judge), run in self.judged.items():
            with self.subTest((mode, judge)):
                self.assertEqual(self.ended(run), "")
                self.assertEqual([call["end"]["status"] for call in self.calls(run)], ["completed", "declined", "declined"])
                for verdict in self.verdicts(run):
                    self.assertEqual(verdict["decision"], "blocked")
                    self.assertIn("Simulated review." if judge == "deny" else "no verdict", verdict["reason"])

    def test_a_mode_does_not_replace_the_launchs_approval(self):
        asked = self.server.wait_until(self.manual, lambda event: event["type"] == "approval.requested")[-1]["payload"]
        self.server.call("POST", f"/v1/runs/{self.manual}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.assertEqual(self.ended(self.manual), "")


if __name__ == "__main__":
    main()
