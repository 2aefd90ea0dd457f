"""The real Claude Code in the real sandbox, its provider simulated: events, gates, a conversation, cancel, failures, the key."""
import gzip
import json
import re
import subprocess

from harness import ROOT, Case, Server, main

KEY = "sk-ant-canary-5f1e7c0d9b3a4862"
CLAUDE = {"kind": "claude_code"}


class Upstream:
    """The simulated provider as a process of its own, which wants KEY."""

    def __enter__(self):
        self.process = subprocess.Popen([ROOT / "build/release/bin/agentrouter", "sim", "--listen", "127.0.0.1:0", "--require-key", KEY],
                                        stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://[0-9.:]+", self.process.stdout.readline()).group()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


class Claude(Case):
    def create(self, server, task, **fields):
        return server.create(task, runtime=CLAUDE, **fields)["id"]

    def payloads(self, server, run, kind):
        return [event["payload"] for event in server.events(run) if event["type"] == kind]

    def test_a_run_gives_the_chain_of_events(self):
        with Server() as server:
            run = self.create(server, "sim: sh cat /etc/hostname; echo hi > made.txt\nsim: write w.txt alpha\nsim: reply Made it.")
            record, events = server.finish(run)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertEqual(record["runtime"], {"kind": "claude_code", "permissionMode": "default"})
            kinds = [event["type"] for event in server.events(run)]
            for kind in ("run.claimed", "sandbox.created", "credential_boundary.verified", "action.proposed", "policy.evaluated",
                         "execution.started", "agent.started", "agent.tool_started", "agent.tool_completed", "agent.message",
                         "agent.completed", "execution.completed", "provider.stdout", "agent.response", "usage.recorded",
                         "checkpoint.created", "run.completed"):
                self.assertIn(kind, kinds)
            for event in server.events(run):
                if event["type"].startswith("agent.") or event["type"].startswith("provider."):
                    self.assertEqual(event["source"], "claude_code", event["type"])
            started = self.payloads(server, run, "agent.started")[0]
            self.assertEqual(started["threadId"], started["sessionId"])
            self.assertEqual([call["tool"] for call in self.payloads(server, run, "agent.tool_started")], ["shell", "edit"])
            self.assertEqual({call["status"] for call in self.payloads(server, run, "agent.tool_completed")}, {"completed"})
            self.assertEqual(self.payloads(server, run, "action.proposed")[0]["actionName"], "claude_code.launch")
            self.assertEqual(self.payloads(server, run, "agent.response")[0]["text"], "Made it.")
            usage = self.payloads(server, run, "usage.recorded")[0]
            self.assertGreater(usage["inputTokens"], 0)
            patch = server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode()
            self.assertIn("made.txt", patch)
            self.assertIn("+alpha", patch)

    def test_modes_that_read_only_change_nothing_and_the_others_do(self):
        task = "sim: sh touch by_shell.txt; echo status $?\nsim: write by_tool.txt alpha\nsim: reply Done."
        with Server() as server:
            for mode in ("plan", "acceptEdits", "auto", "bypassPermissions"):
                with self.subTest(mode):
                    run = server.create(task, runtime={**CLAUDE, "permissionMode": mode})["id"]
                    record, _ = server.finish(run)
                    self.assertEqual(record["status"], "completed", record.get("failure"))
                    patch = server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode()
                    ends = {call["callId"]: call for call in self.payloads(server, run, "agent.tool_completed")}
                    calls = {call["tool"]: ends[call["callId"]] for call in self.payloads(server, run, "agent.tool_started")}
                    if mode == "plan":
                        self.assertEqual(patch, "")
                        self.assertIn("Read-only file system", json.dumps(calls["shell"]))
                        self.assertNotEqual(calls["edit"]["status"], "completed")
                    else:
                        self.assertIn("by_shell.txt", patch)
                        self.assertIn("by_tool.txt", patch)

    def test_the_launch_is_approved_or_denied(self):
        with Server() as server:
            for decision, status in (("approve", "completed"), ("deny", "failed")):
                run = self.create(server, "sim: sh touch ran.txt\nsim: reply Ran.", approvalMode="manual")
                asked = server.wait_until(run, lambda event: event["type"] == "approval.requested")[-1]["payload"]
                server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/{decision}", {"actionDigest": asked["actionDigest"]})
                record, _ = server.finish(run)
                self.assertEqual(record["status"], status)
                self.assertEqual(bool(self.payloads(server, run, "agent.started")), decision == "approve")

    def test_the_second_turn_sees_files_and_memory_of_the_first(self):
        with Server() as server:
            first = self.create(server, "sim: sh echo kept > kept.txt\nsim: reply The word is heliotrope.")
            self.assertEqual(server.finish(first)[0]["status"], "completed")
            second = server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh cat kept.txt\nsim: recall heliotrope"}, expect=(202,))["runId"]
            record, _ = server.finish(second)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertEqual(self.payloads(server, second, "agent.response")[0]["text"], "seen")
            self.assertEqual(self.payloads(server, second, "agent.tool_completed")[0]["output"], "kept")
            self.assertEqual(self.payloads(server, first, "agent.started")[0]["sessionId"], self.payloads(server, second, "agent.started")[0]["sessionId"])

    def test_a_running_command_is_cancelled(self):
        with Server() as server:
            run = self.create(server, "sim: sh echo begun > begun.txt; /bin/sleep 60\nsim: reply Never.")
            server.wait_until(run, lambda event: event["type"] == "agent.tool_started")
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            self.assertEqual(server.finish(run)[0]["status"], "cancelled")

    def test_failures_of_the_provider_have_their_causes(self):
        causes = {"401": "provider_auth_failed", "429": "provider_rate_limited", "500": "provider_unavailable"}
        with Server(args=("--sim", "--concurrency", "3")) as server:
            runs = {status: self.create(server, f"sim: error {status} always\nsim: reply Never.") for status in causes}
            for status, run in runs.items():
                failure = server.finish(run)[0]["failure"]
                self.assertEqual((failure["code"], failure["cause"]), ("provider_runtime_failed", causes[status]), failure)
                self.assertTrue(self.payloads(server, run, "agent.retry"))

    def test_the_key_stays_outside(self):
        look = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\\\0' '\\\\n'; find / -xdev -size -64k -type f 2>/dev/null | xargs grep -l canary"
        with Upstream() as upstream, Server(args=(), env={"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url}) as server:
            run = self.create(server, f"sim: sh {look}\nsim: reply Looked.")
            record, _ = server.finish(run)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            output = self.payloads(server, run, "agent.tool_completed")[0]["output"]
            self.assertIn("ANTHROPIC_API_KEY=agentrouter-dummy-key", output)
            self.assertNotIn(KEY, json.dumps(server.events(run)))
            log = gzip.decompress(server.download(run, server.artifacts(run)["stdout_log"]["id"])).decode()
            self.assertNotIn(KEY, log)
            codex = server.create("sim: reply Never.")["id"]
            self.assertEqual(server.finish(codex)[0]["failure"]["code"], "provider_unconfigured")

    def test_a_wrong_key_fails_the_run(self):
        with Upstream() as upstream, Server(args=(), env={"ANTHROPIC_API_KEY": "sk-ant-wrong", "ANTHROPIC_BASE_URL": upstream.url}) as server:
            failure = server.finish(self.create(server, "sim: reply Never."))[0]["failure"]
            self.assertEqual(failure["cause"], "provider_auth_failed", failure)

    def test_without_a_key_the_reason_names_the_variable(self):
        with Server(args=(), env={"OPENAI_API_KEY": "sk-x"}) as server:
            failure = server.finish(self.create(server, "sim: reply Never."))[0]["failure"]
            self.assertEqual(failure["code"], "provider_unconfigured")
            self.assertIn("ANTHROPIC_API_KEY", failure["reason"])


if __name__ == "__main__":
    main()
