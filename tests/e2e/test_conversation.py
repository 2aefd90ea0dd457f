"""A conversation over several turns with the real Codex: workspace, home and thread go on."""
import os
import unittest

from harness import Case, Server, main, wait_for

FIRST = """sim: say first
sim: sh git init -q . && echo tracked > tracked.txt && git add tracked.txt && git -c user.name=a -c user.email=a@a commit -qm one; echo more >> seen.txt; echo note > ignored.log
sim: say done with the first turn
"""
SECOND = """sim: sh cat seen.txt tracked.txt ignored.log; echo more >> seen.txt; git log --oneline | wc -l
sim: recall seen.txt
"""


class Conversation(Case):
    def types(self, server, run):
        return [event["type"] for event in server.events(run)]

    def payload(self, server, run, kind):
        return next(event["payload"] for event in server.events(run) if event["type"] == kind)

    def continue_run(self, server, run, message, **fields):
        return server.call("POST", f"/v1/runs/{run}/messages", {"message": message, **fields}, expect=(202,))["runId"]

    def patch(self, server, run):
        artifact = server.artifacts(run)["workspace_patch"]
        return server.download(run, artifact["id"]).decode()

    def test_the_second_turn_goes_on_where_the_first_ended(self):
        with Server() as server:
            first = server.create(FIRST)["id"]
            self.assertEqual(server.finish(first)[0]["status"], "completed")
            kinds = self.types(server, first)
            self.assertIn("sandbox.created", kinds)
            self.assertEqual(kinds.index("checkpoint.created") + 1, kinds.index("sandbox.destroyed"))
            second = self.continue_run(server, first, SECOND)
            self.assertEqual(server.finish(second)[0]["status"], "completed")
            kinds = self.types(server, second)
            self.assertIn("sandbox.resumed", kinds)
            self.assertNotIn("sandbox.created", kinds)
            self.assertNotIn("credential_boundary.verified", kinds)
            self.assertEqual(self.payload(server, first, "agent.started")["threadId"],
                             self.payload(server, second, "agent.started")["threadId"])
            self.assertEqual(self.payload(server, second, "agent.response")["text"], "seen")
            patch = self.patch(server, second)
            self.assertIn("tracked.txt", patch)
            self.assertIn("+more\n+more\n", patch)

    def test_a_cancelled_first_turn_is_continued(self):
        with Server() as server:
            first = server.create("sim: sh echo kept > kept.txt; sleep 60\n")["id"]
            server.wait_until(first, lambda event: event["type"] == "agent.tool_started")
            server.call("POST", f"/v1/runs/{first}/cancel", {})
            self.assertEqual(server.finish(first)[0]["status"], "cancelled")
            second = self.continue_run(server, first, "sim: sh cat kept.txt\nsim: say read\n")
            self.assertEqual(server.finish(second)[0]["status"], "completed")
            self.assertIn("sandbox.resumed", self.types(server, second))

    def test_a_question_that_nobody_answers_expires(self):
        with Server() as server:
            run = server.create("sim: say never", approvalMode="manual", approvalTimeoutSeconds=1)["id"]
            ended = server.finish(run)[0]
            self.assertEqual(ended["status"], "failed")
            self.assertEqual(ended["failure"]["code"], "approval_expired")
            self.assertNotIn("execution.started", self.types(server, run))

    def test_a_conversation_that_is_closed_leaves_no_checkpoint(self):
        with Server() as server:
            run = server.create("sim: say hello")["id"]
            server.finish(run)
            found = [name for _, _, names in os.walk(server.data) for name in names if name.endswith(".tar.zst")]
            self.assertTrue(found)
            server.call("POST", f"/v1/runs/{run}/close", {})
            wait_for(lambda: not [name for _, _, names in os.walk(server.data) for name in names
                                  if name.endswith(".tar.zst")], what="the checkpoint's removal")
            status = server.request("POST", f"/v1/runs/{run}/messages", {"message": "more"})[0]
            self.assertEqual(status, 409)


if __name__ == "__main__":
    main()
