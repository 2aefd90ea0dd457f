"""Conversations that are forked: from which turn, with what, and that each then goes its own way."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import tempfile

from agents import AgentsDir
from harness import Case, Server, main, wait_for
from stores import stored

PLAIN_USER = 65534
FORKS = 50


class Forks(Case):
    def fork(self, server, run, message, **fields):
        return server.call("POST", f"/v1/runs/{run}/fork", {"message": message, **fields}, expect=(201,))["id"]

    def say(self, server, run, message):
        return server.call("POST", f"/v1/runs/{run}/messages", {"message": message}, expect=(202,))["runId"]

    def refused(self, server, run, code, status=409, **fields):
        got, _, data = server.request("POST", f"/v1/runs/{run}/fork", {"message": "sim: reply Never.", **fields})
        self.assertEqual((got, json.loads(data)["error"]["code"]), (status, code))

    def ended(self, server, run, status="completed"):
        """The run's events after its end."""
        found, _ = server.finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return server.events(run)

    def first(self, server, task, **fields):
        run = server.create(task, **fields)["id"]
        self.ended(server, run)
        return run

    @staticmethod
    def payloads(events, kind):
        return [event["payload"] for event in events if event["type"] == kind]

    def answer(self, events):
        return self.payloads(events, "agent.response")[0]["text"]

    def output(self, events):
        return self.payloads(events, "agent.tool_completed")[0]["output"]

    def checkpoints(self, server):
        return stored(server.data, "runs/*/checkpoint/*")


