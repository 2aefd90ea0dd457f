"""What may follow what in a conversation, and what each turn begins with. Scripted agent; test_conversation.py has the real one."""
import json
import os
import pathlib
import shutil
import tempfile
import time

from agents import AgentsDir
from harness import Case, Server, main, wait_for
from stores import stored

PLAIN_USER = 65534


class Turns(Case):
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

    def say(self, run, message, server=None, **fields):
        server = server or self.server
        return server.call("POST", f"/v1/runs/{run}/messages", {"message": message, **fields}, expect=(202,))["runId"]

    def refused(self, run, code, status=409, server=None, **fields):
        got, _, data = (server or self.server).request("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply Never.", **fields})
        self.assertEqual((got, json.loads(data)["error"]["code"]), (status, code))

    def ended(self, run, status="completed", server=None):
        """The run's events after its end."""
        server = server or self.server
        found, _ = server.finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return server.events(run)

    def first(self, task, status="completed", server=None, **fields):
        run = (server or self.server).create(task, **fields)["id"]
        self.ended(run, status, server)
        return run

    def next(self, run, message, status="completed", server=None, **fields):
        turn = self.say(run, message, server, **fields)
        return turn, self.ended(turn, status, server)

    @staticmethod
    def types(events):
        return [event["type"] for event in events]

    @staticmethod
    def payload(events, kind):
        return next(event["payload"] for event in events if event["type"] == kind)

    def output(self, events, index=0):
        done = [event["payload"] for event in events if event["type"] == "agent.tool_completed"][index]
        return done["output"]

    def decide(self, run, verb, server=None):
        server = server or self.server
        asked = server.wait_until(run, lambda event: event["type"] == "approval.requested")[-1]["payload"]
        server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/{verb}", {"actionDigest": asked["actionDigest"]})

    def checkpoints(self, run, server=None):
        """The stored checkpoints of all turns."""
        server = server or self.server
        turns = server.call("GET", f"/v1/runs/{run}/turns")["items"]
        return [key for turn in turns for key in stored(server.data, f"runs/{turn['runId']}/checkpoint/*")]

    # What may follow what.

    def test_an_active_turn_is_busy_whatever_its_state(self):
        run = self.server.create("sim: reply Later.", approvalMode="manual")["id"]
        self.refused(run, "run_busy")  # queued or starting
        self.server.wait_until(run, lambda event: event["type"] == "approval.requested")
        self.refused(run, "run_busy")
        self.decide(run, "approve")
        self.ended(run)
        second = self.say(run, "sim: sleep 600\nsim: reply Never.")
        self.decide(second, "approve")
        self.server.wait_until(second, lambda event: event["type"] == "agent.started")
        for name in (run, second):
            self.refused(name, "run_busy")
        self.server.call("POST", f"/v1/runs/{second}/cancel", {})
        got, _, data = self.server.request("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply Third."})
        if got == 409:  # else it had ended meanwhile
            self.assertEqual(json.loads(data)["error"]["code"], "run_busy")
            self.ended(second, "cancelled")
            data = json.dumps({"runId": self.say(run, "sim: reply Third.")})
        third = json.loads(data)["runId"]
        self.decide(third, "approve")
        self.ended(third)
        self.assertEqual([turn["turnNumber"] for turn in self.server.call("GET", f"/v1/runs/{third}/turns")["items"]], [1, 2, 3])

    def test_a_failed_turn_is_continued_with_its_files_and_its_thread(self):
        run = self.first("sim: sh echo one > one.txt\nsim: exit 3", "failed")
        second, events = self.next(run, "sim: sh cat one.txt; echo two > two.txt\nsim: exit 4", "failed")
        self.assertEqual(self.output(events), "one\n")
        self.assertIn("sandbox.resumed", self.types(events))
        _, events = self.next(second, "sim: sh cat one.txt two.txt\nsim: recall two.txt")
        self.assertEqual(self.output(events), "one\ntwo\n")
        self.assertEqual(self.payload(events, "agent.response")["text"], "seen")
        threads = {self.payload(self.server.events(turn), "agent.started")["threadId"] for turn in (run, second)}
        self.assertEqual(threads, {self.payload(events, "agent.started")["threadId"]})

    def test_a_first_run_that_was_cancelled_before_its_agent_is_followed_by_a_fresh_one(self):
        run = self.server.create("sim: sh echo never > never.txt", approvalMode="manual")["id"]
        self.server.wait_until(run, lambda event: event["type"] == "approval.requested")
        self.server.call("POST", f"/v1/runs/{run}/cancel", {})
        self.assertNotIn("checkpoint.created", self.types(self.ended(run, "cancelled")))
        self.assertRegex(self.server.run(run)["sessionId"], "^sess_")
        second = self.say(run, "sim: sh ls -A\nsim: reply Fresh.")
        self.decide(second, "approve")
        events = self.ended(second)
        self.assertEqual(self.output(events), "")
        self.assertIn("sandbox.created", self.types(events))

    def test_a_first_run_that_was_cancelled_in_the_queue_is_followed_by_a_fresh_one(self):
        server = self.make_server(args=("--sim", "--role", "api"))
        with server:
            run = server.create("sim: sh echo never > never.txt")["id"]
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            self.assertEqual(self.types(self.ended(run, "cancelled", server)), ["run.cancelled"])
            second = self.say(run, "sim: sh ls -A\nsim: reply Fresh.", server)
            server.stop()
            server.args = ["--sim"]
            server.start()
            self.assertIn("sandbox.created", self.types(self.ended(second, server=server)))

    def test_a_turn_that_was_denied_leaves_the_state_before_it(self):
        run = self.first("sim: sh echo one > one.txt\nsim: reply One.")
        second = self.say(run, "sim: sh rm one.txt", approvalMode="manual")
        self.decide(second, "deny")
        events = self.ended(second, "failed")
        self.assertNotIn("checkpoint.created", self.types(events))
        third = self.say(run, "sim: sh cat one.txt\nsim: reply Three.")
        self.decide(third, "approve")
        self.assertEqual(self.output(self.ended(third)), "one\n")

    def test_the_approval_mode_is_inherited_and_only_tightened(self):
        run = self.first("sim: reply One.")
        second = self.say(run, "sim: reply Two.", approvalMode="manual")
        self.decide(second, "approve")
        self.ended(second)
        self.refused(run, "validation_error", 400, approvalMode="auto")
        third = self.say(run, "sim: reply Three.")
        self.decide(third, "approve")
        self.ended(third)
        _, events = self.next(run, "sim: reply Four.", "failed", approvalMode="block")
        self.assertNotIn("execution.started", self.types(events))
        self.refused(run, "validation_error", 400, approvalMode="manual")
        fifth, _ = self.next(run, "sim: reply Five.", "failed")
        self.assertEqual(self.server.run(fifth)["failure"]["code"], "policy_denied")

    def test_a_read_only_conversation_keeps_its_home_and_changes_nothing(self):
        run = self.first("sim: sh touch no.txt || echo refused; echo kept > ~/note\nsim: reply One.", runtime={"kind": "codex", "mode": "read_only"})
        _, events = self.next(run, "sim: sh ls -A; cat ~/note; touch no.txt || echo refused\nsim: recall ~/note")
        self.assertRegex(self.output(events), r"^kept\n(.*\n)?refused\n$")
        self.assertEqual(self.payload(events, "agent.response")["text"], "seen")
        self.assertEqual(self.payload(events, "workspace.patch_collected")["bytes"], 0)
        self.assertEqual(self.server.run(run)["runtime"]["mode"], "read_only")

    # How it ends.

    def test_closing_frees_the_checkpoints_of_all_turns(self):
        run = self.first("sim: reply One.")
        self.next(run, "sim: reply Two.")
        self.assertEqual(len(self.checkpoints(run)), 2)
        closed = self.server.call("POST", f"/v1/runs/{run}/close", {})
        self.assertEqual(closed, {"closed": True, "conversationId": run, "reclaimed": True})
        wait_for(lambda: not self.checkpoints(run), what="the checkpoints to be freed")
        self.assertEqual(self.server.call("POST", f"/v1/runs/{run}/close", {}), closed)
        self.refused(run, "session_closed")
        self.assertEqual(len(self.server.artifacts(run)), 6)

    def test_closing_cancels_an_active_turn_whatever_its_state_and_frees_everything(self):
        def queued(server, run):
            return self.say(run, "sim: reply Never.", server)

        def asking(server, run):
            turn = self.say(run, "sim: reply Never.", server, approvalMode="manual")
            server.wait_until(turn, lambda event: event["type"] == "approval.requested")
            return turn

        def working(server, run):
            turn = self.say(run, "sim: sh echo two > two.txt\nsim: sleep 600\nsim: reply Never.", server)
            server.wait_until(turn, lambda event: event["type"] == "agent.tool_completed")
            return turn

        for state in (queued, asking, working):
            with self.subTest(state.__name__):
                run = self.first("sim: sh echo one > one.txt\nsim: reply One.")
                turn = state(self.server, run)
                began = time.monotonic()
                closed = self.server.call("POST", f"/v1/runs/{run}/close", {})
                self.assertEqual(closed, {"closed": True, "conversationId": run, "reclaimed": True})
                events = self.ended(turn, "cancelled")
                self.assertLess(time.monotonic() - began, 10)
                self.assertEqual(self.types(events)[-1], "run.cancelled")
                self.assertNotIn("failure", self.server.run(turn))
                wait_for(lambda: not self.checkpoints(run), what="the checkpoints to be freed")
                wait_for(lambda: not list((self.server.data / "attempts").iterdir()), what="the sandboxes to be freed")
                self.assertEqual(self.server.call("POST", f"/v1/runs/{turn}/close", {}), closed)
                self.refused(run, "session_closed")

    def test_closing_cancels_a_first_run_and_its_conversation_is_never_continued(self):
        run = self.server.create("sim: sleep 600\nsim: reply Never.")["id"]
        self.server.wait_until(run, lambda event: event["type"] == "agent.started")
        self.assertEqual(self.server.call("POST", f"/v1/runs/{run}/close", {})["closed"], True)
        self.ended(run, "cancelled")
        self.refused(run, "session_closed")
        wait_for(lambda: not self.checkpoints(run), what="the checkpoint to be freed")
        self.assertEqual(self.server.call("POST", f"/v1/runs/{run}/close", {})["reclaimed"], True)

    def test_a_conversation_whose_time_is_over_is_closed_and_its_checkpoints_are_gone(self):
        for name, turns in (("AGENTROUTER_ONESHOT_GRACE_MINUTES", 1), ("AGENTROUTER_SESSION_IDLE_TTL_MINUTES", 2)):
            with self.subTest(name), self.make_server(env={name: "0"}) as server:
                run = self.first("sim: reply One.", server=server)
                if turns == 2:
                    self.assertEqual(len(self.checkpoints(run, server)), 1)
                    self.next(run, "sim: reply Two.", server=server)
                self.refused(run, "session_closed", server=server)
                wait_for(lambda: not self.checkpoints(run, server), what="the checkpoints to be freed")
                self.assertEqual(server.call("POST", f"/v1/runs/{run}/close", {})["reclaimed"], True)

    def test_what_is_damaged_or_gone_fails_the_turn_and_not_the_conversation(self):
        run = self.first("sim: sh echo one > one.txt\nsim: reply One.")
        [key] = self.checkpoints(run)
        path = self.server.data / "blobs" / key
        shutil.rmtree(self.server.data / "layers/kept" / run)  # only the archive is left
        whole = path.read_bytes()
        for bytes_then in (b"", whole[:-1], whole + b"x", None):
            path.unlink() if bytes_then is None else path.write_bytes(bytes_then)
            turn, events = self.next(run, "sim: reply Never.", "failed")
            self.assertEqual(self.server.run(turn)["failure"]["code"], "checkpoint_unavailable")
            self.assertEqual(self.types(events), ["run.claimed", "run.failed"])
        path.write_bytes(whole)
        self.assertEqual(self.output(self.next(run, "sim: sh cat one.txt\nsim: reply Back.")[1]), "one\n")

    # While no server is there.

    def test_a_deadline_that_passes_while_no_server_is_there_counts_at_the_next_start(self):
        with self.make_server() as server:
            run = server.create("sim: reply Never.", approvalMode="manual", approvalTimeoutSeconds=1)["id"]
            server.wait_until(run, lambda event: event["type"] == "approval.requested")
            asked = time.monotonic()
            server.kill()
            wait_for(lambda: time.monotonic() > asked + 1.1, what="the deadline")
            server.start()
            events = self.ended(run, "failed", server)
            self.assertEqual(server.run(run)["failure"]["code"], "approval_expired")
            self.assertIn("approval.expired", self.types(events))
            self.assertNotIn("execution.started", self.types(events))

    def test_what_is_closed_as_the_server_dies_is_cancelled_and_freed_by_the_next_one(self):
        with self.make_server() as server:
            run = self.first("sim: reply One.", server=server)
            second = self.say(run, "sim: sleep 600\nsim: reply Never.", server)
            server.wait_until(second, lambda event: event["type"] == "agent.started")
            server.call("POST", f"/v1/runs/{run}/close", {})
            server.kill()
            server.start()
            self.ended(second, "cancelled", server)
            wait_for(lambda: not self.checkpoints(run, server), what="the checkpoints to be freed")

    def test_what_is_closed_while_no_worker_is_there_is_freed_by_the_next_one(self):
        with self.make_server() as server:
            run = self.first("sim: reply One.", server=server)
            server.stop()
            server.args = ["--sim", "--role", "api"]
            server.start()
            self.assertEqual(server.call("POST", f"/v1/runs/{run}/close", {})["reclaimed"], True)
            self.assertEqual(len(self.checkpoints(run, server)), 1)
            server.kill()
            server.args = ["--sim"]
            server.start()
            wait_for(lambda: not self.checkpoints(run, server), what="the checkpoint to be freed")

    # As somebody else, and at length.

    def test_a_server_of_a_plain_user_continues_conversations(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        user = PLAIN_USER if os.geteuid() == 0 else None
        if user:
            os.chown(data, user, user)
        try:
            with self.make_server(data=data, user=user, env={"HOME": str(data)}) as server:
                run = self.first("sim: sh echo one > one.txt; chmod 700 .; ln -s one.txt link; echo kept > ~/note\nsim: reply One.", server=server)
                second, events = self.next(run, "sim: sh cat link ~/note; rm one.txt; echo two > two.txt\nsim: reply Two.", server=server)
                self.assertEqual(self.output(events), "one\nkept\n")
                _, events = self.next(second, "sim: sh ls -A; cat two.txt\nsim: recall two.txt", server=server)
                self.assertEqual(self.output(events), "link\ntwo.txt\ntwo\n")
                self.assertEqual(self.payload(events, "agent.response")["text"], "seen")
        finally:
            shutil.rmtree(data, ignore_errors=True)
            (data.parent / (data.name + ".log")).unlink(missing_ok=True)

    def test_a_large_change_is_there_again(self):
        make = "mkdir many && cd many && for i in $(seq 3000); do echo $i > f$i; done; head -c 67108864 /dev/urandom > large"
        digest = "find many -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
        run = self.first(f"sim: sh {make}; cd ..; {digest}\nsim: reply One.")
        events = self.server.events(run)
        self.assertGreater(self.payload(events, "checkpoint.created")["bytes"], 64 << 20)
        _, later = self.next(run, f"sim: sh {digest}\nsim: reply Two.")
        self.assertEqual(self.output(later), self.output(events))


if __name__ == "__main__":
    main()
