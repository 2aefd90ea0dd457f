"""What models are offered where each action is judged: only tools that ask. The requests are those of the real agents, as a provider gets them, and
what a provider calls nevertheless ends the run before it reaches the agent."""
import http.server
import json
import pathlib
import shutil
import sys
import tempfile
import threading

from harness import ROOT, Case, Server, main

sys.path.insert(0, str(ROOT / "tests/golden"))
import claude_provider  # noqa: E402
import provider  # noqa: E402

CONFIG = """
[mcp_servers.sums]
command = "/usr/bin/python3"
args = ["{{mount}}/mcp_server.py"]
mount = "{mount}"
"""
# docs/modes.md has this list, with what each one does.
OFFERED = {
    "codex": {"apply_patch", "exec_command", "request_user_input", "tool_search", "write_stdin"},
    "claude_code": {"Agent", "Bash", "Edit", "NotebookEdit", "Read", "TaskCreate", "TaskGet", "TaskList", "TaskUpdate", "Write"},
}
# What the pinned CLIs offer beside it where nothing is filtered.
UNASKED = {"codex": {"list_mcp_resource_templates", "list_mcp_resources", "read_mcp_resource"}, "claude_code": set()}


def shell(command, **more):
    return {"call": "exec_command", "args": {"cmd": command, **more}}


class Provider:
    """A scripted provider; `requests` are the bodies that it got."""

    def __init__(self, kind, steps):
        self.kind, self.requests = kind, []
        mine = self
        base = provider.Handler if kind == "codex" else claude_provider.Handler

        class Handler(base):
            def do_POST(self):
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                mine.requests.append(json.loads(body))
                self.rfile, kept = _Again(body), self.rfile
                try:
                    super().do_POST()
                finally:
                    self.rfile = kept

        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-offered-"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # answers that are cut
        self.server.scenario = [steps] if kind == "codex" else {"turns": [steps], "sub": []}
        self.server.log, self.server.seen = str(self.folder / "log"), set()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self):
        address = f"http://127.0.0.1:{self.server.server_port}"
        if self.kind == "codex":
            return {"OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_BASE_URL": address + "/v1"}
        return {"ANTHROPIC_API_KEY": "sk-ant-0123456789", "ANTHROPIC_BASE_URL": address}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)


class _Again:
    def __init__(self, body):
        self.body = body

    def read(self, size):
        return self.body[:size]

    def __getattr__(self, name):
        raise AttributeError(name)


def names_of(request):
    """Of every tool in it, wherever it is offered; groups of tools by their own name."""
    offers = [request.get("tools") or []]
    offers += [item["tools"] for item in request.get("input", []) if isinstance(item, dict) and isinstance(item.get("tools"), list)]
    names = set()
    for tool in [tool for offer in offers for tool in offer]:
        if tool.get("type") == "namespace" and not tool["name"].startswith("mcp__"):
            names |= {inner["name"] for inner in tool["tools"]}
        else:
            names.add(tool.get("name") or tool["type"])
    return names


