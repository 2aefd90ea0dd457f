"""A thousand live subscribers of one run each get every event, and one that does not read for the whole run loses none. bench/subscribers.py has
the full sizes."""
import pathlib
import tempfile

from agents import AgentsDir, status_kib
from harness import Case, Server, main
from subscribers import Subscriber, raise_open_files, read_all, stored

SUBSCRIBERS = 1000
EVENTS = 4_000
# Generous: what is tried here is what a slow reader gets, not when it is cut.
CONFIG = "[http]\nwrite_timeout_ms = 600000\n"


class Scale(Case):
    def setUp(self):
        raise_open_files()
        self.agents = AgentsDir()
        self.addCleanup(self.agents.remove)
        with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False) as file:
            file.write(CONFIG)
        self.addCleanup(pathlib.Path(file.name).unlink)
        self.config = file.name

    def server(self):
        return Server(agents_dir=self.agents.path, args=("--sim", "--config", self.config))

    def test_every_subscriber_gets_every_event(self):
        with self.server() as server:
            run = server.create("sim: repeat 20 sh true\nsim: reply done", approvalMode="manual")["id"]
            asked = server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
            before = status_kib(server.pid, "VmRSS")
            subscribers = [Subscriber(server, run).started() for _ in range(SUBSCRIBERS)]
            each = (status_kib(server.pid, "VmRSS") - before) / SUBSCRIBERS
            self.assertLess(each, 64, "KiB for each subscriber at rest")
            server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
            read_all(subscribers, 120)
            events, digest = stored(server, run)
            self.assertGreater(events, 50)
            self.assertEqual({(s.events, s.digest.hexdigest()) for s in subscribers}, {(events, digest)})
            for one in subscribers:
                one.close()

    def test_a_reader_that_pauses_for_a_whole_run_loses_nothing(self):
        with self.server() as server:
            run = server.create(f"sim: repeat {EVENTS // 2} sh true\nsim: reply done", approvalMode="manual")["id"]
            asked = server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
            paused = Subscriber(server, run, receive_buffer=4096).started()
            before = status_kib(server.pid, "VmRSS")
            server.call("POST", f"/v1/runs/{run}/actions/{asked['actionId']}/approve", {"actionDigest": asked["actionDigest"]})
            awake = Subscriber(server, run)
            read_all([awake], 300)
            events, digest = stored(server, run)
            self.assertGreaterEqual(events, EVENTS)
            self.assertEqual(awake.events, events)
            # By far more than the server and the kernel keep for it: the rest waits in the store.
            self.assertLess(paused.events, events // 2)
            self.assertLess(status_kib(server.pid, "VmRSS") - before, 100 * 1024)
            read_all([paused], 120)
            self.assertEqual((paused.events, paused.digest.hexdigest()), (events, digest))
            paused.close()
            awake.close()


if __name__ == "__main__":
    main()
