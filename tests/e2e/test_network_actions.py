"""What leaves the sandbox for an MCP server where each action is judged, with both real agents: a call that was approved passes with its approval,
once; what a program in the sandbox sends by itself is an action of its own; and what an MCP server is told to prove who asks is never on record."""
import base64
import json
import pathlib
import shutil
import tempfile

from harness import Case, Server, main, wait_for
from mcp_http import McpHttp

KINDS = ("codex", "claude_code")
WORD = "mcp-word-5b1e77aa90"
CONFIG = """
[mcp_servers.far]
url = "{url}"
[mcp_servers.far.headers]
Authorization = "Bearer {word}"
"""
# What a program in the sandbox sends by itself.
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 2, "b": 40}}}
PROGRAM = """import sys, urllib.request, urllib.error
request = urllib.request.Request("http://127.83.1.1/mcp/far", sys.argv[1].encode(), {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"})
try: print(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error: print(error.code, error.read().decode())
"""


def of(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


def send(message):
    program = base64.b64encode(PROGRAM.encode()).decode()
    return f"python3 -c \"import base64; exec(base64.b64decode('{program}'))\" '{json.dumps(message)}'"


class NetworkActions(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-network-"))
        cls.remote = McpHttp(f"Bearer {WORD}")
        cls.addClassCleanup(cls.remote.close)
        (cls.folder / "server.toml").write_text(CONFIG.format(url=cls.remote.url, word=WORD))
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(cls.folder / "server.toml"))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def calls(self):
        return len(self.remote.calls)

    def create(self, task, kind, **fields):
        fields.setdefault("approvalScope", "action")
        return self.server.create(task, runtime={"kind": kind}, mcp=["far"], **fields)["id"]

    def decide(self, run, allows):
        """Answers each question as `allows(tool)` says; the events up to the end."""
        events, after = [], 0
        while not events or events[-1]["type"] not in ("run.completed", "run.failed"):
            more = self.server.wait_until(run, lambda e: e["type"] in ("approval.requested", "run.completed", "run.failed"), 90, after)
            events += more
            after = more[-1]["sequence"]
            if more[-1]["type"] == "approval.requested":
                asked = more[-1]["payload"]
                verb = "approve" if allows(asked["action"]["args"].get("tool", "launch")) else "deny"
                self.server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/{verb}", {"actionDigest": asked["actionDigest"]})
        return events

    def proposed(self, events):
        return [(p["action"]["args"]["tool"], p["actionId"]) for p in of(events, "action.proposed") if p["action"]["type"] == "tool_call"]

    def test_an_approved_call_passes_with_its_approval_and_nothing_else_is_asked(self):
        for kind in KINDS:
            with self.subTest(kind):
                before = self.calls()
                run = self.create('sim: mcp far add {"a": 2, "b": 40}\nsim: reply Summed.', kind)
                events = self.decide(run, lambda tool: True)
                self.assertEqual(events[-1]["type"], "run.completed")
                [(tool, action)] = self.proposed(events)
                self.assertEqual((tool, self.calls() - before), ("mcp", 1))
                self.assertEqual([end["output"] for end in of(events, "agent.tool_completed")], ["42"])
                requests = [r for r in of(events, "egress.request") if r.get("purpose") == "mcp"]
                self.assertEqual([r["actionId"] for r in requests if "actionId" in r], [action])
                self.assertEqual({r["decision"] for r in requests}, {"forwarded"})

    def test_what_a_program_sends_by_itself_is_an_action_of_its_own(self):
        for kind in KINDS:
            for verb, allowed in (("approved", True), ("denied", False)):
                with self.subTest((kind, verb)):
                    before = self.calls()
                    run = self.create(f"sim: sh {send(CALL)}\nsim: reply Sent.", kind)
                    events = self.decide(run, lambda tool: allowed or tool != "network")
                    self.assertEqual(events[-1]["type"], "run.completed")
                    (shell, _), (tool, action) = self.proposed(events)
                    self.assertEqual((shell, tool, self.calls() - before), ("shell", "network", 1 if allowed else 0))
                    output = of(events, "agent.tool_completed")[0]["output"]
                    self.assertIn('"42"' if allowed else "403", output)
                    proposed = next(p for p in of(events, "action.proposed") if p["actionId"] == action)["action"]["args"]["input"]
                    self.assertEqual({key: proposed[key] for key in ("server", "method", "path", "rpcMethod", "tool", "arguments")},
                                     {"server": "far", "method": "POST", "path": "/mcp", "rpcMethod": "tools/call", "tool": "add", "arguments": {"a": 2, "b": 40}})
                    ended = [e for e in of(events, "execution.completed") + of(events, "execution.failed") if e["actionId"] == action]
                    self.assertEqual([(e["httpStatus"], e["bytesOut"], e["bytesIn"] > 0) for e in ended], [(200, len(json.dumps(CALL)), True)] if allowed else [])
                    told = [r for r in of(events, "egress.request") if r.get("actionId") == action]
                    self.assertEqual([(r["decision"], r.get("reason")) for r in told], [("forwarded", None)] if allowed else [("denied", "approval_denied")])

    def test_an_approval_is_for_one_call_of_the_same_tool_and_arguments(self):
        other = {**CALL, "params": {"name": "add", "arguments": {"a": 2, "b": 41}}}
        before = self.calls()
        run = self.create(f'sim: mcp far add {{"a": 2, "b": 40}}\nsim: sh {send(CALL)}; {send(other)}\nsim: reply Done.', "codex")
        events = self.decide(run, lambda tool: tool != "network")
        self.assertEqual([tool for tool, _ in self.proposed(events)], ["mcp", "shell", "network", "network"])
        self.assertEqual(self.calls() - before, 1)

    def test_a_connection_is_kept_up_under_policies_that_do_not_name_it(self):
        for policy in ("ask-all", "ci-safe"):
            with self.subTest(policy):
                before = self.calls()
                run = self.create('sim: mcp far add {"a": 1, "b": 1}\nsim: reply Done.', "codex", policy=policy)
                events = self.decide(run, lambda tool: False)
                self.assertEqual(events[-1]["type"], "run.completed")
                self.assertEqual(self.calls() - before, 0)
                self.assertEqual([tool for tool, _ in self.proposed(events)], ["mcp"])
                self.assertEqual({r["decision"] for r in of(events, "egress.request") if r.get("purpose") == "mcp"}, {"forwarded"})

    def test_a_request_that_is_held_when_the_run_is_cancelled_never_leaves(self):
        before = self.calls()
        run = self.create(f"sim: sh {send(CALL)}\nsim: reply Sent.", "codex", approvalMode="auto", policy="ask-all")
        asked = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        self.server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.server.wait_until(run, lambda e: e["type"] == "approval.requested" and e["payload"]["action"]["args"]["tool"] == "network")
        self.server.call("POST", f"/v1/runs/{run}/cancel")
        record, events = self.server.finish(run)
        self.assertEqual((record["status"], self.calls() - before), ("cancelled", 0))
        self.assertEqual(len(of(events, "approval.withdrawn")), 1)

    def test_who_asks_an_mcp_server_is_never_on_record_not_even_encoded(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create("sim: mcp far disguise {}\nsim: reply Told.", kind, approvalScope="run")
                record, events = self.server.finish(run)
                self.assertEqual(record["status"], "completed", record.get("failure"))
                self.assertIn("key_echo", [r.get("reason") for r in of(events, "egress.request")])
        wait_for(lambda: not any((self.server.data / "attempts").iterdir()), 20, "the attempts' folders to go")
        hidden = [WORD, base64.b64encode(f"Bearer {WORD}".encode()).decode()[12:-4], WORD.encode().hex()]
        for path in self.server.data.rglob("*"):
            # Checkpoints hold the agent's own memory, which no event, log or artifact of ours is.
            if path.is_file() and not path.is_symlink() and "ndjson" in path.name:
                for word in hidden:
                    self.assertNotIn(word.encode(), path.read_bytes(), path)
        for word in hidden:
            self.assertNotIn(word, json.dumps(self.server.events(run)))

    def test_an_answer_with_the_secret_ends_the_call_and_not_the_run(self):
        for kind in KINDS:
            with self.subTest(kind):
                run = self.create("sim: mcp far betray {}\nsim: reply Told.", kind, approvalScope="run")
                record, events = self.server.finish(run, 40)
                self.assertEqual(record["status"], "completed", record.get("failure"))
                self.assertEqual([end["status"] for end in of(events, "agent.tool_completed")], ["failed"])
                self.assertIn("key_echo", [r.get("reason") for r in of(events, "egress.request")])
                self.assertNotIn(WORD, json.dumps(events))


if __name__ == "__main__":
    main()
