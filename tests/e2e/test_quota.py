"""Runs that wait for their provider's limit, with both real agents: they go on in their thread, and nothing is done twice."""
import time

from harness import Case, Server, main, wait_for

# Three refusals use up what the agents try by themselves under --sim; then the provider answers again.
REFUSED = "sim: error 429 rate_limit_exceeded\n" * 3
QUOTA = {"codex": "sim: error 429 insufficient_quota\n", "claude_code": "sim: error 400 insufficient_quota\n"}
# Longer than an agent is left to wait by itself: it is ended and started again.
NAMED = "sim: error 429 rate_limit_exceeded retry-after=11\n"
ONCE = "sim: sh echo once >> count.txt; wc -l < count.txt\n"
LONG = "sim: error 429 rate_limit_exceeded retry-after=600 always\n"


def fast(folder):
    """The configuration of a server whose waits are short."""
    config = folder / "quota.toml"
    config.write_text("[quota]\nfirst_wait_seconds = 1\nlongest_wait_seconds = 2\nmax_wait_minutes = 60\n")
    return config


class Quota(Case):
    def server(self, *args, **more):
        return Server(args=("--sim", "--concurrency", "4", *args), **more)

    def payloads(self, server, run, kind):
        return [event["payload"] for event in server.events(run) if event["type"] == kind]

    def waiting(self, server, task, kind):
        run = server.create(task, runtime={"kind": kind}, waitForQuota=True)["id"]
        server.wait_until(run, lambda event: event["type"] == "run.waiting", 60)
        return run

    def test_the_agent_goes_on_where_it_stopped(self):
        server = self.server()
        config = fast(server.data)
        server.args += ["--config", str(config)]
        with server:
            tasks = {(kind, what): refusal for kind in QUOTA for what, refusal in (("rate", REFUSED), ("quota", QUOTA[kind]), ("named", NAMED))}
            runs = {key: server.create(f"{ONCE}{refusal}sim: sh cat count.txt\nsim: reply Went on.", runtime={"kind": key[0]}, waitForQuota=True)["id"]
                    for key, refusal in tasks.items()}
            first = {kind: server.create(f"{QUOTA[kind]}sim: sh echo first\nsim: reply Began.", runtime={"kind": kind}, waitForQuota=True)["id"] for kind in QUOTA}
            for key, run in runs.items():
                with self.subTest(key):
                    record, events = server.finish(run, 90)
                    self.assertEqual(record["status"], "completed", record.get("failure"))
                    self.assertEqual(self.payloads(server, run, "agent.response")[0]["text"], "Went on.")
                    kinds = [event["type"] for event in events]
                    waits = self.payloads(server, run, "run.waiting")
                    self.assertGreaterEqual(len(waits), 1)
                    self.assertEqual(len(waits), kinds.count("run.resumed"))
                    self.assertEqual(waits[0]["reason"], "provider_quota_exhausted" if key[1] == "quota" else "provider_rate_limited")
                    self.assertEqual(kinds.count("agent.started"), 1)
                    self.assertEqual(kinds.count("execution.started"), 1)
                    outputs = [end["output"].strip() for end in self.payloads(server, run, "agent.tool_completed")]
                    self.assertEqual(outputs, ["1", "once"])
            for kind, run in first.items():
                with self.subTest(f"{kind}: nothing done before the limit"):
                    record, _ = server.finish(run, 90)
                    self.assertEqual(record["status"], "completed", record.get("failure"))
                    self.assertEqual(self.payloads(server, run, "agent.response")[0]["text"], "Began.")

    def test_a_later_turn_inherits_it_and_remembers(self):
        server = self.server()
        server.args += ["--config", str(fast(server.data))]
        with server:
            run = server.create("sim: reply The word is heliotrope.", waitForQuota=True)["id"]
            self.assertEqual(server.finish(run)[0]["status"], "completed")
            second = server.call("POST", f"/v1/runs/{run}/messages", {"message": QUOTA["codex"] + "sim: recall heliotrope"}, expect=(202,))["runId"]
            record, _ = server.finish(second, 60)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertTrue(record["input"]["waitForQuota"])
            self.assertEqual(len(self.payloads(server, second, "run.waiting")), 1)
            self.assertEqual(self.payloads(server, second, "agent.response")[0]["text"], "seen")

    def test_a_wait_is_visible_survives_the_server_and_can_be_cancelled(self):
        with self.server() as server:
            runs = {kind: self.waiting(server, ONCE + LONG, kind) for kind in QUOTA}
            for run in runs.values():
                record = server.call("GET", f"/v1/runs/{run}/record")
                self.assertEqual((record["state"], record["phase"]), ("running", "waiting_quota"))
                waiting = self.payloads(server, run, "run.waiting")[0]
                self.assertEqual(record["waiting"], {"reason": "provider_rate_limited", "resumesAt": waiting["resumesAt"]})
                self.assertIn("cancel", record["operations"])
            server.kill()
            server.start()
            for kind, run in runs.items():
                with self.subTest(kind):
                    record = server.call("GET", f"/v1/runs/{run}/record")
                    self.assertEqual(record["phase"], "waiting_quota")
                    begun = time.monotonic()
                    server.call("POST", f"/v1/runs/{run}/cancel")
                    wait_for(lambda: server.call("GET", f"/v1/runs/{run}")["status"] == "cancelled", 10, "the cancelled run to end")
                    self.assertLess(time.monotonic() - begun, 2)
                    self.assertIn("+once", server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode())

    def test_a_wait_that_ends_while_the_server_is_down_goes_on(self):
        server = self.server()
        server.args += ["--config", str(fast(server.data))]
        with server:
            run = self.waiting(server, ONCE + QUOTA["codex"] + "sim: sleep 1\nsim: reply Went on.", "codex")
            server.kill()
            server.start()
            record, events = server.finish(run, 60)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertEqual([e["type"] for e in events].count("run.resumed"), 1)
            self.assertEqual(len(self.payloads(server, run, "agent.tool_completed")), 1)

    def test_waits_are_bounded(self):
        server = self.server()
        config = server.data / "quota.toml"
        config.write_text("[quota]\nmax_wait_minutes = 5\n")
        server.args += ["--config", str(config)]
        with server:
            run = server.create(LONG, waitForQuota=True)["id"]
            record, events = server.finish(run, 60)
            self.assertEqual((record["status"], record["failure"]["cause"]), ("failed", "provider_rate_limited"))
            self.assertNotIn("run.waiting", [e["type"] for e in events])


if __name__ == "__main__":
    main()
