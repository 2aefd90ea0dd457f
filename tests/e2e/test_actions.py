"""approvalScope "action" with both real agents: each thing that an agent wants to do is an action, what was approved happens once, what was not
does not happen. test_kill_points.py kills server and keeper meanwhile."""
import json
import pathlib
import select
import shutil
import socket
import tempfile

from harness import KEY, ROOT, Case, Server, digest, main
from person import Person, allows, of, tool_actions

KINDS = ("codex", "claude_code")
CONFIG = """
[mcp_servers.sums]
command = "/usr/bin/python3"
args = ["{{mount}}/mcp_server.py"]
mount = "{mount}"
"""
# Twelve actions of all kinds; what has "no-" in it is denied. The canary's file is made without that word.
TWELVE = r"""sim: sh echo one >> yes-shell.txt; printf canary-7d1 > "n"o-read.txt
sim: sh echo one >> no-shell.txt
sim: write yes-file.txt alpha
sim: write no-file.txt alpha
sim: edit yes-file.txt alpha => beta
sim: edit yes-file.txt beta => no-gamma
sim: read yes-file.txt
sim: read no-read.txt
sim: mcp sums mark {"text": "yes-mark"}
sim: mcp sums mark {"text": "no-mark"}
sim: sh exit 3
sim: with sh sleep 4242 # no-sleep
sim: reply Finished."""


