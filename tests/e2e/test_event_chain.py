"""The published chain of events of one Codex run: order, numbers, causes, digests, artifacts. Real Codex, simulated provider."""
import gzip
import json
import pathlib
import subprocess
import tempfile

import stores
from harness import Case, Server, canonical, digest, main, sha256

TASK = """Do three things.
sim: say First a command.
sim: sh printf 'made by a command\\n' > made.txt && echo done
sim: write notes/new.md # New\\n\\nText.\\n
sim: sh exit 3
sim: think I am nearly done
sim: reply All three are done.
"""

CHAIN = ["run.claimed", "sandbox.created", "credential_boundary.verified", "action.proposed", "policy.evaluated",
         "execution.started", "agent.started"]
END = ["agent.completed", "execution.completed", "provider.stdout", "provider.stderr", "agent.response", "usage.recorded",
       "workspace.file_index_collected", "workspace.patch_collected", "checkpoint.created", "sandbox.destroyed", "run.completed"]


class EventChain(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server().start()
        cls.created = cls.server.create(TASK)
        cls.id = cls.created["id"]
        cls.run_, cls.live = cls.server.finish(cls.id)
        cls.events = cls.server.events(cls.id)
        cls.artifacts = cls.server.artifacts(cls.id)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def one(self, kind):
        found = [e for e in self.events if e["type"] == kind]
        self.assertEqual(len(found), 1, f"{kind}: {[e['type'] for e in self.events]}")
        return found[0]

    def test_run_completes_without_a_failure(self):
        self.assertEqual(self.created["status"], "queued")
        self.assertEqual(self.run_["status"], "completed", self.run_)
        self.assertNotIn("failure", self.run_)
        self.assertEqual(self.run_["lastEventSeq"], len(self.events))
        for key in ("startedAt", "completedAt"):
            self.assertRegex(self.run_[key], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_sequences_are_contiguous_and_the_live_stream_gave_the_same_events(self):
        self.assertEqual([e["sequence"] for e in self.events], list(range(1, len(self.events) + 1)))
        self.assertEqual(self.live, self.events)

    def test_order_of_the_beginning_and_the_end(self):
        types = [e["type"] for e in self.events if e["type"] != "egress.request"]
        self.assertEqual(types[:len(CHAIN)], CHAIN)
        self.assertEqual(types[-len(END):], END)
        self.assertFalse([t for t in types if t.startswith("approval.")])

    def test_sources_and_visibilities(self):
        for kind, source, visibility in (("run.claimed", "worker", "internal"), ("sandbox.created", "worker", "internal"),
                                         ("credential_boundary.verified", "worker", "internal"),
                                         ("action.proposed", "worker", "public"), ("agent.started", "codex", "public"),
                                         ("provider.stdout", "codex", "public"), ("provider.stderr", "codex", "internal"),
                                         ("agent.response", "codex", "public"), ("run.completed", "worker", "public")):
            event = self.one(kind)
            self.assertEqual((event["source"], event["visibility"]), (source, visibility), kind)

    def test_the_isolation_is_told_in_the_record_and_the_events(self):
        payload = self.one("sandbox.created")["payload"]
        self.assertEqual(payload["isolation"], "process")
        self.assertIn(payload["limits"], ("cgroup1", "cgroup2", "rlimit"))
        self.assertEqual(self.one("sandbox.destroyed")["payload"]["isolation"], "process")
        self.assertEqual(self.server.call("GET", f"/v1/runs/{self.id}/record")["isolation"], "process")

    def test_more_isolation_than_there_is_is_refused_and_makes_no_run(self):
        for wanted in ("user-kernel", "vm"):
            if stores.POSTGRES:
                run = self.server.call("POST", "/v1/runs", {"task": "t", "runtime": {"kind": "codex"}, "requireIsolation": wanted})["id"]
                self.assert_waits_for(self.server, run, {"isolation": wanted})
                continue
            error = self.server.call("POST", "/v1/runs", {"task": "t", "runtime": {"kind": "codex"}, "requireIsolation": wanted}, expect=(400,))["error"]
            self.assertEqual((error["code"], error["details"]), ("isolation_unavailable", {"required": wanted, "available": ["process"]}))
        there = self.server.call("GET", "/v1/runs")["items"]
        self.assertEqual([r["id"] for r in there if "startedAt" in r or not stores.POSTGRES], [self.id])

    def test_causes_are_linked(self):
        chain = [self.one(t)["payload"] for t in ("action.proposed", "policy.evaluated", "execution.started", "execution.completed")]
        self.assertNotIn("priorEventId", chain[0])
        for cause, effect in zip(chain, chain[1:]):
            self.assertEqual(effect["priorEventId"], cause["eventId"])
            self.assertEqual(effect["actionId"], cause["actionId"])
            self.assertEqual(effect["actionDigest"], cause["actionDigest"])
        self.assertEqual([p["actor"] for p in chain], ["agent", "policy", "runtime", "runtime"])
        self.assertEqual(chain[1]["decision"], "allowed")
        self.assertEqual(chain[2]["executionId"], chain[3]["executionId"])
        self.assertEqual((chain[3]["status"], chain[3]["exitCode"], chain[3]["terminalState"]), ("completed", 0, "completed"))

    def test_digests_can_be_computed_again(self):
        payload = self.one("action.proposed")["payload"]
        action = payload["action"]
        self.assertEqual(payload["actionDigest"], digest(action))
        self.assertEqual(payload["argsDigest"], digest(action["args"]))
        self.assertEqual(payload["actionName"], "codex.launch")
        self.assertEqual(action["schemaVersion"], "agentrouter.runtime_command.v1")
        self.assertEqual(action["args"]["promptSha256"], "sha256:" + sha256(TASK.strip().encode()))
        self.assertNotIn(TASK.strip()[:20], canonical(action))

    def test_agent_events_show_what_was_done(self):
        kinds = {e["payload"]["callId"]: e["payload"]["tool"] for e in self.events if e["type"] == "agent.tool_started"}
        tools = [(kinds[e["payload"]["callId"]], e["payload"]["status"]) for e in self.events if e["type"] == "agent.tool_completed"]
        self.assertIn(("shell", "completed"), tools)
        self.assertIn(("shell", "failed"), tools)
        self.assertIn(("edit", "completed"), tools)
        started = [e["payload"]["callId"] for e in self.events if e["type"] == "agent.tool_started"]
        self.assertEqual(started, [e["payload"]["callId"] for e in self.events if e["type"] == "agent.tool_completed"])
        self.assertIn("First a command.", [e["payload"]["text"] for e in self.events if e["type"] == "agent.message"])
        self.assertEqual(self.one("agent.response")["payload"]["text"], "All three are done.")
        self.assertEqual(self.one("agent.response")["payload"]["parts"], [{"type": "text", "text": "All three are done."}])
        usage = self.one("usage.recorded")["payload"]
        self.assertGreater(usage["inputTokens"], 0)
        self.assertGreater(usage["outputTokens"], 0)

    def test_six_artifacts_with_true_sizes_and_digests(self):
        self.assertEqual(sorted(self.artifacts), ["session_events", "session_manifest", "stderr_log", "stdout_log",
                                                  "workspace_file_index", "workspace_patch"])
        for kind, artifact in self.artifacts.items():
            data = self.server.download(self.id, artifact["id"])
            self.assertEqual(len(data), artifact["sizeBytes"], kind)
            self.assertEqual(sha256(data), artifact["sha256"], kind)
            self.assertGreater(len(data), 0, kind)
        refs = {e["artifactRef"]["artifactId"] for e in self.events if "artifactRef" in e}
        self.assertEqual(refs, {self.artifacts[k]["id"] for k in ("stdout_log", "stderr_log", "workspace_file_index", "workspace_patch")})

    def test_archive_and_manifest_say_what_the_api_says(self):
        lines = self.server.download(self.id, self.artifacts["session_events"]["id"]).decode().splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.events)
        manifest = json.loads(self.server.download(self.id, self.artifacts["session_manifest"]["id"]))
        self.assertEqual(manifest["run"]["lastEventSeq"], len(self.events))
        self.assertEqual(manifest["run"]["status"], "completed")
        self.assertEqual([e["sequence"] for e in manifest["events"]], list(range(1, len(self.events) + 1)))
        self.assertEqual({a["kind"] for a in manifest["artifacts"]}, set(self.artifacts) - {"session_manifest"})

    def test_logs_are_gzip_of_json_lines(self):
        log = gzip.decompress(self.server.download(self.id, self.artifacts["stdout_log"]["id"])).decode()
        self.assertTrue(all(json.loads(line) for line in log.splitlines()))
        self.assertIn("made by a command", log)

    def test_patch_applies_and_gives_the_agents_files(self):
        index = json.loads(self.server.download(self.id, self.artifacts["workspace_file_index"]["id"]))
        self.assertEqual(sorted((f["status"], f["path"]) for f in index["files"]), [("??", "made.txt"), ("??", "notes/new.md")])
        with tempfile.TemporaryDirectory() as folder:
            patch = pathlib.Path(folder, "changes.patch")
            patch.write_bytes(self.server.download(self.id, self.artifacts["workspace_patch"]["id"]))
            subprocess.run(["git", "init", "-q", folder + "/tree"], check=True)
            subprocess.run(["git", "-C", folder + "/tree", "apply", str(patch)], check=True)
            self.assertEqual(pathlib.Path(folder, "tree/made.txt").read_text(), "made by a command\n")
            self.assertEqual(pathlib.Path(folder, "tree/notes/new.md").read_text(), "# New\n\nText.\n")

    def test_session_has_response_cursor_and_manifest(self):
        session = self.server.call("GET", f"/v1/runs/{self.id}/session")
        self.assertEqual(session["run"], self.run_)
        self.assertEqual(session["eventCursor"], {"lastEventSeq": len(self.events)})
        self.assertEqual(session["response"]["text"], "All three are done.")
        self.assertEqual(session["artifactManifest"]["status"], "available")
        self.assertEqual(session["artifactManifest"]["sha256"], self.artifacts["session_manifest"]["sha256"])
        self.assertEqual(len(session["artifacts"]["items"]), 6)


if __name__ == "__main__":
    main()
