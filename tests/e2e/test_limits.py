"""What one sandbox may use, and what happens at each limit: as root, as a plain user, and as one with delegated groups. Scripted agent."""
import os
import pathlib
import shutil
import tempfile

from agents import AgentsDir, answering
from groups import DelegatedGroups
from harness import Case, Server, main, wait_for

MIB = 1 << 20
USER = 20001
CONFIG = f"""
[sandbox.limits]
memory_bytes = {256 * MIB}
pids = 64
disk_bytes = {64 * MIB}
disk_inodes = 5000
"""
BYTES = "sim: sh for i in $(seq 1000); do head -c 2000000 /dev/urandom > f$i || exit 1; done\nsim: reply done"
INODES = "sim: sh mkdir d; for i in $(seq 100000); do : > d/$i; done\nsim: reply done"
FORKS = "sim: sh for i in $(seq 200); do sleep 3 & done 2>&1 | tail -1; echo over\nsim: reply still here"
EAT = "python3 -c 'b=[bytearray(b\"x\"*(4<<20)) for i in range(500)]'"
MEMORY = f"sim: sh {EAT}; echo code $?\nsim: reply still here"
HUNGRY = answering("0.169.0", f"exec {EAT}")


class Mode:
    """The limits of one kind of server; mixed into a Case."""
    user, delegated, enforced = None, False, None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.user and os.geteuid() != 0:
            raise cls.skipTest(cls, "needs root to become somebody else")
        cls.agents, cls.groups = AgentsDir(), None
        if cls.delegated:
            if not DelegatedGroups.possible():
                raise cls.skipTest(cls, "no v1 hierarchies to delegate")
            cls.groups = DelegatedGroups(cls.user)
        cls.server = cls.make(cls.agents).start()

    @classmethod
    def make(cls, agents, config=CONFIG):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-limits-"))
        (data / "agentrouter.toml").write_text(config)
        if cls.user:
            os.chown(data, cls.user, cls.user)
        server = Server(data=data, agents_dir=agents.path, user=cls.user, env={"HOME": str(data)} if cls.user else {},
                        prefix=cls.groups.prefix if cls.groups else ())
        server.owns_data = True
        return server

    @classmethod
    def tearDownClass(cls):
        if hasattr(cls, "server"):
            cls.server.tidy()
            cls.server.stop()
            cls.server.remove_data()
            cls.agents.remove()
        if getattr(cls, "groups", None):
            cls.groups.remove()
        super().tearDownClass()

    def run_of(self, task, server=None, **fields):
        server = server or self.server
        return server.finish(server.create(task, **fields)["id"])

    def limit_event(self, events):
        (event,) = [e["payload"] for e in events if e["type"] == "limit.exceeded"]
        return event

    def assert_stopped(self, run, events, cause):
        self.assertEqual((run["status"], run["failure"].get("code"), run["failure"].get("cause")), ("failed", "disk_limit", cause), run)
        event = self.limit_event(events)
        self.assertEqual(event["limit"], cause)
        self.assertGreater(event["used"], event["max"])
        return event

    def test_a_disk_bomb_stops_at_the_cap_and_what_it_made_is_kept(self):
        run, events = self.run_of(BYTES)
        event = self.assert_stopped(run, events, "maxDiskBytes")
        self.assertEqual(event["max"], 64 * MIB)
        self.assertLess(event["used"], 256 * MIB)
        print(f"\n  {type(self).__name__}: {event['used'] - event['max']} bytes over")
        self.assertIn("workspace_file_index", self.server.artifacts(run["id"]))
        self.assertIn("checkpoint.created", [e["type"] for e in events])
        (destroyed,) = [e["payload"] for e in events if e["type"] == "sandbox.destroyed"]
        self.assertEqual(destroyed["limits"], self.enforced or destroyed["limits"])

    def test_so_does_a_bomb_of_files(self):
        run, events = self.run_of(INODES)
        self.assertEqual(self.assert_stopped(run, events, "maxDiskInodes")["max"], 5000)

    def test_a_run_may_ask_for_less_but_not_for_more(self):
        run, events = self.run_of(BYTES, limits={"maxDiskBytes": 8 * MIB})
        self.assertEqual(self.assert_stopped(run, events, "maxDiskBytes")["max"], 8 * MIB)
        self.assertLess(self.limit_event(events)["used"], 64 * MIB)
        for name, value in (("maxDiskBytes", 65 * MIB), ("maxMemoryBytes", 257 * MIB), ("maxPids", 65), ("maxCpuPercent", 201)):
            status, _, body = self.server.request("POST", "/v1/runs", {"task": "x", "limits": {name: value}})
            self.assertEqual(status, 400)
            self.assertIn(b"validation_error", body)
            self.assertIn(name.encode(), body)

    def test_a_command_that_runs_out_of_memory_is_told_and_the_agent_goes_on(self):
        run, events = self.run_of(MEMORY)
        self.assertEqual(run["status"], "completed", run)
        (killed,) = [e["payload"] for e in events if e["type"] == "sandbox.memory_kill"]
        self.assertEqual(killed["total"], 1)

    def test_an_agent_that_runs_out_of_memory_itself_has_failed(self):
        agents = AgentsDir(HUNGRY)
        self.addCleanup(agents.remove)
        with self.make(agents) as server:
            run, events = self.run_of("sim: reply x", server)
        self.assertEqual((run["status"], run["failure"]["code"]), ("failed", "memory_limit"), run)
        self.assertIn("sandbox.memory_kill", [e["type"] for e in events])

    def test_a_fork_bomb_is_refused_more_and_the_agent_goes_on(self):
        run, events = self.run_of(FORKS)
        self.assertEqual(run["status"], "completed", run)
        self.assertNotIn("limit.exceeded", [e["type"] for e in events])
        text = "".join(str(e["payload"]) for e in events if e["type"] == "agent.tool_completed")
        self.assertIn("annot fork", text)


class AsRoot(Mode, Case):
    pass


class AsUser(Mode, Case):
    user, enforced = USER, "rlimit"


class AsUserWithGroups(Mode, Case):
    user, delegated, enforced = USER, True, "cgroup1"


class Machine(Case):
    """What all sandboxes have together."""

    def server(self, config):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        data = tempfile.mkdtemp(prefix="agentrouter-limits-")
        self.addCleanup(shutil.rmtree, data, True)
        pathlib.Path(data, "agentrouter.toml").write_text(config)
        return Server(data=data, agents_dir=agents.path)

    def test_with_a_disk_that_is_nearly_full_runs_stay_queued(self):
        reserve = shutil.disk_usage(tempfile.gettempdir()).total + MIB
        with self.server(f"[machine]\ndisk_reserve_bytes = {reserve}\n") as server:
            run = server.create("sim: reply x")["id"]
            wait_for(lambda: "nearly full" in server.log_text(), 10, "the server to say why")
            self.assertEqual(server.run(run)["status"], "queued")
            server.call("POST", f"/v1/runs/{run}/cancel")
            self.assertEqual(server.finish(run)[0]["status"], "cancelled")

    def test_processes_of_all_sandboxes_are_counted_together(self):
        with self.server("[machine]\npids = 40\n") as server:
            run, events = server.finish(server.create(FORKS)["id"])
            (destroyed,) = [e["payload"] for e in events if e["type"] == "sandbox.destroyed"]
            if destroyed["limits"] == "rlimit":
                self.skipTest("no cgroups here")
            self.assertEqual(run["status"], "completed", run)
            self.assertIn("annot fork", "".join(str(e["payload"]) for e in events if e["type"] == "agent.tool_completed"))


if __name__ == "__main__":
    main()