class Actions(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-actions-"))
        cls.folder.chmod(0o755)
        tools = cls.folder / "tools"
        tools.mkdir()
        shutil.copy(ROOT / "tests/support/mcp_server.py", tools)
        (cls.folder / "server.toml").write_text(CONFIG.format(mount=tools))
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(cls.folder / "server.toml"))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def create(self, task, kind="codex", **fields):
        fields.setdefault("approvalScope", "action")
        return self.server.create(task, runtime={"kind": kind, **fields.pop("runtime", {})}, **fields)["id"]

    def patch(self, run):
        return self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()

    def ended(self, run, status="completed", seconds=90):
        record, events = self.server.finish(run, seconds)
        self.assertEqual(record["status"], status, record.get("failure"))
        return events

    def test_twelve_actions_of_all_kinds_half_of_them_denied(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create(TWELVE, kind, approvalMode="manual", mcp=["sums"])
                with Person(self.server, run, allows):
                    events = self.ended(run)
                actions = tool_actions(events)
                self.assertEqual(len(actions), 12, [a["action.proposed"]["targetResource"] for a in actions])
                self.check_lives(events, actions)
                denied = [a for a in actions if a["approval.decided"]["decision"] == "denied"]
                self.assertEqual(len(denied), 6)
                self.assertEqual(sorted(a["action.proposed"]["action"]["args"]["tool"] for a in denied),
                                 ["edit", "edit", "mcp", "read" if kind == "claude_code" else "shell", "shell", "shell"])
                patch = self.patch(run)
                for name in ("yes-shell.txt", "yes-file.txt", "marks.txt"):
                    self.assertIn(f"b/{name}\n", patch)
                for word in ("no-shell", "no-file", "no-gamma", "no-mark"):
                    self.assertNotIn(word, patch)
                self.assertEqual(patch.count("+one\n"), 1, "once and not twice")
                self.assertEqual(patch.count("+yes-mark\n"), 1)
                self.assertIn("+beta\n", patch)
                self.assertNotIn("canary-7d1", json.dumps(of(events, "agent.tool_completed")), "what was not to be read")
                ends = [a for a in actions if "execution.failed" in a]
                self.assertEqual([a["execution.failed"].get("exitCode") for a in ends], [3])
                self.check_record(run, actions)

    def check_lives(self, events, actions):
        """Each action's events are linked by their causes, share its digest, and are as many as its life has."""
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        launch = of(events, "execution.started")[0]
        for action in actions:
            proposed = action["action.proposed"]
            self.assertEqual(proposed["actionDigest"], digest(proposed["action"]))
            self.assertEqual(proposed["argsDigest"], digest(proposed["action"]["args"]))
            self.assertEqual(proposed["priorEventId"], launch["eventId"])
            chain = ["action.proposed", "policy.evaluated", "approval.requested", "approval.decided"]
            approved = action["approval.decided"]["decision"] == "approved"
            if approved:
                chain += ["execution.started", "execution.completed" if "execution.completed" in action else "execution.failed"]
            self.assertEqual(sorted(action), sorted(chain))
            for before, after in zip(chain, chain[1:]):
                self.assertEqual(action[after]["priorEventId"], action[before]["eventId"], after)
                self.assertEqual(action[after]["actionDigest"], proposed["actionDigest"])
            self.assertTrue(action["approval.decided"]["decidedBy"].startswith("key_"))
        for kind in ("action.proposed", "approval.requested", "approval.decided"):
            self.assertEqual(len(of(events, kind)), len(actions) + 1, kind)

    def check_record(self, run, actions):
        record = self.server.call("GET", f"/v1/runs/{run}/record")
        self.assertEqual((record["approvalScope"], record["pendingApprovals"]), ("action", []))
        told = {action["actionId"]: action for action in record["actions"]}
        for action in actions:
            proposed = action["action.proposed"]
            one = told[proposed["actionId"]]
            self.assertEqual(one["actionDigest"], proposed["actionDigest"])
            self.assertEqual(one["approval"]["state"], action["approval.decided"]["decision"])
            self.assertEqual(one["approval"]["decidedBy"], action["approval.decided"]["decidedBy"])
            self.assertEqual(one["execution"] is None, action["approval.decided"]["decision"] == "denied")

    def test_a_denied_agent_is_told_and_goes_on(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create("sim: sh touch no-file\nsim: reply Went on.", kind)
                with Person(self.server, run, allows):
                    events = self.ended(run)
                self.assertEqual(of(events, "agent.response")[0]["text"], "Went on.")
                self.assertEqual([e["status"] for e in of(events, "agent.tool_completed")], ["declined"])
                self.assertEqual(self.patch(run), "")

    def test_modes_ask_about_what_they_do_not_allow(self):
        task = "sim: sh cat /etc/hostname\nsim: write yes.txt alpha\nsim: sh touch yes-2.txt\nsim: reply Done."
        cells = {("codex", "default"): ["shell", "edit", "shell"][1:], ("codex", "full_access"): [], ("claude_code", "default"): ["edit", "shell"],
                 ("claude_code", "acceptEdits"): ["shell"], ("claude_code", "bypassPermissions"): [], ("claude_code", "dontAsk"): []}
        for (kind, mode), expected in cells.items():
            with self.subTest((kind, mode)):
                run = self.create(task, kind, runtime={("mode" if kind == "codex" else "permissionMode"): mode})
                with Person(self.server, run, allows):
                    events = self.ended(run)
                asked = [a["action.proposed"]["action"]["args"]["tool"] for a in tool_actions(events) if "approval.requested" in a]
                self.assertEqual(asked, expected)
                self.assertEqual("yes.txt" in self.patch(run), mode != "dontAsk")

    def test_codex_asks_about_reads_in_every_spelling(self):
        commands = ("ls", "/bin/ls", "cat /etc/hostname", "git status", "sed -n 1p /etc/hostname", "./yes.sh")
        run = self.create("\n".join(["sim: sh printf '#!/bin/sh\\n' > yes.sh; chmod +x yes.sh", *(f"sim: sh {c}" for c in commands), "sim: reply Done."]),
                          approvalMode="manual")
        with Person(self.server, run, allows):
            events = self.ended(run)
        self.assertEqual(len([a for a in tool_actions(events) if "approval.requested" in a]), len(commands) + 1)

    def test_typing_into_a_running_command_ends_the_run(self):
        task = ('sim: call exec_command {"cmd": "cat > typed.txt", "tty": true, "yield_time_ms": 500}\n'
                'sim: call write_stdin {"chars": "typed\\n\\u0004", "yield_time_ms": 1000}\nsim: sh touch later.txt\nsim: reply Done.')
        run = self.create(task)
        with Person(self.server, run, allows):
            events = self.ended(run, "failed")
        self.assertEqual(of(events, "run.failed")[0]["code"], "ungated_tool_call")
        self.assertNotIn("later.txt", self.patch(run))

    def test_a_question_that_nobody_answers_in_time_ends_the_run(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create("sim: sh touch late.txt\nsim: reply Done.", kind, approvalTimeoutSeconds=1)
                events = self.ended(run, "failed")
                self.assertEqual(of(events, "run.failed")[0]["code"], "approval_expired")
                action = tool_actions(events)[0]
                self.assertIn("approval.expired", action)
                self.assertNotIn("execution.started", action)
                self.assertEqual(self.patch(run), "")
                refused = self.server.call("POST", f"/v1/runs/{run}/actions/{action['action.proposed']['actionId']}/approve",
                                           {"actionDigest": action["action.proposed"]["actionDigest"]}, expect=(409,))
                self.assertEqual(refused["error"]["code"], "approval_not_pending")

    def test_a_cancel_takes_open_questions_back(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create("sim: sh touch late.txt\nsim: with sh touch later.txt\nsim: reply Done.", kind)
                question = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
                self.server.call("POST", f"/v1/runs/{run}/cancel")
                events = self.ended(run, "cancelled")
                for action in tool_actions(events):
                    self.assertEqual("approval.withdrawn" in action, "approval.requested" in action)
                    self.assertNotIn("execution.started", action)
                refused = self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve",
                                           {"actionDigest": question["actionDigest"]}, expect=(409,))
                self.assertEqual(refused["error"]["code"], "approval_not_pending")
                self.assertEqual(self.patch(run), "")

    def test_an_approval_of_one_action_does_not_start_another(self):
        run = self.create("sim: sh touch yes.txt\nsim: with sh touch yes-2.txt\nsim: reply Done.")
        seen = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")
        first = seen[-1]["payload"]
        path = f"/v1/runs/{run}/approvals"
        other = "sha256:" + "0" * 64
        reply = self.server.call("POST", path, {"decisions": [{"actionId": first["actionId"], "actionDigest": other, "decision": "approved"}]})
        self.assertEqual(reply["items"][0]["error"]["code"], "action_digest_mismatch")
        self.assertEqual([a for a in tool_actions(self.server.events(run)) if "execution.started" in a], [])
        with Person(self.server, run, allows):
            events = self.ended(run)
        self.assertEqual(len([a for a in tool_actions(events) if "execution.completed" in a]), 2)

    def test_claude_code_runs_what_a_person_put_in_its_place(self):
        run = self.create("sim: sh touch asked.txt\nsim: reply Done.", "claude_code")
        question = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve",
                         {"actionDigest": question["actionDigest"], "updatedInput": {"command": "touch edited.txt"}})
        events = self.ended(run)
        edited, started = of(events, "action.edited")[0], of(events, "execution.started")[1]
        self.assertEqual(edited["editedFrom"], question["actionDigest"])
        self.assertEqual(started["actionDigest"], edited["actionDigest"])
        self.assertEqual(edited["actionDigest"], digest(edited["action"]))
        patch = self.patch(run)
        self.assertIn("edited.txt", patch)
        self.assertNotIn("asked.txt", patch)

    def test_codex_takes_no_other_input(self):
        run = self.create("sim: sh touch no-file\nsim: reply Done.")
        question = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        refused = self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve",
                                   {"actionDigest": question["actionDigest"], "updatedInput": {"command": "ls"}}, expect=(400,))
        self.assertEqual(refused["error"]["code"], "unsupported_option")
        with Person(self.server, run, allows):
            self.ended(run)

    def test_later_turns_inherit_the_scope(self):
        first = self.create("sim: reply Began.")
        self.ended(first)
        second = self.server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh touch no-file\nsim: reply Done."}, expect=(202,))["runId"]
        with Person(self.server, second, allows):
            events = self.ended(second)
        self.assertEqual(tool_actions(events)[0]["approval.decided"]["decision"], "denied")


class Waiting(Case):
    def test_who_waits_for_a_question_does_not_hold_up_the_servers_end(self):
        with Server() as server:
            with socket.create_connection((server.host, int(server.port)), timeout=20) as waiter:
                waiter.sendall(f"GET /v1/approvals?waitSeconds=30 HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
                self.assertEqual(select.select([waiter], [], [], 0.5)[0], [], "it waits")
                server.stop(5)
                self.assertIn(b'{"items":[],"nextAfter":0}', waiter.recv(65536))


if __name__ == "__main__":
    main()
