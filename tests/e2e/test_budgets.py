"""Limits of a run, prices, and budgets over runs: they warn, they end what goes on, and nobody spends more than one answer beyond them. Real CLIs."""
import os
import pathlib
import signal
import subprocess
import tempfile

from harness import Case, PROGRAM, Server, main, wait_for
from liar import KEY, Liar

CODEX = {"kind": "codex"}
CLAUDE = {"kind": "claude_code", "permissionMode": "bypassPermissions"}
PRICES = """
[prices."gpt-5*"]
input = 1.25
cached_input = 0.125
output = 10
max_output_tokens = 16000
[prices."claude-*"]
input = 5
cached_input = 0.5
output = 25
max_output_tokens = 32000
"""
# An agent that would go on for long.
LONG = "sim: write kept.txt kept\\n\n" + "\n".join(f"sim: sh echo step {i}; echo {i} >> steps.txt" for i in range(40))
# What one answer, and an estimate of its input that was too low, can have beyond a limit.
ONE_ANSWER = 30_000


def configured(text, args=("--sim",), **more):
    file = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-config-")) / "agentrouter.toml"
    file.write_text(text)
    return Server(args=(*args, "--config", str(file)), **more)


class Ending(Case):
    """How a run ends at a limit."""

    def ends_at(self, server, run_id, limit, code="limit_exceeded", seconds=90):
        run, events = server.finish(run_id, seconds)
        self.assertEqual(run["status"], "failed", run)
        self.assertEqual((run["failure"]["code"], run["failure"].get("cause")), (code, limit), run["failure"])
        kinds = [e["type"] for e in events]
        exceeded = [e["payload"] for e in events if e["type"] == "limit.exceeded"]
        self.assertEqual([e["limit"] for e in exceeded], [limit])
        self.assertLess(kinds.index("limit.exceeded"), kinds.index("execution.failed"))
        marks = [e["payload"]["percent"] for e in events if e["type"] == "limit.warning" and e["payload"]["limit"] == limit]
        self.assertEqual(marks, sorted(set(marks)), "each mark once, in order")
        for kind in ("provider.stdout", "workspace.patch_collected", "checkpoint.created", "sandbox.destroyed"):
            self.assertIn(kind, kinds)
        record = server.call("GET", f"/v1/runs/{run_id}/record")
        return record, events, marks

    def patch_of(self, server, run_id):
        return server.download(run_id, server.artifacts(run_id)["workspace_patch"]["id"])