class OfferedTools(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-offered-"))
        cls.folder.chmod(0o755)
        (cls.folder / "tools").mkdir()
        shutil.copy(ROOT / "tests/support/mcp_server.py", cls.folder / "tools")
        (cls.folder / "server.toml").write_text(CONFIG.format(mount=cls.folder / "tools"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def play(self, kind, steps, status="completed", model=None, **fields):
        """The run, its events, and what the provider was asked; everything is approved."""
        upstream = Provider(kind, steps)
        self.addCleanup(upstream.close)
        with Server(args=("--config", str(self.folder / "server.toml")), env=upstream.environment) as server:
            runtime = {"kind": kind, **({"model": model} if model else {})}
            fields.setdefault("approvalScope", "action")
            run = server.create("please do it", runtime=runtime, **fields)["id"]
            events, after = [], 0
            while not any(event["type"].startswith("run.") and event["type"] in ("run.completed", "run.failed") for event in events):
                events += server.wait_until(run, lambda e: e["type"] in ("approval.requested", "run.completed", "run.failed"), 90, after)
                after = events[-1]["sequence"]
                if events[-1]["type"] == "approval.requested":
                    asked = events[-1]["payload"]
                    server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
            record = server.run(run)
            self.assertEqual(record["status"], status, record.get("failure"))
            patch = server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode()
        return record, events, upstream.requests, patch

    def test_only_tools_that_ask_are_offered(self):
        for kind in OFFERED:
            with self.subTest(kind):
                say = [[{"text": "Done."}]]
                _, _, requests, _ = self.play(kind, say, mcp=["sums"])
                offered = set().union(*map(names_of, requests))
                own = {name for name in offered if not name.startswith("mcp__")} - {"DeferredToolPlaceholder"}
                self.assertEqual(own, OFFERED[kind])
                _, _, requests, _ = self.play(kind, say, mcp=["sums"], approvalScope="run")
                self.assertLessEqual(OFFERED[kind] | UNASKED[kind], set().union(*map(names_of, requests)))

    def test_models_that_write_programs_over_tools_are_offered_no_others(self):
        _, _, requests, _ = self.play("codex", [[{"text": "Done."}]], model="gpt-6.1-sol", mcp=["sums"])
        self.assertEqual(set().union(*map(names_of, requests)), {"exec", "request_user_input", "wait"})
        # What such a program may call stands in a text; what never asks among it ends the run when it has run.
        run = [[{"custom": "exec", "input": "text(JSON.stringify(Object.keys(tools)))"}], [{"text": "Done."}]]
        _, _, requests, _ = self.play("codex", run, model="gpt-6.1-sol")
        self.assertNotIn("view_image", json.dumps(requests[-1]["input"][-1]))
        mcp = [[{"custom": "exec", "input": "await tools.list_mcp_resources({})"}], [{"text": "Done."}]]
        record, _, _, _ = self.play("codex", mcp, "failed", model="gpt-6.1-sol", mcp=["sums"])
        self.assertEqual(record["failure"]["code"], "ungated_tool_call")

    def test_nothing_is_typed_into_a_running_command(self):
        # A terminal that somebody could type into is not opened.
        tty = [[shell("cat > typed.txt", tty=True, yield_time_ms=300)], [{"text": "Done."}]]
        _, events, _, patch = self.play("codex", tty)
        self.assertEqual([e for e in events if e["type"] == "agent.tool_started"], [])
        self.assertNotIn("typed.txt", patch)
        # Waiting for a command is free, typing ends the run before it arrives.
        for chars, status in ((None, "completed"), ("typed\n\u0004", "failed"), ("\u0003", "failed")):
            with self.subTest(chars):
                wait = {"call": "write_stdin", "args": {"session_id": "${session}", "yield_time_ms": 5000, **({"chars": chars} if chars else {})}}
                steps = [[shell("sleep 2; cat > typed.txt; touch over.txt", yield_time_ms=300)], [wait], [shell("touch later.txt")], [{"text": "Done."}]]
                record, events, _, patch = self.play("codex", steps, status)
                self.assertNotIn("+typed", patch)
                self.assertEqual("later.txt" in patch, chars is None)
                if chars:
                    self.assertEqual(record["failure"]["code"], "ungated_tool_call")
                    cut = [e["payload"] for e in events if e["type"] == "egress.request" and e["payload"].get("reason") == "ungated_tool_call"]
                    self.assertEqual([c["tool"] for c in cut], ["write_stdin"])

    def test_a_provider_that_calls_what_was_not_offered_ends_the_run(self):
        cases = [("codex", {"call": "list_mcp_resources", "args": {}}, "list_mcp_resources"), ("codex", {"search": "x"}, "web_search"),
                 ("claude_code", {"tool": "WebFetch", "input": {"url": "http://127.0.0.1/", "prompt": "x"}}, "WebFetch"), ("claude_code", {"search": "x"}, "web_search")]
        for kind, act, tool in cases:
            with self.subTest((kind, tool)):
                record, events, requests, _ = self.play(kind, [[act], [{"text": "never"}]], "failed", mcp=["sums"])
                self.assertEqual(record["failure"]["code"], "ungated_tool_call")
                self.assertIn(tool, record["failure"]["reason"])
                self.assertEqual([e for e in events if e["type"] == "agent.tool_started"], [])


if __name__ == "__main__":
    main()
