"""kill -9 of the server and of keepers at points of an action's life: nothing runs without approval, nothing twice, nothing is lost. Real CLIs.

The life is that of three actions: a call of an MCP server that counts its calls on this machine, a command, and another call, which is denied. From the
moment that the first one is asked about, each system call by which something leaves the process is a point. AGENTROUTER_KILL_POINTS says how many of
them are taken of each process and agent, evenly spread ("all": every one); the default is the bounded form for CI.
"""
import contextlib
import os
import pathlib
import shutil
import tempfile
import uuid

from agents import keepers
from harness import Case, Server, main, wait_for
from kill_points import Tracing
from mcp_http import McpHttp
from person import Person, of, tool_actions

KINDS = ("codex", "claude_code")
TASK = """sim: mcp far note {{"text": "yes-{word}"}}
sim: sh echo second >> once.txt
sim: mcp far note {{"text": "no-{word}"}}
sim: reply Done."""
AMOUNT = os.environ.get("AGENTROUTER_KILL_POINTS", "4")
WORD = "Bearer kill-points-6d1f"


def chosen(points):
    if AMOUNT == "all" or int(AMOUNT) >= len(points):
        return points
    return [points[(2 * i + 1) * len(points) // (2 * int(AMOUNT))] for i in range(int(AMOUNT))]


class KillPoints(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-points-"))
        cls.remote = McpHttp(WORD)
        cls.addClassCleanup(cls.remote.close)
        config = cls.folder / "server.toml"
        config.write_text(f'[mcp_servers.far]\nurl = "{cls.remote.url}"\nheaders.Authorization = "{WORD}"\n')
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(config))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def begin(self, kind):
        """A run whose first action is asked about, and the word of its task."""
        word = uuid.uuid4().hex
        run = self.server.create(TASK.format(word=word), runtime={"kind": kind}, approvalScope="action", approvalMode="manual", mcp=["far"])["id"]
        decided = []

        def asked(event):
            if event["type"] == "approval.requested" and not decided:  # the launch
                decided.append(self.decide(run, event["payload"], "approve"))
                return False
            return event["type"] == "approval.requested"
        self.server.wait_until(run, asked, 60)
        return run, word

    def decide(self, run, question, verb):
        return self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/{verb}", {"actionDigest": question["actionDigest"]}, expect=(200, 409))

    def calls(self, text):
        return sum(arguments == {"text": text} for _, arguments in self.remote.calls)

    def keeper(self):
        return next(iter(keepers(self.server.data)))

    def points(self, kind, victim):
        """Every point of the life, from a run that nobody disturbs."""
        run, word = self.begin(kind)
        tracing = Tracing(self.server.pid if victim == "server" else self.keeper())
        with Person(self.server, run):
            self.server.finish(run, 120)
        self.assertFalse(tracing.stop())
        self.check_whole(run, word)
        return tracing.points()

    def test_the_server(self):
        for kind in KINDS:
            points = self.points(kind, "server")
            hit = 0
            for point in chosen(points):
                with self.subTest((kind, point)):
                    run, word = self.begin(kind)
                    tracing = Tracing(self.server.pid, point)
                    with Person(self.server, run):
                        wait_for(lambda: self.server.process.poll() is not None or not keepers(self.server.data), 90, "the kill, or the run's end")
                        hit += tracing.stop()
                        if self.server.process.poll() is not None:
                            self.restart()
                        self.server.finish(run, 120)
                    self.check_whole(run, word)
            print(f"\nserver, {kind}: {hit} of {len(points)} points", flush=True)
            self.assertTrue(hit)

    def restart(self):
        with contextlib.suppress(OSError):
            self.server.kill()
        self.server.listen = f"{self.server.host}:{self.server.port}"

        def started():
            with contextlib.suppress(AssertionError):
                return self.server.start()
        wait_for(started, 20, "the port to be free again")

    def check_whole(self, run, word):
        """As if nothing had happened."""
        record, events = self.server.run(run), self.server.events(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        actions = tool_actions(events)
        self.assertEqual(len(actions), 3)
        for kind, number in (("approval.requested", 3), ("approval.decided", 3), ("execution.started", 2), ("execution.completed", 2)):
            self.assertEqual(len([a for a in actions if kind in a]), number, kind)
            self.assertEqual(len(of(events, kind)), number + 1, kind)
        patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()
        self.assertEqual((self.calls(f"yes-{word}"), patch.count("+second\n"), self.calls(f"no-{word}")), (1, 1, 0))

    def test_a_keeper(self):
        """What was asked is void, what was let go has an unknown outcome, and none of it happens afterwards."""
        for kind in KINDS:
            points = self.points(kind, "keeper")
            hit = 0
            for point in chosen(points):
                with self.subTest((kind, point)):
                    run, word = self.begin(kind)
                    tracing = Tracing(self.keeper(), point)
                    with Person(self.server, run):
                        self.server.finish(run, 120)
                    hit += tracing.stop()
                    self.check_lost(run, word)
            print(f"\nkeeper, {kind}: {hit} of {len(points)} points", flush=True)
            self.assertTrue(hit)

    def check_lost(self, run, word):
        record, events = self.server.run(run), self.server.events(run)
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        if record["status"] == "completed":  # it was killed when everything was told
            return self.check_whole(run, word)
        self.assertEqual(record["failure"]["code"], "attempt_lost")
        actions = tool_actions(events)
        ran = self.calls(f"yes-{word}")
        self.assertEqual(self.calls(f"no-{word}"), 0)
        self.assertLessEqual(ran, 1)
        for number, action in enumerate(actions):
            if "execution.started" in action:
                self.assertEqual(action["approval.decided"]["decision"], "approved")
                end = action.get("execution.completed") or action["execution.failed"]
                self.assertTrue("execution.completed" in action or end["reason"] == "outcome_unknown", end)
            elif number == 0:
                self.assertEqual(ran, 0, "it ran and nobody let it go")
            if "approval.requested" in action and "approval.decided" not in action:
                self.assertEqual(action["approval.withdrawn"]["reason"], "attempt_lost")
            if "approval.decided" not in action:
                late = self.decide(run, action["action.proposed"], "approve")
                self.assertIn(late["error"]["code"], ("run_not_active", "approval_not_requested", "approval_not_pending"))
        self.assertEqual(self.server.call("GET", f"/v1/approvals?runId={run}")["items"], [])
        wait_for(lambda: not any((self.server.data / "attempts").iterdir()), 20, "what is left of the attempt to go")
        self.assertEqual((self.calls(f"yes-{word}"), len(self.server.events(run))), (ran, len(events)))


if __name__ == "__main__":
    main()
