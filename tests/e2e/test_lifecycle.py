"""How a server starts, stops and shares its work: signals, --drain, --role."""
import http.client
import os
import re
import signal
import subprocess
import time
import urllib.request

from harness import KEY, PROGRAM, Case, Server, main, wait_for

SLOW = "Work slowly.\nsim: sh echo started > note.txt\nsim: sleep 3\nsim: reply Slow but done."


def is_started(event):
    return event["type"] == "agent.tool_completed"


class Lifecycle(Case):
    def test_sigterm_ends_the_server_within_five_seconds_and_leaves_the_agent_to_the_next_one(self):
        server = Server()
        with server:
            run = server.create(SLOW)
            server.wait_until(run["id"], is_started)
            begun = time.monotonic()
            self.assertEqual(server.stop(seconds=10), 0)
            self.assertLess(time.monotonic() - begun, 5)
            server.start()
            run, events = server.finish(run["id"])
            self.assertEqual(run["status"], "completed", run.get("failure"))
            self.assertEqual([e["type"] for e in events].count("run.claimed"), 1)

    def test_a_server_that_is_killed_leaves_its_folder_free_at_once(self):
        server = Server()
        for _ in range(8):
            server.start()
            server.kill()
        with server:
            run, _ = server.finish(server.create("Reply exactly HELLO")["id"])
            self.assertEqual(run["status"], "completed", run.get("failure"))

    def test_servers_of_one_machine_share_no_range_of_ids(self):
        if os.geteuid() != 0:
            return  # a plain user has no range: all its sandboxes have its own id
        with Server() as one, Server() as two:
            runs = [(server, server.create(SLOW)["id"]) for server in (one, two) for _ in range(2)]
            for server, run in runs:
                server.wait_until(run, is_started)
            owners = [home.stat().st_uid for server in (one, two) for home in server.data.glob("attempts/*/box/home")]
            self.assertEqual((len(owners), len(set(owners))), (4, 4), owners)
            self.assertTrue(all(uid > 0x100000 for uid in owners), owners)
            for server, run in runs:
                server.call("POST", f"/v1/runs/{run}/cancel", {})
            for server, run in runs:
                self.assertEqual(server.finish(run)[0]["status"], "cancelled")
            for server in (one, two):
                server.tidy()

    def test_a_draining_server_waits_for_its_runs(self):
        with Server(args=("--sim", "--drain")) as server:
            run = server.create(SLOW)
            server.wait_until(run["id"], is_started)
            server.process.send_signal(signal.SIGTERM)
            with server.follow(run["id"]) as stream:
                last = [e["type"] for e in stream.read()][-1]
            self.assertEqual(last, "run.completed")
            self.assertEqual(server.process.wait(20), 0)

    def test_a_server_of_role_api_leaves_runs_queued_and_settles_their_cancel(self):
        with Server(args=("--sim", "--role", "api")) as server:
            run = server.create("Reply exactly HELLO")
            reply = server.call("POST", f"/v1/runs/{run['id']}/cancel")
            self.assertEqual(reply["status"], "cancelling")
            ended, events = server.finish(run["id"])
            self.assertEqual((ended["status"], events[-1]["type"]), ("cancelled", "run.cancelled"))
            self.assertEqual(server.create("Reply exactly HELLO")["status"], "queued")

    def test_a_server_of_role_worker_runs_what_was_queued_and_has_no_api(self):
        server = Server(args=("--sim", "--role", "api"))
        (server.data / "agentrouter.toml").write_text('[metrics]\nlisten = "127.0.0.1:0"\n')
        with server:
            run = server.create("Reply exactly HELLO")
            server.stop()
            server.args = ["--sim", "--role", "worker", "--drain"]
            server.start()
            self.assertEqual(server.request("GET", "/healthz")[0], 200)
            connection = http.client.HTTPConnection(server.host, int(server.port))  # not an API: no document speaks of it
            connection.request("GET", f"/v1/runs/{run['id']}")
            self.assertEqual(connection.getresponse().status, 404)
            connection.close()
            addresses = lambda: re.findall(r'"url":"(http://[^"]+/metrics)"', server.log_text())
            figures = wait_for(lambda: len(addresses()) == 2 and addresses()[1], what="the address of the figures of the second server")
            taken = lambda: b"agentrouter_claim_wait_seconds_count 1\n" in urllib.request.urlopen(figures, timeout=20).read()
            wait_for(taken, 30, "the run to be taken: who is stopped takes nothing new")
            self.assertEqual(server.stop(seconds=60), 0)
            server.args = ["--sim", "--role", "api"]
            server.start()
            self.assertEqual(server.run(run["id"])["status"], "completed")

    def test_the_first_interrupt_cancels_the_run(self):
        with Server() as server:
            env = dict(os.environ, AGENTROUTER_API_BASE_URL=server.url, AGENTROUTER_API_KEY=KEY)
            client = subprocess.Popen([str(PROGRAM), "run", "--sim", SLOW.replace("3", "30")], env=env, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            try:
                run = wait_for(lambda: server.call("GET", "/v1/runs?status=running")["items"], what="the run to start")[0]
                client.send_signal(signal.SIGINT)
                wait_for(lambda: server.run(run["id"])["status"] in ("cancelling", "cancelled"), what="the cancel")
                self.assertEqual(client.wait(30), 3)
                self.assertEqual(server.finish(run["id"])[0]["status"], "cancelled")
            finally:
                client.kill()
                client.wait()
                client.stdout.close()

    def test_the_second_interrupt_leaves_the_run_to_the_server(self):
        with Server() as server:
            env = dict(os.environ, AGENTROUTER_API_BASE_URL=server.url, AGENTROUTER_API_KEY=KEY)
            client = subprocess.Popen([str(PROGRAM), "run", "--sim", SLOW], env=env, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            try:
                run = wait_for(lambda: server.call("GET", "/v1/runs?status=running")["items"], what="the run to start")[0]
                server.process.send_signal(signal.SIGSTOP)  # so that the cancel cannot be answered
                client.send_signal(signal.SIGINT)
                for line in client.stderr:
                    if b"Ctrl-C again" in line:
                        break
                client.send_signal(signal.SIGINT)
                self.assertEqual(client.wait(10), 3)
            finally:
                server.process.send_signal(signal.SIGCONT)
                client.kill()
                client.wait()
                client.stderr.close()
            self.assertIn(server.finish(run["id"])[0]["status"], ("completed", "cancelled"))


if __name__ == "__main__":
    main()