class ScriptedForks(Forks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.server = cls.make_server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.abandon()
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        super().tearDownClass()

    @classmethod
    def make_server(cls, **more):
        return Server(agents_dir=cls.agents.path, **more)

    def test_a_fork_shows_where_it_comes_from_and_inherits(self):
        run = self.first(self.server, "sim: sh echo kept > ~/note || true\nsim: reply One.", runtime={"kind": "codex", "mode": "read_only"}, tags={"a": "b"})
        forked = self.fork(self.server, run, "sim: sh cat ~/note\nsim: reply Two.")
        events = self.ended(self.server, forked)
        self.assertEqual(self.output(events), "kept\n")
        kinds = [event["type"] for event in events]
        self.assertEqual(kinds[:2], ["run.claimed", "sandbox.resumed"])
        shown = self.server.run(forked)
        origin = {"runId": run, "conversationId": run, "turn": 1}
        self.assertEqual((shown["forkedFrom"], shown["conversationId"], shown["tags"]), (origin, forked, {"a": "b"}))
        self.assertEqual(shown["runtime"], {"kind": "codex", "mode": "read_only"})
        record = self.server.call("GET", f"/v1/runs/{forked}/record")
        self.assertEqual(record["conversation"]["forkedFrom"], origin)
        self.assertEqual(record["operations"], ["continue", "fork", "close"])
        self.assertNotIn("forkedFrom", self.server.run(run))
        threads = {self.payloads(self.server.events(each), "agent.started")[0]["threadId"] for each in (run, forked)}
        self.assertEqual(len(threads), 1)

    def test_forks_of_forks_and_parents_go_on_at_the_same_time(self):
        run = self.first(self.server, "sim: sh echo one > one.txt\nsim: reply One.")
        busy = self.say(self.server, run, "sim: sh echo two > two.txt\nsim: sleep 600\nsim: reply Never.")
        self.server.wait_until(busy, lambda event: event["type"] == "agent.tool_completed")
        self.refused(self.server, run, "run_busy", atTurn=2)
        left = self.fork(self.server, run, "sim: sh ls; echo left > left.txt\nsim: reply Left.")
        self.assertEqual(self.output(self.ended(self.server, left)), "one.txt\n")
        right = self.fork(self.server, left, "sim: sh ls; echo right > right.txt\nsim: recall left.txt")
        events = self.ended(self.server, right)
        self.assertEqual((self.output(events), self.answer(events)), ("left.txt\none.txt\n", "seen"))
        third = self.say(self.server, left, "sim: sh ls\nsim: recall right.txt")
        events = self.ended(self.server, third)
        self.assertEqual((self.output(events), self.answer(events)), ("left.txt\none.txt\n", "not seen"))
        self.server.call("POST", f"/v1/runs/{busy}/cancel", {})
        self.ended(self.server, busy, "cancelled")
        cancelled = self.fork(self.server, run, "sim: sh ls\nsim: reply Cancelled.", atTurn=2)
        self.assertEqual(self.output(self.ended(self.server, cancelled)), "one.txt\ntwo.txt\n")
        self.refused(self.server, run, "turn_not_found", 404, atTurn=3)

    def test_a_fork_needs_no_conversation_that_is_still_open(self):
        with self.make_server() as server:
            run = self.first(server, "sim: sh echo one > one.txt\nsim: reply One.")
            self.ended(server, self.say(server, run, "sim: sh echo two > two.txt\nsim: reply Two."))
            forked = self.fork(server, run, "sim: sh ls\nsim: reply Forked.", atTurn=1)
            server.call("POST", f"/v1/runs/{run}/close", {})
            self.assertEqual(self.output(self.ended(server, forked)), "one.txt\n")
            wait_for(lambda: len(self.checkpoints(server)) == 2, what="the other checkpoint to be freed")
            self.refused(server, run, "session_closed")
            server.kill()
            server.start()
            again = self.fork(server, forked, "sim: sh ls\nsim: reply Again.")
            self.assertEqual(self.output(self.ended(server, again)), "one.txt\n")
            for each in (forked, again):
                server.call("POST", f"/v1/runs/{each}/close", {})
            wait_for(lambda: not self.checkpoints(server), what="all checkpoints to be freed")

    def test_fifty_forks_at_once_each_have_the_right_files(self):
        run = self.first(self.server, "sim: sh echo one > one.txt; mkdir deep; echo deep > deep/file; ln -s one.txt link\nsim: reply One.")
        self.ended(self.server, self.say(self.server, run, "sim: sh rm one.txt; echo two > two.txt\nsim: reply Two."))
        before = len(self.checkpoints(self.server))

        def fork(number):
            turn = 1 + number % 2
            return turn, number, self.fork(self.server, run, f"sim: sh ls -R; echo {number} > mine.txt; cat mine.txt\nsim: recall two.txt", atTurn=turn)

        with concurrent.futures.ThreadPoolExecutor(FORKS) as pool:
            forks = list(pool.map(fork, range(FORKS)))
        self.assertEqual(len({forked for _, _, forked in forks}), FORKS)
        self.assertLessEqual(len(self.checkpoints(self.server)), before + FORKS)
        listing = {1: ".:\ndeep\nlink\none.txt\n\n./deep:\nfile\n", 2: ".:\ndeep\nlink\ntwo.txt\n\n./deep:\nfile\n"}
        for turn, number, forked in forks:
            events = self.ended(self.server, forked)
            self.assertEqual(self.output(events), listing[turn] + f"{number}\n")
            self.assertEqual(self.answer(events), "seen" if turn == 2 else "not seen")
        self.assertEqual(len(self.server.call("GET", f"/v1/runs/{run}/turns")["items"]), 2)

    def test_a_server_of_a_plain_user_forks(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        user = PLAIN_USER if os.geteuid() == 0 else None
        if user:
            os.chown(data, user, user)
        try:
            with self.make_server(data=data, user=user, env={"HOME": str(data)}) as server:
                run = self.first(server, "sim: sh echo one > one.txt\nsim: reply One.")
                forked = self.fork(server, run, "sim: sh cat one.txt\nsim: recall one.txt")
                events = self.ended(server, forked)
                self.assertEqual((self.output(events), self.answer(events)), ("one\n", "seen"))
        finally:
            shutil.rmtree(data, ignore_errors=True)
            (data.parent / (data.name + ".log")).unlink(missing_ok=True)


class RealForks(Forks):
    def check(self, runtime, named):
        with Server() as server:
            run = self.first(server, "sim: sh echo one > one.txt\nsim: reply The first token is heron.", runtime=runtime)
            second = self.say(server, run, "sim: sh cat one.txt; echo two > two.txt\nsim: recall heron")
            events = self.ended(server, second)
            self.assertEqual((self.output(events).strip(), self.answer(events)), ("one", "seen"))
            early = self.fork(server, run, "sim: sh ls\nsim: recall two.txt", atTurn=1)
            late = self.fork(server, run, "sim: sh ls\nsim: recall two.txt")
            further = self.say(server, run, "sim: sh ls; echo three > three.txt\nsim: recall two.txt")
            for forked, files, memory in ((early, "one.txt", "not seen"), (late, "one.txt\ntwo.txt", "seen"), (further, "one.txt\ntwo.txt", "seen")):
                events = self.ended(server, forked)
                self.assertEqual((self.output(events).strip(), self.answer(events)), (files, memory))
            # Both halves of the memory, and its next turn has its own.
            again = self.fork(server, early, "sim: recall heron")
            self.assertEqual(self.answer(self.ended(server, again)), "seen")
            more = self.say(server, early, "sim: sh ls\nsim: recall three.txt")
            events = self.ended(server, more)
            self.assertEqual((self.output(events).strip(), self.answer(events)), ("one.txt", "not seen"))
            threads = {self.payloads(server.events(each), "agent.started")[0][named] for each in (run, second, early, late, further, again, more)}
            self.assertEqual(len(threads), 1, "a fork goes on with the thread of where it comes from")

    def test_codex_forks_with_files_and_memory_of_the_turn(self):
        self.check({"kind": "codex"}, "threadId")

    def test_claude_code_forks_with_files_and_memory_of_the_turn(self):
        self.check({"kind": "claude_code"}, "sessionId")


if __name__ == "__main__":
    main()
