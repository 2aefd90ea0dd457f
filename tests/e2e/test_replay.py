"""A run that was recorded once runs again without a network or a key and leaves the same; when its agent asks something else it fails with a diff.

Both real agents, against `agentrouter sim` as a provider that demands a key.
"""
import json
import pathlib
import re
import subprocess
import tempfile

from harness import PROGRAM, Case, Server, main, wait_for

CANARY = "sk-recorded-2f9d71c4ab60"
TASK = """Make a change.
sim: sh echo one > made.txt; cat seed.txt; date; uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid
sim: sh echo two >> made.txt
sim: reply Changed.
"""
# What differs between two runs however equal they are.
VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|sha256:[0-9a-f]{64}")
SAME = ("agent.message", "agent.response", "agent.tool_started", "agent.tool_completed", "action.proposed", "execution.completed", "workspace.patch_collected")


class Upstream:
    def __enter__(self):
        self.process = subprocess.Popen([str(PROGRAM), "sim", "--listen", "127.0.0.1:0", "--require-key", CANARY],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.url = re.search(r"http://\S+", self.process.stdout.readline().decode())[0]
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    @property
    def env(self):
        return {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": self.url, "ANTHROPIC_API_KEY": CANARY, "ANTHROPIC_BASE_URL": self.url.removesuffix("/v1")}


def kinds_of(events):
    return [e["type"] for e in events if e["type"] not in ("cassette.recorded", "replay.completed", "egress.request")]


class Replay(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-replay-"))
        cls.folder.chmod(0o755)
        cls.cassettes = cls.folder / "cassettes"
        cls.workspace = cls.folder / "workspace"
        cls.workspace.mkdir()
        (cls.workspace / "seed.txt").write_text("seed\n")
        cls.recorded = {}
        with Upstream() as upstream, cls.server("--record", upstream.env) as server:
            for kind in ("codex", "claude_code"):
                cls.recorded[kind] = cls.play(server, kind)
        assert not list(cls.cassettes.glob(".*")), "something unfinished was left"

    @classmethod
    def tearDownClass(cls):
        import shutil
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    @classmethod
    def server(cls, flag, env=None):
        return Server(args=(flag, str(cls.cassettes), "--workspace-root", str(cls.folder)), env=env)

    @classmethod
    def play(cls, server, kind, task=TASK, name=None):
        run = server.create(task, runtime={"kind": kind}, workspace={"path": str(cls.workspace)}, tags={"cassette": name or kind})
        run, events = server.finish(run["id"])
        artifacts = server.artifacts(run["id"])
        patch = server.download(run["id"], artifacts["workspace_patch"]["id"]) if "workspace_patch" in artifacts else None
        return run, events, patch

    def test_a_cassette_is_readable_and_holds_no_secret(self):
        for kind, (run, events, _) in self.recorded.items():
            self.assertEqual(run["status"], "completed", run.get("failure"))
            text = (self.cassettes / f"{kind}.jsonl").read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            self.assertEqual(lines[0], {"cassette": 1, "runtime": kind, "model": lines[0]["model"]})
            requests = lines[-1]["end"]
            self.assertGreaterEqual(requests, 3)
            self.assertEqual(len(lines), 2 + 2 * requests)
            said = next(e["payload"] for e in events if e["type"] == "cassette.recorded")
            self.assertEqual(said, {"cassette": kind, "requests": requests})
            self.assertNotIn(CANARY, text)
            self.assertFalse(VARYING.search("".join(json.dumps(line["body"]) for line in lines if "request" in line)))

    def test_a_replay_without_network_or_key_does_the_same(self):
        with self.server("--replay") as server:
            for kind, (_, events, patch) in self.recorded.items():
                run, again, patch_again = self.play(server, kind)
                self.assertEqual(run["status"], "completed", (run.get("failure"), kind))
                self.assertEqual(patch_again, patch)
                self.assertEqual(kinds_of(again), kinds_of(events))
                done = next(e["payload"] for e in again if e["type"] == "replay.completed")
                self.assertEqual(done["answered"], done["requests"])
                self.assertEqual({e["payload"]["host"] for e in again if e["type"] == "egress.request"} - {"127.83.1.1"}, {"replay"})
                self.assertEqual(next(e["payload"] for e in again if e["type"] == "usage.recorded")["provider"],
                                 next(e["payload"] for e in events if e["type"] == "usage.recorded")["provider"].replace("upstream", "replay"))

    def test_another_task_is_a_mismatch_with_a_diff(self):
        with self.server("--replay") as server:
            for kind in self.recorded:
                run, events, _ = self.play(server, kind, TASK.replace("Make a change.", "Make another change."))
                self.assertEqual(run["status"], "failed")
                self.assertEqual(run["failure"]["code"], "replay_mismatch", run["failure"])
                self.assertEqual(run["failure"]["cause"], "different_request")
                diff = next(e["payload"]["diff"] for e in events if e["type"] == "replay.mismatch")
                self.assertRegex(diff, r"(?m)^-.*Make a change\.")
                self.assertRegex(diff, r"(?m)^\+.*Make another change\.")

    def test_another_workspace_is_a_mismatch_where_the_agent_tells_of_it(self):
        other = self.folder / "other"
        other.mkdir()
        (other / "seed.txt").write_text("another seed\n")
        with self.server("--replay") as server:
            run = server.create(TASK, workspace={"path": str(other)}, tags={"cassette": "codex"})
            run, events = server.finish(run["id"])
            self.assertEqual(run["failure"]["code"], "replay_mismatch", run["failure"])
            self.assertIn("another seed", next(e["payload"]["diff"] for e in events if e["type"] == "replay.mismatch"))

    def test_cassettes_that_cannot_be_used_are_refused_before_the_agent(self):
        good = (self.cassettes / "codex.jsonl").read_text()
        for name, text in (("early", good[:good.rindex("\n", 0, -1) + 1]), ("broken", "{}\n"), ("newer", good.replace('"cassette":1', '"cassette":2', 1))):
            (self.cassettes / f"{name}.jsonl").write_text(text)
        causes = {"early": "ended_early", "broken": "malformed", "newer": "version", "missing": "missing"}
        with self.server("--replay") as server:
            for name, cause in causes.items():
                run, events, _ = self.play(server, "codex", name=name)
                self.assertEqual((run["failure"]["code"], run["failure"]["cause"]), ("cassette_invalid", cause), run["failure"])
                self.assertNotIn("agent.started", [e["type"] for e in events])
            status, _, data = server.request("POST", "/v1/runs", {"task": TASK, "tags": {"cassette": "../codex"}})
            issue = json.loads(data)["error"]["details"]["issues"][0]
            self.assertEqual((status, issue["path"]), (400, ["tags", "cassette"]))

    def test_runs_without_a_name_are_numbered_and_the_simulator_can_be_recorded(self):
        folder = self.folder / "numbered"
        with Server(args=("--sim", "--record", str(folder))) as server:
            for word in ("ONE", "TWO"):
                server.finish(server.create(f"Reply exactly {word}")["id"])
        self.assertEqual(sorted(p.name for p in folder.iterdir()), ["run-0001.jsonl", "run-0002.jsonl"])
        with Server(args=("--replay", str(folder))) as server:
            for word in ("ONE", "TWO"):
                run, events = server.finish(server.create(f"Reply exactly {word}")["id"])
                self.assertEqual(run["status"], "completed", run.get("failure"))
                self.assertIn(word, next(e["payload"]["text"] for e in events if e["type"] == "agent.response"))

    def test_workspaces_have_cassettes_of_their_own(self):
        folder = self.folder / "of-workspaces"
        task = "Reply exactly {}"

        def play(server, team):
            for one in ("team-a", "team-b"):
                server.call("POST", "/v1/workspaces", {"id": one}, expect=(200, 201, 409))
            as_team = {"headers": {"x-workspace-id": team}}
            run = server.call("POST", "/v1/runs", {"task": task.format("AAA" if team == "team-a" else "BBB"), "tags": {"cassette": "one"}}, **as_team)["id"]
            wait_for(lambda: server.call("GET", f"/v1/runs/{run}", **as_team)["status"] in ("completed", "failed"), 90, "the run's end")
            return server.call("GET", f"/v1/runs/{run}", **as_team)

        with Server(args=("--sim", "--record", str(folder))) as server:
            self.assertEqual(play(server, "team-a")["status"], "completed")
            recorded = (folder / "team-a" / "one.jsonl").read_text()
            self.assertEqual([p.name for p in folder.iterdir()], ["team-a"])
        with Server(args=("--replay", str(folder))) as server:
            failed = play(server, "team-b")
            self.assertEqual((failed["failure"]["code"], failed["failure"]["cause"]), ("cassette_invalid", "missing"), failed)
            self.assertNotIn("AAA", json.dumps(failed))
        with Server(args=("--sim", "--record", str(folder))) as server:
            self.assertEqual(play(server, "team-b")["status"], "completed")
        self.assertEqual((folder / "team-a" / "one.jsonl").read_text(), recorded)
        with Server(args=("--replay", str(folder))) as server:
            for team in ("team-a", "team-b"):
                self.assertEqual(play(server, team)["status"], "completed")


if __name__ == "__main__":
    main()