class Limits(Ending):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = configured(PRICES + "[limits]\nmax_tokens = 5000000\n[limits.default]\nmax_actions = 500\n").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def test_tokens_of_both_agents(self):
        runs = {kind["kind"]: self.server.create(LONG, runtime=kind, limits={"maxTokens": most})["id"]
                for kind, most in ((CODEX, 35_000), (CLAUDE, 60_000))}
        for kind, run_id in runs.items():
            with self.subTest(agent=kind):
                record, events, marks = self.ends_at(self.server, run_id, "maxTokens")
                limits = record["limits"]
                self.assertGreater(limits["used"]["tokens"], limits["maxTokens"] // 4)
                self.assertLessEqual(limits["used"]["tokens"], limits["maxTokens"] + ONE_ANSWER)
                self.assertIn(50, marks)
                self.assertIn(b"kept", self.patch_of(self.server, run_id))
                denied = [e["payload"] for e in events if e["type"] == "egress.request" and e["payload"].get("reason") == "limit_exceeded"]
                self.assertTrue(denied)
                turn = self.server.call("POST", f"/v1/runs/{run_id}/messages", {"message": "sim: read kept.txt\nsim: reply Going on."}, expect=(202,))
                run, _ = self.server.finish(turn["runId"])
                self.assertEqual(run["status"], "completed", run.get("failure"))

    def test_cost_of_both_agents(self):
        runs = {kind["kind"]: self.server.create(LONG, runtime=kind, limits={"maxCostUsd": most})["id"]
                for kind, most in ((CODEX, 0.05), (CLAUDE, 0.3))}
        for kind, run_id in runs.items():
            with self.subTest(agent=kind):
                record, _, _ = self.ends_at(self.server, run_id, "maxCostUsd")
                limits = record["limits"]
                self.assertGreater(limits["used"]["costUsd"], 0)
                self.assertLessEqual(limits["used"]["costUsd"], limits["maxCostUsd"] * 1.5)
                self.assertIn(b"kept", self.patch_of(self.server, run_id))

    def test_a_model_without_a_price_is_refused_under_a_limit_of_cost(self):
        body = {"task": "x", "runtime": {"kind": "codex", "model": "o9"}, "limits": {"maxCostUsd": 1}}
        reply = self.server.call("POST", "/v1/runs", body, expect=(400,))
        self.assertEqual((reply["error"]["code"], reply["error"]["details"]["model"]), ("model_price_unknown", "o9"))

    def test_what_a_run_costs_is_told(self):
        run, events = self.server.finish(self.server.create("sim: usage 20000 500\nsim: reply Done.", runtime=CODEX)["id"])
        self.assertEqual(run["status"], "completed")
        usage = [e["payload"] for e in events if e["type"] == "usage.recorded"][0]
        self.assertAlmostEqual(usage["costUsd"], (20000 * 1.25 + 500 * 10) / 1e6)
        record = self.server.call("GET", f"/v1/runs/{run['id']}/record")
        self.assertEqual(record["limits"]["used"]["tokens"], 20500)

    def test_actions(self):
        free = {"kind": "codex", "mode": "full_access"}  # so that nobody is asked
        scopes = {scope: self.server.create(LONG, runtime=free, approvalScope=scope, limits={"maxActions": 4})["id"] for scope in ("run", "action")}
        scopes["claude"] = self.server.create(LONG, runtime=CLAUDE, limits={"maxActions": 4})["id"]
        for scope, run_id in scopes.items():
            with self.subTest(scope=scope):
                record, events, marks = self.ends_at(self.server, run_id, "maxActions")
                self.assertEqual((record["limits"]["used"]["actions"], marks), (4, [50, 95]))
                if scope == "action":
                    started = [e for e in events if e["type"] == "execution.started" and "callId" in e["payload"]]
                    self.assertEqual(len(started), 4)
                # The first writes the file, three shell calls follow.
                self.assertNotIn(b"\n+3\n", self.patch_of(self.server, run_id))

    def test_wall_time_output_and_network(self):
        wall = self.server.create("sim: write kept.txt kept\\n\nsim: sleep 60\nsim: reply Late.", runtime=CODEX, limits={"maxWallSeconds": 4})["id"]
        output = self.server.create("sim: write kept.txt kept\\n\nsim: big 400000", runtime=CODEX, limits={"maxOutputBytes": 100_000})["id"]
        network = self.server.create(LONG, runtime=CODEX, limits={"maxNetworkBytes": 300_000})["id"]
        record, _, marks = self.ends_at(self.server, wall, "maxWallSeconds")
        self.assertEqual(marks, [50, 80, 95])
        self.assertIn(record["limits"]["used"]["wallSeconds"], range(4, 12))
        record, _, _ = self.ends_at(self.server, output, "maxOutputBytes")
        self.assertLess(record["limits"]["used"]["outputBytes"], 300_000)
        record, _, marks = self.ends_at(self.server, network, "maxNetworkBytes")
        self.assertLess(record["limits"]["used"]["networkBytes"], 400_000)
        self.assertIn(50, marks)

    def test_they_are_inherited_and_may_only_be_tightened(self):
        run, _ = self.server.finish(self.server.create("sim: reply One.", runtime=CODEX, limits={"maxTokens": 4_000_000, "maxWallSeconds": 100})["id"])
        record = self.server.call("GET", f"/v1/runs/{run['id']}/record")
        self.assertEqual((record["limits"]["maxTokens"], record["limits"]["maxActions"]), (4_000_000, 500))
        messages = f"/v1/runs/{run['id']}/messages"
        for looser in ({"maxTokens": 4_500_000}, {"maxWallSeconds": 101}):
            reply = self.server.call("POST", messages, {"message": "sim: reply Two.", "limits": looser}, expect=(400,))
            self.assertEqual(reply["error"]["details"]["issues"][0]["path"], ["limits", *looser])
        turn = self.server.call("POST", messages, {"message": "sim: reply Two.", "limits": {"maxTokens": 3_000_000}}, expect=(202,))
        self.server.finish(turn["runId"])
        limits = self.server.call("GET", f"/v1/runs/{turn['runId']}/record")["limits"]
        self.assertEqual((limits["maxTokens"], limits["maxWallSeconds"], limits["maxActions"]), (3_000_000, 100, 500))
        fork = self.server.call("POST", f"/v1/runs/{run['id']}/fork", {"message": "sim: reply Three.", "limits": {"maxActions": 7}})
        self.server.finish(fork["id"])
        self.assertEqual(self.server.call("GET", f"/v1/runs/{fork['id']}/record")["limits"]["maxActions"], 7)

    def test_what_does_not_fit_is_refused(self):
        for limits in ({"maxTokens": 0}, {"maxTokens": 1.5}, {"maxCostUsd": -1}, {"maxCostUsd": "1"}, {"maxActions": True}, {"more": 1}, [],
                       {"maxTokens": 5_000_001}):
            reply = self.server.call("POST", "/v1/runs", {"task": "x", "limits": limits}, expect=(400,))
            self.assertEqual(reply["error"]["code"], "validation_error", limits)


class Budgets(Ending):
    """Over runs; each test has a server of its own."""

    CONFIG = PRICES + "[budgets]\nallowance_tokens = 40000\n[budgets.workspace]\nday_tokens = %d\nmonth_tokens = 10000000\n[budgets.key]\nday_usd = 50\n"

    def budget(self, server, scope="workspace", window="day"):
        items = server.call("GET", "/v1/budgets")["items"]
        found = [i for i in items if (i["scope"], i["window"]) == (scope, window)]
        self.assertEqual(len(found), 1, items)
        return found[0]

    def test_a_budget_is_spent_and_then_refuses(self):
        with configured(self.CONFIG % 120_000) as server:
            record, _, _ = self.ends_at(server, server.create(LONG, runtime=CODEX)["id"], "budget")
            used = record["limits"]["used"]["tokens"]
            day = self.budget(server)
            self.assertEqual((day["spent"]["tokens"], day["reserved"]), (used, {"tokens": 0, "costUsd": 0}))
            self.assertLessEqual(used, 120_000 + ONE_ANSWER)
            self.assertGreater(used, 60_000)
            self.assertEqual(self.budget(server, "key")["spent"]["tokens"], used)
            self.assertEqual(self.budget(server, window="month")["spent"]["tokens"], used)
            run_id = server.create(LONG, runtime=CODEX)["id"] if not day["exhausted"] else None
            if run_id:
                self.ends_at(server, run_id, "budget")
            self.assertLessEqual(self.budget(server)["spent"]["tokens"], 120_000 + 2 * ONE_ANSWER)

    def test_a_budget_that_is_used_up_refuses_runs(self):
        with configured(self.CONFIG % 16_000) as server:
            run, _ = server.finish(server.create("sim: usage 50000 10\nsim: reply Done.", runtime=CODEX)["id"])
            self.assertEqual(run["status"], "completed", run.get("failure"))
            self.assertTrue(self.budget(server)["exhausted"])
            for path, body in (("/v1/runs", {"task": "x"}), (f"/v1/runs/{run['id']}/messages", {"message": "x"}),
                               (f"/v1/runs/{run['id']}/fork", {"message": "x"})):
                reply = server.call("POST", path, body, expect=(429,))
                self.assertEqual(reply["error"]["code"], "budget_exhausted")
                details = reply["error"]["details"]
                self.assertEqual((details["scope"], details["window"], details["unit"]), ("workspace", "day", "tokens"))

    def test_runs_beside_each_other_share_it(self):
        with configured(self.CONFIG % 100_000, args=("--sim", "--concurrency", "3")) as server:
            ids = [server.create(LONG, runtime=CODEX)["id"] for _ in range(3)]
            used = 0
            for run_id in ids:
                record, _, _ = self.ends_at(server, run_id, "budget", seconds=50)
                used += record["limits"]["used"]["tokens"]
            day = self.budget(server)
            self.assertEqual((day["spent"]["tokens"], day["reserved"]["tokens"]), (used, 0))
            self.assertLessEqual(used, 100_000 + 3 * ONE_ANSWER)

    def test_a_server_and_a_keeper_that_are_killed_leave_nothing_reserved(self):
        server = configured(self.CONFIG % 5_000_000, args=("--sim", "--concurrency", "2"))
        with server:
            slow = "sim: sh echo begun\n" + "\n".join("sim: sleep 2\nsim: sh echo on" for _ in range(3)) + "\nsim: reply Done."
            kept, lost = (server.create(slow, runtime=CODEX)["id"] for _ in range(2))
            for run_id in (kept, lost):
                server.wait_until(run_id, lambda e: e["type"] == "agent.tool_completed")
            self.assertGreater(self.budget(server)["reserved"]["tokens"], 0)
            server.kill()
            attempt = server_attempt = None
            for folder in (server.data / "attempts").iterdir():
                hello = (folder / "journal").read_bytes().split(b"\n", 1)[0]
                if lost.encode() in hello:
                    attempt = folder
            self.assertIsNotNone(attempt)
            for process in pathlib.Path("/proc").iterdir():
                if process.name.isdigit() and self.is_keeper(process, attempt):
                    server_attempt = int(process.name)
                    os.kill(server_attempt, signal.SIGKILL)
            self.assertIsNotNone(server_attempt)
            server.start()
            run, _ = server.finish(kept)
            self.assertEqual(run["status"], "completed", run.get("failure"))
            run, _ = server.finish(lost)
            self.assertEqual(run["failure"]["code"], "attempt_lost")
            used = sum(server.call("GET", f"/v1/runs/{r}/record")["limits"]["used"]["tokens"] for r in (kept, lost))
            day = self.budget(server)
            self.assertEqual((day["spent"]["tokens"], day["reserved"]["tokens"]), (used, 0))

    @staticmethod
    def is_keeper(process, attempt):
        """Whether it has this attempt's journal open."""
        try:
            return any(os.readlink(fd) == str(attempt / "journal") for fd in (process / "fd").iterdir())
        except OSError:
            return False

    def test_with_no_server_the_keeper_spends_what_it_was_given(self):
        with configured(self.CONFIG % 5_000_000) as server:
            run_id = server.create("sim: sh echo begun\n" + "\n".join("sim: sleep 1\nsim: sh echo on" for _ in range(2)) + "\nsim: reply Done.",
                                   runtime=CODEX)["id"]
            server.wait_until(run_id, lambda e: e["type"] == "agent.tool_completed")
            server.kill()
            folder = next((server.data / "attempts").iterdir())
            wait_for(lambda: b'"kind":"exit"' in (folder / "journal").read_bytes(), 30, "the keeper to end without a server")
            server.start()
            run, _ = server.finish(run_id)
            self.assertEqual(run["status"], "completed", run.get("failure"))
            used = server.call("GET", f"/v1/runs/{run_id}/record")["limits"]["used"]["tokens"]
            self.assertEqual(self.budget(server)["spent"]["tokens"], used)

    def test_on_the_command_line(self):
        def client_command(server, verb, *args):
            return subprocess.run([str(PROGRAM), verb, "--data", str(server.data), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=60, env=server.environment())
        with configured(self.CONFIG % 120_000) as server:
            shown = client_command(server, "budgets")
            self.assertIn("workspace default", shown.stdout)
            self.assertIn("120000 tokens", shown.stdout)
            done = client_command(server, "run", "--sim", "--runtime", "codex", "--max-actions", "1", LONG)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("number of actions", done.stderr)


class Liars(Ending):
    """A provider that reports its usage late, wrongly or never. Real Codex and real Claude Code, which would go on for ever.
    All lies are told to both with AGENTROUTER_BUDGETS_ALL=1."""

    LIES = ("never", "late", "less", "negative", "absurd", "flood")
    TOLD = {"codex": LIES, "claude_code": LIES if os.environ.get("AGENTROUTER_BUDGETS_ALL") else ("never", "less", "flood")}
    MOST = {"codex": 30_000, "claude_code": 60_000}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.liar = Liar().__enter__()
        cls.server = configured(PRICES, args=("--concurrency", "4"),
                                env={"OPENAI_BASE_URL": cls.liar.url + "/v1", "OPENAI_API_KEY": KEY, "ANTHROPIC_BASE_URL": cls.liar.url,
                                     "ANTHROPIC_API_KEY": KEY}).start()
        cls.ids = {(kind["kind"], lie): cls.server.create(f"Go on. lie: {lie}{kind['kind'][:2]}", runtime=kind, limits={"maxTokens": cls.MOST[kind["kind"]]})["id"]
                   for kind in (CODEX, CLAUDE) for lie in cls.TOLD[kind["kind"]]}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        cls.liar.__exit__()
        super().tearDownClass()

    def test_none_of_them_spends_more_than_one_answer_beyond_the_limit(self):
        for (kind, lie), run_id in self.ids.items():
            with self.subTest(agent=kind, lie=lie):
                record, events, _ = self.ends_at(self.server, run_id, "maxTokens", seconds=180)
                name = lie + kind[:2]
                asked = self.liar.asked[name]
                said = self.liar.said[name] if lie != "flood" else 4 * self.MOST[kind]  # what stood in buffers was not used
                # What was really used, at four bytes for a token.
                real = sum(asked) // 4 + said // 4
                self.assertLessEqual(real - (asked[-1] + said // len(asked)) // 4, self.MOST[kind] * 1.4, (len(asked), said))
                self.assertGreater(record["limits"]["used"]["tokens"], 0)
                if lie == "flood":
                    # Events of 60 bytes of text are three times as long.
                    self.assertLess(sum(e["payload"]["bytesIn"] for e in events if e["type"] == "egress.request"), 16 * self.MOST[kind])
                    self.assertEqual(len(asked), 1)
                doubts = {e["payload"].get("usage") for e in events if e["type"] == "egress.request" and e["payload"]["decision"] == "forwarded"}
                wanted = {"never": "counted", "less": "corrected", "negative": "counted", "absurd": "corrected"}.get(lie)
                if wanted:
                    self.assertIn(wanted, doubts)


if __name__ == "__main__":
    main()
