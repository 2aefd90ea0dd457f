"""What servers know of each other, where runs go, and the figures: one server on a store of its own. Several of them: test_cluster.py."""
import json
import re
import urllib.request

from agents import AgentsDir
from harness import Case, Server, main, wait_for


def figures(url):
    """Samples by name with labels, after a look at the format."""
    with urllib.request.urlopen(url, timeout=20) as reply:
        kind, text = reply.headers["Content-Type"], reply.read().decode()
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    samples, families = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.add(line.split()[2])
        elif not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(\{[^}]*\})? (-?[0-9.e+-]+|\+Inf)', line)
            assert match, line
            family = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in families or family in families, line
            samples[match[1] + (match[2] or "")] = float(match[3])
    return samples


class Roles(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.addClassCleanup(cls.agents.remove)

    def server(self, config="", *args):
        server = Server(args=("--sim", *args), agents_dir=self.agents.path)
        (server.data / "agentrouter.toml").write_text(config)
        return server

    def node(self, server):
        return wait_for(lambda: server.call("GET", "/v1/nodes")["items"], what="the server to say that it is there")[0]

    def placement(self, server, run):
        return server.call("GET", f"/v1/runs/{run}/record").get("placement")

    def test_a_server_is_listed_with_what_it_has(self):
        with self.server('concurrency = 3\n[worker]\nlabels = {gpu = "false", zone = "b"}\n') as server:
            node = self.node(server)
            self.assertEqual((node["role"], node["capacity"], node["draining"]), ("all", 3, False))
            self.assertEqual(node["labels"]["gpu"], ["false"])
            self.assertEqual(node["labels"]["runtime"], ["codex"])
            self.assertEqual(node["labels"]["os"], ["linux"])

    def test_a_run_waits_for_the_label_that_it_requires_and_is_told(self):
        with self.server() as server:
            self.node(server)
            run = server.create("sim: reply Hello.", requires={"gpu": "true"})["id"]
            other = server.create("sim: reply Hello.")["id"]
            server.finish(other)
            self.assertEqual(self.placement(server, run), {"state": "unplaceable", "missing": {"gpu": "true"}, "workers": 1})
            self.assertEqual(server.run(run)["status"], "queued")
            self.assertIsNone(self.placement(server, other))
            server.stop()
            (server.data / "agentrouter.toml").write_text('[worker]\nlabels = {gpu = "true"}\n')
            server.start()
            self.assertEqual(server.finish(run)[0]["status"], "completed")
            again = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: reply Again."}, expect=(202,))["runId"]
            self.assertEqual(server.finish(again)[0]["status"], "completed")

    def test_a_workspace_has_as_many_active_runs_as_it_may(self):
        with self.server("concurrency = 4\n[admission]\nmax_active_runs_of_workspace = 1\n") as server:
            first = server.create("sim: hang")["id"]
            server.wait_until(first, lambda event: event["type"] == "execution.started")
            second = server.create("sim: reply Second.")["id"]
            wait_for(lambda: self.node(server)["used"] == 1, what="a beat")
            self.assertEqual(server.run(second)["status"], "queued")
            server.call("POST", f"/v1/runs/{first}/cancel")
            self.assertEqual(server.finish(second)[0]["status"], "completed")

    def test_a_drained_server_finishes_what_it_has_and_takes_nothing(self):
        with self.server("", "--drain") as server:
            node = self.node(server)["id"]
            running = server.create("sim: hang")["id"]
            server.wait_until(running, lambda event: event["type"] == "execution.started")
            self.assertTrue(server.call("POST", f"/v1/nodes/{node}/drain", {})["node"]["draining"])
            wait_for(lambda: "draining: no new run is taken" in server.log_text(), what="the server to hear of it")
            waiting = server.create("sim: reply Later.")["id"]
            self.assertEqual(server.run(waiting)["status"], "queued")
            self.assertEqual(self.placement(server, waiting)["workers"], 0)
            server.call("POST", f"/v1/nodes/{node}/undrain", {})
            server.finish(waiting)
            server.call("POST", f"/v1/nodes/{node}/drain", {})
            server.call("POST", f"/v1/runs/{running}/cancel")
            server.process.wait(60)
            self.assertEqual(server.process.returncode, 0, "with --drain it ends when its runs have")

    def test_the_figures_are_on_an_address_of_their_own(self):
        with self.server('[metrics]\nlisten = "127.0.0.1:0"\n') as server:
            def address():
                found = re.search(r'"url":"(http://[^"]+/metrics)"', server.log_text())
                return found and found[1]
            url = wait_for(address, what="the address of the figures")
            self.assertEqual(server.request("GET", "/metrics")[0], 404, "not where tenants are")
            before = figures(url)
            run = server.create("sim: reply Hello.")["id"]
            server.finish(run)
            server.create("sim: reply Hello.", requires={"gpu": "true"})
            self.node(server)
            after = figures(url)
            self.assertEqual(after['agentrouter_build_info{version="0.1.0",role="all"}'], 1)
            self.assertEqual(after["agentrouter_runs_queued"], 1)
            self.assertEqual(after["agentrouter_runs_unplaceable"], 1)
            self.assertGreaterEqual(after["agentrouter_queue_oldest_wait_seconds"], 0)
            self.assertEqual(after["agentrouter_claim_wait_seconds_count"], 1)
            self.assertGreater(after["agentrouter_events_total"], before["agentrouter_events_total"])
            self.assertGreater(after["agentrouter_store_write_seconds_count"], before["agentrouter_store_write_seconds_count"])
            self.assertGreaterEqual(after['agentrouter_http_requests_total{route="runs",status="2xx"}'], 2)
            self.assertEqual(after['agentrouter_http_requests_total{route="other",status="4xx"}'], 1)
            self.assertEqual(after['agentrouter_nodes{role="all"}'], 1)
            self.assertEqual(after['agentrouter_slots{state="all"}'], self.node(server)["capacity"])
            self.assertEqual(json.dumps(sorted(after)).count(run), 0, "no figure grows with the runs")
            for path, status in (("/", 404), ("/metrics?x=1", 200)):
                try:
                    got = urllib.request.urlopen(url.replace("/metrics", path), timeout=20).status
                except urllib.error.HTTPError as error:
                    got = error.code
                self.assertEqual(got, status, path)


if __name__ == "__main__":
    main()
