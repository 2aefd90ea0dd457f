"""What is kept and what is not: deletion, retention, the queue's bounds and shares, and slots that waiting runs lend. Scripted agent."""
import json
import pathlib
import subprocess

from agents import AgentsDir
from harness import PROGRAM, TERMINAL, Case, Server, main, wait_for
from stores import stored


class Keeping(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.addClassCleanup(cls.agents.remove)

    def server(self, config="", *args):
        server = Server(args=("--sim", *args), agents_dir=self.agents.path)
        if config:
            (server.data / "agentrouter.toml").write_text(config)
        return server

    def delete(self, server, run):
        """The sandbox of a run that has just ended may be being removed yet."""
        def gone():
            status, headers, data = server.request("DELETE", f"/v1/runs/{run}")
            if status == 409:
                self.assertEqual(json.loads(data)["error"]["code"], "run_not_ended")
                self.assertEqual(headers["retry-after"], "1")
            return status != 409 and status
        self.assertEqual(wait_for(gone, 20, "the run to be tidied"), 204)

    def code(self, server, method, path, body=None, **more):
        status, headers, data = server.request(method, path, body, **more)
        return status, (json.loads(data)["error"]["code"] if status >= 400 else None), headers

    def blobs(self, server, run):
        return stored(server.data, f"runs/{run}/*")

    def test_a_deleted_run_is_gone_and_what_others_stand_on_stays(self):
        with self.server() as server:
            first = server.create("sim: sh echo one > a.txt\nsim: reply One.", tags={"k": "v"})["id"]
            server.finish(first)
            second = server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh echo two > b.txt\nsim: reply Two."}, expect=(202,))["runId"]
            server.finish(second)
            fork = server.call("POST", f"/v1/runs/{second}/fork", {"message": "sim: sh cat a.txt\nsim: reply Fork.", "atTurn": 1})["id"]
            server.finish(fork)
            busy = server.create("sim: hang")["id"]
            server.wait_until(busy, lambda event: event["type"] == "execution.started")
            self.assertEqual(self.code(server, "DELETE", f"/v1/runs/{busy}")[:2], (409, "run_not_ended"))
            page = server.call("GET", "/v1/runs?limit=2")
            self.delete(server, first)
            for rest in ("", "/session", "/record", "/events", "/artifacts", "/files", "/turns"):
                self.assertEqual(self.code(server, "GET", f"/v1/runs/{first}{rest}")[:2], (404, "run_not_found"), rest)
            rest = server.call("GET", f"/v1/runs?limit=50&cursor={page['nextCursor']}")
            self.assertEqual([run["id"] for run in rest["items"]], [second])
            self.assertEqual(server.call("GET", "/v1/runs?tag.k=v&limit=50")["items"][-1]["id"], second)
            wait_for(lambda: not any(key.endswith(".gz") for key in self.blobs(server, first)), what="its artifacts to be removed")
            # The fork goes on from the deleted turn's state, the conversation from its newest.
            again = server.call("POST", f"/v1/runs/{fork}/messages", {"message": "sim: sh cat a.txt\nsim: reply On."}, expect=(202,))["runId"]
            third = server.call("POST", f"/v1/runs/{second}/messages", {"message": "sim: sh cat a.txt b.txt\nsim: reply Three."}, expect=(202,))
            self.assertEqual(third["turnNumber"], 3)
            for run, text in ((again, "one\n"), (third["runId"], "one\ntwo\n")):
                record, events = server.finish(run)
                self.assertEqual(record["status"], "completed", record.get("failure"))
                self.assertEqual([e["payload"]["output"] for e in events if e["type"] == "agent.tool_completed"], [text])
            server.call("POST", f"/v1/runs/{busy}/cancel")
            server.finish(busy)
            for run in (second, third["runId"], fork, again, busy):
                self.delete(server, run)
            wait_for(lambda: not stored(server.data, "runs/*"), what="every byte to be removed")
            entries = [entry for entry in server.call("GET", "/v1/audit?limit=500")["items"] if entry["type"] == "run.deleted"]
            self.assertEqual([entry["runId"] for entry in entries], [first, second, third["runId"], fork, again, busy])
            export = server.data.parent / (server.data.name + ".jsonl")
            self.addCleanup(export.unlink)
            env = {**server.environment(), "AGENTROUTER_API_BASE_URL": server.url}
            export.write_bytes(subprocess.run([PROGRAM, "audit", "export"], env=env, check=True, capture_output=True).stdout)
            self.assertEqual(subprocess.run([PROGRAM, "audit", "verify", export], capture_output=True).returncode, 0)

    def test_a_crash_in_the_middle_of_a_deletion_leaves_nothing(self):
        server = self.server()
        with server:
            run = server.create("sim: repeat 300 sh echo x\nsim: reply Done.")["id"]
            server.finish(run, 120)
            self.delete(server, run)
            server.kill()
            server.start()
            self.assertEqual(self.code(server, "GET", f"/v1/runs/{run}")[:2], (404, "run_not_found"))
            wait_for(lambda: not self.blobs(server, run), what="what is left to be removed")

    def test_the_command_line_deletes(self):
        with self.server() as server:
            run = server.create("sim: reply Done.")["id"]
            server.finish(run)
            env = {**server.environment(), "AGENTROUTER_API_BASE_URL": server.url}
            done = subprocess.run([PROGRAM, "delete", run], env=env, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, f"Deleted the run {run}\n"), done.stderr)
            done = subprocess.run([PROGRAM, "delete", run], env=env, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("run", done.stderr)

    def test_only_the_newest_runs_stay_and_those_that_are_to_be_kept(self):
        with self.server("[retention]\nmax_runs = 2\n[conversations]\none_shot_grace_minutes = 0\n") as server:
            kept = server.create("sim: reply Kept.", tags={"keep": "yes"})["id"]
            server.finish(kept)
            runs = [server.create("sim: reply Done.")["id"] for _ in range(5)]
            listed = lambda: {run["id"]: run["status"] for run in server.call("GET", "/v1/runs?limit=50")["items"]}
            ended = wait_for(lambda: len(left := listed()) == 3 and set(left.values()) <= {"completed", "failed", "cancelled"} and left, 60, "the oldest to be deleted")
            self.assertIn(kept, ended)
            self.assertLess(set(ended) - {kept}, set(runs))

    def test_a_full_queue_is_said_and_shares_take_turns(self):
        config = "concurrency = 1\n[admission]\nshare_tag = \"team\"\nmax_queued_runs = 8\nmax_queued_runs_of_share = 6\nmax_waiting_runs = 0\n"
        with self.server(config) as server:
            first = server.create("sim: sh true\nsim: reply Done.", tags={"team": "a"}, approvalMode="manual")["id"]
            server.wait_until(first, lambda event: event["type"] == "approval.requested")
            flood = [server.create("sim: reply Done.", tags={"team": "a"})["id"] for _ in range(6)]
            body = {"task": "sim: reply Done.", "tags": {"team": "a"}}
            status, code, headers = self.code(server, "POST", "/v1/runs", body)
            self.assertEqual((status, code, headers["retry-after"]), (429, "queue_full", "10"))
            late = [server.create("sim: reply Done.", tags={"team": team})["id"] for team in ("b", "c")]
            self.assertEqual(self.code(server, "POST", "/v1/runs", {**body, "tags": {"team": "d"}})[:2], (429, "queue_full"))
            self.assertEqual(self.code(server, "GET", "/healthz")[0], 200)
            server.call("POST", f"/v1/runs/{first}/cancel")
            for run in [*flood, *late]:
                server.finish(run)
            started = {run: server.run(run)["startedAt"] for run in [*flood, *late]}
            order = sorted(started, key=started.get)
            self.assertEqual(set(order[:3]) & set(late), set(late), "who came later was not held up by the flood")
            self.assertEqual([run for run in order if run in flood], flood)

    def test_a_run_that_waits_lends_its_slot(self):
        with self.server("concurrency = 1\n[admission]\nmax_waiting_runs = 1\n") as server:
            waiting = [server.create("sim: reply Done.", approvalMode="manual")["id"] for _ in range(2)]
            server.wait_until(waiting[0], lambda event: event["type"] == "approval.requested")
            server.wait_until(waiting[1], lambda event: event["type"] == "approval.requested")
            third = server.create("sim: reply Third.")["id"]
            self.assertEqual(server.run(third)["status"], "queued", "one slot was lent, and no more")
            server.call("POST", f"/v1/runs/{waiting[1]}/cancel")
            record, _ = server.finish(third)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertEqual(server.run(waiting[0])["status"], "starting")
            server.call("POST", f"/v1/runs/{waiting[0]}/cancel")
            server.finish(waiting[0])


if __name__ == "__main__":
    main()
