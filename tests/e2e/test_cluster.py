"""One API node and two workers with data folders of their own on one PostgreSQL and one S3: what each does, and what the others do when it dies."""
import io
import json
import signal
import tarfile
import tempfile
import time

from agents import AgentsDir
from harness import TERMINAL, Case, Server, main, wait_for
from postgres import shared
from s3 import S3

LEASE = 6  # seconds


def tar(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


class Cluster(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.addClassCleanup(cls.agents.remove)
        cls.blobs = S3()
        cls.addClassCleanup(cls.blobs.close)

    def setUp(self):
        super().setUp()
        self.url = shared().url(shared().database())
        self.servers = {}
        self.addCleanup(self.end)

    def server(self, name, role, config="", *args):
        server = Server(data=tempfile.mkdtemp(prefix="agentrouter-test-"), args=("--sim", "--role", role, *args), agents_dir=self.agents.path,
                        env={"AGENTROUTER_STORE_URL": self.url, **S3.environment()})
        (server.data / "agentrouter.toml").write_text(f"{config}\n[cluster]\nlease_seconds = {LEASE}\n{self.blobs.settings()}")
        self.servers[name] = server
        return server.start()

    def end(self):
        """The API node last: whoever lives ends its runs first."""
        alive = [server for server in self.servers.values() if server.process.poll() is None]
        for server in [s for s in alive if "api" in s.args]:
            for run in server.call("GET", "/v1/runs?status=active&limit=100")["items"]:
                server.call("POST", f"/v1/runs/{run['id']}/cancel")
            if any("worker" in s.args for s in alive):
                wait_for(lambda: not server.call("GET", "/v1/runs?status=active&limit=100")["items"], 90, "runs to end")
            break
        for server in alive:
            server.tidy(60)
            server.stop()
        for server in self.servers.values():
            self.reap_keepers(server)
            server.remove_data()

    def reap_keepers(self, server):
        """Of a server that was killed: the next one on its folder ends what it left."""
        attempts = server.data / "attempts"
        if attempts.exists() and any(attempts.iterdir()):
            server.start()
            wait_for(lambda: not any(attempts.iterdir()), 60, "what a killed worker left to be removed")
            server.stop()

    def start_all(self, config=""):
        api = self.server("api", "api", config)
        one = self.server("one", "worker", 'concurrency = 2\n[worker]\nlabels = {place = "one"}\n' + config)
        two = self.server("two", "worker", 'concurrency = 2\n[worker]\nlabels = {place = "two"}\n' + config)
        wait_for(lambda: len(self.nodes(api)) == 3, 30, "all to be there")
        return api, one, two

    def nodes(self, api):
        return {node["labels"].get("place", ["api"])[0]: node for node in api.call("GET", "/v1/nodes")["items"]}

    def on(self, place):
        return {"requires": {"place": place}}

    def worker_of(self, api, run):
        return [event for event in api.events(run) if event["type"] == "run.claimed"][0]["payload"]["workerId"]

    def test_runs_go_where_they_can_be_carried_out_and_any_api_node_shows_them(self):
        api, _, _ = self.start_all()
        other = self.server("other api", "api")
        runs = {place: api.create("sim: reply Hello.", **self.on(place))["id"] for place in ("one", "two")}
        nowhere = api.create("sim: reply Hello.", **self.on("three"))["id"]
        for place, run in runs.items():
            ended, events = other.finish(run)
            self.assertEqual(ended["status"], "completed")
            self.assertEqual(api.events(run), other.events(run))
        self.assertNotEqual(*(self.worker_of(api, run) for run in runs.values()))
        self.assertEqual(api.call("GET", f"/v1/runs/{nowhere}/record")["placement"],
                         {"state": "unplaceable", "missing": {"place": "three"}, "workers": 2})

    def test_events_of_a_worker_elsewhere_are_there_within_50_ms(self):
        api, _, _ = self.start_all()
        run = api.create("sim: sh for i in 1 2 3 4 5; do echo $i; sleep 0.3; done\nsim: reply Hello.", **self.on("one"))["id"]
        late = []
        with api.follow(run) as stream:
            for event in stream.read(60):
                # By one clock, as all are on this machine; the time of an event is from before its commit.
                late.append((time.time() - self.seconds(event["createdAt"])) * 1000)
                if event["type"] in TERMINAL:
                    break
        late.sort()
        print(f"\nfrom an event's time on the worker to its arrival through the API node: median {late[len(late) // 2]:.0f} ms, most {late[-1]:.0f} ms "
              f"({len(late)} events)")
        self.assertLess(late[len(late) // 2], 250, "half of them, journal and commit included, on a machine that is shared with other tests")

    def seconds(self, text):
        import datetime
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    def test_an_upload_is_worked_on_by_any_worker_and_continued_by_another(self):
        api, one, two = self.start_all()
        status, _, data = api.request("POST", "/v1/uploads", tar({"a.txt": "from the upload\n"}), headers={"Content-Type": "application/x-tar"})
        self.assertEqual(status, 201, data)
        upload = json.loads(data)["upload"]["id"]
        run = api.create("sim: sh cat a.txt; echo one > b.txt\nsim: reply One.", workspace={"upload": {"id": upload}})["id"]
        self.assertEqual(api.finish(run)[0]["status"], "completed")
        here, there = ("one", "two") if any((one.data / "trees").glob("upload-*")) else ("two", "one")
        # The next turn cannot be taken where the first one was.
        api.call("POST", f"/v1/nodes/{self.nodes(api)[here]['id']}/drain", {})
        wait_for(lambda: self.nodes(api)[here]["draining"], what="the drain to be seen")
        wait_for(lambda: "draining: no new run is taken" in self.servers[here].log_text(), what="the worker to hear of it")
        turn = api.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh cat a.txt b.txt > c.txt\nsim: reply Two."}, expect=(202,))["runId"]
        self.assertEqual(api.finish(turn)[0]["status"], "completed")
        self.assertNotEqual(self.worker_of(api, run), self.worker_of(api, turn))
        status, _, data = api.request("GET", f"/v1/runs/{turn}/files/c.txt")
        self.assertEqual((status, data), (200, b"from the upload\none\n"), "read by a node that is neither")
        self.assertTrue(any((self.servers[there].data / "trees").iterdir()))

    def test_files_of_a_live_run_are_read_through_another_node(self):
        api, one, _ = self.start_all()
        run = api.create("sim: sh echo live > a.txt\nsim: hang", **self.on("one"))["id"]
        wait_for(lambda: api.request("GET", f"/v1/runs/{run}/files/a.txt")[0] == 200, 30, "the file to be written")
        self.assertEqual(api.request("GET", f"/v1/runs/{run}/files/a.txt")[2], b"live\n")
        listed = api.call("GET", f"/v1/runs/{run}/files")
        self.assertEqual([entry["path"] for entry in listed["items"]], ["a.txt"])
        status, _, data = api.request("GET", f"/v1/runs/{run}/files/none.txt")
        self.assertEqual((status, json.loads(data)["error"]["code"]), (404, "file_not_found"))
        wait_for(lambda: not self.blobs.objects("answers/"), 20, "the answers to be thrown away")
        one.process.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: "one" not in self.nodes(api), 60, "the frozen worker to be forgotten")
            status, headers, data = api.request("GET", f"/v1/runs/{run}/files/a.txt")
            self.assertEqual((status, json.loads(data)["error"]["code"]), (503, "worker_unreachable"))
            self.assertIn("retry-after", headers)
        finally:
            one.process.send_signal(signal.SIGCONT)
        wait_for(lambda: "one" in self.nodes(api), 60, "it to join again")

    def test_a_run_whose_worker_dies_before_the_agent_began_is_done_by_another(self):
        api, one, two = self.start_all()
        run = api.create("sim: reply Hello.", approvalMode="manual", **self.on("one"))["id"]
        api.wait_until(run, lambda event: event["type"] == "approval.requested")
        one.kill()
        self.server("three", "worker", 'concurrency = 2\n[worker]\nlabels = {place = "one"}\n')
        api.wait_until(run, lambda event: event["type"] == "run.attempt_started", 90)
        started = [event for event in api.events(run) if event["type"] == "run.attempt_started"][-1]["payload"]
        self.assertEqual(started["reason"], "machine_lost")
        asked = wait_for(lambda: api.call("GET", f"/v1/runs/{run}/record")["pendingApprovals"], 60, "the question to be asked again")[0]
        api.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
        self.assertEqual(api.finish(run)[0]["status"], "completed")

    def test_a_run_whose_worker_dies_while_the_agent_works_is_lost(self):
        api, one, two = self.start_all()
        run = api.create("sim: sh echo x > a.txt\nsim: hang", **self.on("one"))["id"]
        api.wait_until(run, lambda event: event["type"] == "execution.started")
        one.kill()
        ended, _ = api.finish(run, 90)
        self.assertEqual((ended["status"], ended["failure"]["code"]), ("failed", "attempt_lost"))
        wait_for(lambda: "one" not in self.nodes(api), 60, "the dead worker to be forgotten")
        again = api.create("sim: reply Hello.")["id"]
        self.assertEqual(api.finish(again)[0]["status"], "completed")

    def test_nothing_is_lost_with_an_api_node(self):
        api, _, _ = self.start_all()
        run = api.create("sim: sh sleep 2\nsim: reply Hello.")["id"]
        seen = api.wait_until(run, lambda event: event["type"] == "execution.started")
        api.kill()
        other = self.server("other", "api")
        rest = other.wait_until(run, lambda event: event["type"] in TERMINAL, after=seen[-1]["sequence"])
        whole = other.events(run)
        self.assertEqual([event["sequence"] for event in seen + rest], [event["sequence"] for event in whole])
        self.assertEqual(whole[-1]["type"], "run.completed")

    def test_a_duty_moves_when_its_holder_dies(self):
        config = "[retention]\nmax_runs = 1\n[conversations]\none_shot_grace_minutes = 0\n"
        api, one, two = self.start_all(config)
        for _ in range(2):
            api.create("sim: reply Hello.", **self.on("two"))
        # Whichever ends first: it may be gone before anybody looks.
        kept = lambda: [item["id"] for item in api.call("GET", "/v1/runs")["items"]]
        wait_for(lambda: len(kept()) == 1 and not api.call("GET", "/v1/runs?status=active")["items"], 60, "the older one to be thrown away")
        one.kill()
        wait_for(lambda: "one" not in self.nodes(api), 60, "the dead worker to be forgotten")
        more = api.create("sim: reply Hello.", **self.on("two"))["id"]
        wait_for(lambda: kept() == [more], 60, "the next one to be thrown away, whoever did it before")

    def test_a_workspace_has_as_many_active_runs_as_it_may_on_all_workers(self):
        api, _, _ = self.start_all("[admission]\nmax_active_runs_of_workspace = 2\n")
        runs = [api.create("sim: hang")["id"] for _ in range(4)]

        def states():
            return sorted(api.run(run)["status"] for run in runs)
        wait_for(lambda: states() == ["queued", "queued", "running", "running"], 60, "two to be carried out")
        for run in runs:
            if api.run(run)["status"] == "running":
                api.call("POST", f"/v1/runs/{run}/cancel")
        wait_for(lambda: states() == ["cancelled", "cancelled", "running", "running"], 60, "the other two to follow")

    def test_a_drained_worker_ends_behind_its_last_run(self):
        api = self.server("api", "api")
        one = self.server("one", "worker", 'concurrency = 2\n[worker]\nlabels = {place = "one"}\n', "--drain")
        wait_for(lambda: len(self.nodes(api)) == 2, 30, "both to be there")
        run = api.create("sim: sh sleep 3\nsim: reply Hello.")["id"]
        api.wait_until(run, lambda event: event["type"] == "execution.started")
        api.call("POST", f"/v1/nodes/{self.nodes(api)['one']['id']}/drain", {})
        one.process.wait(60)
        self.assertEqual(one.process.returncode, 0)
        self.assertEqual(api.run(run)["status"], "completed")
        self.assertNotIn("one", self.nodes(api), "who leaves is not waited for")


if __name__ == "__main__":
    main()
