"""approvalScope "action" with both real agents: each thing that an agent wants to do is an action, what was approved happens once, what was not
does not happen, and nothing of that changes when the server or a keeper is killed at any moment of an action's life."""
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import tempfile
import threading

from agents import keepers
from harness import KEY, ROOT, TERMINAL, Case, Server, digest, main, wait_for

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
APPEND = "sim: sh echo first >> once.txt\nsim: sh echo second >> once.txt\nsim: reply Done."
# The server is being killed or started.
AWAY = (OSError, ValueError, http.client.HTTPException)
# Moments of an action's life, as the events of its run tell them.
MOMENTS = ("action.proposed", "approval.requested", "approval.decided", "execution.started", "agent.tool_completed", "execution.completed")
# One round is the bounded form for CI.
ROUNDS = int(os.environ.get("AGENTROUTER_ACTION_ROUNDS", "1"))


def of(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


def tool_actions(events):
    """The actions behind the launch, each with its events by type."""
    actions = {}
    for event in events:
        payload = event["payload"]
        if payload.get("actionId"):
            actions.setdefault(payload["actionId"], {})[event["type"]] = payload
    return [action for action in actions.values() if action["action.proposed"]["action"]["type"] == "tool_call"]


class Person(threading.Thread):
    """Waits for questions of one run without polling and decides as `decide(question event)` says: True, False, or None for not now."""

    def __init__(self, server, run_id, decide):
        super().__init__(daemon=True)
        self.server, self.run_id, self.decide = server, run_id, decide
        self.decided, self.over = [], threading.Event()

    def run(self):
        after = 0
        while not self.over.is_set():
            try:
                page = self.server.call("GET", f"/v1/approvals?runId={self.run_id}&after={after}&waitSeconds=2")
                for item in page["items"]:
                    self.answer(item)
                after = page["nextAfter"]
            except AWAY:
                select.select([], [], [], 0.02)

    def answer(self, item):
        word = self.decide(item["event"])
        if word is None:
            return
        body = {"actionDigest": item["actionDigest"], "reason": "as the test says"}
        verb = "approve" if word else "deny"
        # A reply that was lost is asked for again: deciding twice is deciding once.
        while not self.over.is_set():
            try:
                self.server.call("POST", f"/v1/runs/{self.run_id}/actions/{item['actionId']}/{verb}", body, expect=(200, 409))
                self.decided.append((item["actionId"], word))
                return
            except AWAY:
                select.select([], [], [], 0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.join(30)


def allows(event):
    action = event["payload"]["action"]
    return action["type"] != "tool_call" or "no-" not in json.dumps(action["args"]["input"])


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


class Killed(Case):
    """kill -9 at every moment of an action's life: never executed without approval, never twice, never lost."""

    def check_once(self, server, run, person):
        record, events = server.finish(run, 120)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        patch = server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode()
        actions = tool_actions(events)
        self.assertEqual(len(actions), 2)
        self.assertEqual((patch.count("+first\n"), patch.count("+second\n")), (1, 1), patch)
        for kind in ("approval.requested", "approval.decided", "execution.started", "execution.completed"):
            self.assertEqual(len([a for a in actions if kind in a]), 2, kind)
            self.assertEqual(len(of(events, kind)), 3 if kind.startswith("execution") else 2, kind)

    def test_the_server_at_every_moment(self):
        kills = 0
        with Server(args=("--sim", "--concurrency", "4")) as server:
            for _ in range(ROUNDS):
                for kind in KINDS:
                    for moment in MOMENTS:
                        for number in (1, 2):
                            with self.subTest((kind, moment, number)):
                                run = server.create(APPEND, runtime={"kind": kind}, approvalScope="action")["id"]
                                with Person(server, run, allows) as person:
                                    self.reach(server, run, moment, number)
                                    server.kill()
                                    kills += 1
                                    self.restart(server)
                                    self.check_once(server, run, person)
        print(f"\n{kills} kills of the server", flush=True)

    def test_who_waits_for_a_question_does_not_hold_up_the_servers_end(self):
        with Server() as server:
            with socket.create_connection((server.host, int(server.port)), timeout=20) as waiter:
                waiter.sendall(f"GET /v1/approvals?waitSeconds=30 HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
                self.assertEqual(select.select([waiter], [], [], 0.5)[0], [], "it waits")
                server.stop(5)
                self.assertIn(b'{"items":[],"nextAfter":0}', waiter.recv(65536))

    @staticmethod
    def reach(server, run, moment, number):
        """Waits for the moment of the numberth tool action."""
        seen = set()

        def reached(event):
            payload = event["payload"]
            of_tool = "callId" in payload or payload.get("decidedBy") or payload.get("action", {}).get("type") == "tool_call"
            if event["type"] == moment and of_tool:
                seen.add(payload.get("callId") or payload.get("actionId"))
            return len(seen) >= number or event["type"] in TERMINAL
        server.wait_until(run, reached, 90)

    @staticmethod
    def restart(server):
        server.listen = f"{server.host}:{server.port}"

        def started():
            with contextlib.suppress(AssertionError):
                return server.start()
        wait_for(started, 20, "the port to be free again")

    def test_a_keeper_at_every_moment(self):
        """What was asked is void, what was let go has an unknown outcome, and none of it happens afterwards."""
        kills = 0
        with Server(args=("--sim", "--concurrency", "4")) as server:
            for _ in range(ROUNDS):
                for kind in KINDS:
                    for moment in MOMENTS:
                        with self.subTest((kind, moment)):
                            run = server.create(APPEND, runtime={"kind": kind}, approvalScope="action")["id"]
                            with Person(server, run, allows):
                                self.reach(server, run, moment, 1)
                                kills += self.kill_keeper(server)
                                self.check_lost(server, run)
        print(f"\n{kills} kills of a keeper", flush=True)

    @staticmethod
    def kill_keeper(server):
        found = keepers(server.data)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def check_lost(self, server, run):
        record, events = server.finish(run, 90)
        actions = tool_actions(events)
        if record["status"] == "completed":  # it had ended before
            return
        self.assertEqual(record["failure"]["code"], "attempt_lost")
        for action in actions:
            proposed = action["action.proposed"]
            if "execution.started" in action:
                self.assertEqual(action.get("approval.decided", {}).get("decision"), "approved")
                end = action.get("execution.completed") or action["execution.failed"]
                self.assertTrue("execution.completed" in action or end["reason"] == "outcome_unknown", end)
            elif "approval.requested" in action and "approval.decided" not in action:
                self.assertEqual(action["approval.withdrawn"]["reason"], "attempt_lost")
            late = server.call("POST", f"/v1/runs/{run}/actions/{proposed['actionId']}/approve",
                               {"actionDigest": proposed["actionDigest"]}, expect=(200, 409))
            if "approval.decided" not in action:
                self.assertIn(late["error"]["code"], ("run_not_active", "approval_not_requested", "approval_not_pending"))
        self.assertEqual(server.call("GET", f"/v1/approvals?runId={run}")["items"], [])
        self.assertEqual(len(server.events(run)), len(events))


if __name__ == "__main__":
    main()
