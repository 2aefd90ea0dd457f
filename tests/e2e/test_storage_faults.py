"""A disk that is full, and one that is read-only: what clients are told, what becomes of runs, and that nothing acknowledged is lost. A small
tmpfs of the suite's own stands for the disk. Scripted agent."""
import errno
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from agents import AgentsDir
from harness import KEY, PROGRAM, Case, Server, main, wait_for

MIB = 1 << 20
CONFIG = "[machine]\ndisk_reserve_bytes = 0\n"


@unittest.skipUnless(os.geteuid() == 0, "needs root to mount a disk of its own")
class SmallDisk(Case):
    size = 64 * MIB

    def setUp(self):
        self.agents = AgentsDir()
        self.addCleanup(self.agents.remove)
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-disk-"))
        self.addCleanup(self.disk.rmdir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0755", "tmpfs", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        (self.disk / "data").mkdir(mode=0o700)
        (self.disk / "data/agentrouter.toml").write_text(CONFIG)

    def server(self, *args):
        return Server(data=self.disk / "data", agents_dir=self.agents.path, args=("--sim", *args))

    def fill(self):
        """Not a byte is free afterwards."""
        with open(self.disk / "filler", "ab", buffering=0) as file:
            for size in (MIB, 4096):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)

    def free(self):
        (self.disk / "filler").unlink()

    def whole(self, server, run):
        """The events of a run that has ended: 1, 2, 3..., and one end."""
        events = server.events(run)
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual([e["type"] for e in events if re.fullmatch(r"run\.(completed|failed|cancelled)", e["type"])], [events[-1]["type"]])
        return events


class FullDisk(SmallDisk):
    def ask(self, server, number):
        return server.request("POST", "/v1/runs", {"task": f"sim: reply {number}\n" + "x" * 30_000}, {"Idempotency-Key": f"key-{number}"})

    def refused(self, status, headers, data):
        self.assertEqual((status, json.loads(data)["error"]["code"]), (503, "storage_full"))
        self.assertGreater(int({k.lower(): v for k, v in dict(headers).items()}["retry-after"]), 0)

    def test_requests_are_refused_until_there_is_room_and_what_was_acknowledged_stays(self):
        with self.server("--role", "api") as server:
            first = json.loads(self.ask(server, 0)[2])["id"]
            self.fill()
            acknowledged, refusals, number = {0: first}, 0, 0
            while refusals < 20:
                number += 1
                status, headers, data = self.ask(server, number)
                if status == 201:
                    acknowledged[number] = json.loads(data)["id"]
                else:
                    self.refused(status, headers, data)
                    refusals += 1
                self.assertLess(number, 2000, "the disk is never full")
            # Reading goes on.
            self.assertEqual(server.run(first)["status"], "queued")
            self.assertEqual(server.call("GET", f"/v1/runs/{first}/events")["items"], [])
            self.free()
            # Without a restart, and with the same key: once.
            status, _, data = self.ask(server, number)
            self.assertEqual(status, 201, data)
            acknowledged[number] = json.loads(data)["id"]
            for known, run in acknowledged.items():
                status, _, data = self.ask(server, known)
                self.assertEqual((status, json.loads(data)["id"]), (200, run))
            server.kill()
            server.start()
            listed, cursor = [], ""
            while cursor is not None:
                page = server.call("GET", f"/v1/runs?limit=100{cursor and '&cursor=' + cursor}")
                listed += [run["id"] for run in page["items"]]
                cursor = page.get("nextCursor")
            self.assertEqual(sorted(listed), sorted(acknowledged.values()), "what was refused is not there, what was acknowledged is")
            self.assertNotIn("internal_error", server.log_text())

    def test_a_run_stands_still_while_the_disk_is_full_and_then_goes_on_where_it_was(self):
        with self.server() as server:
            steps = 120
            task = f"sim: repeat {steps} sh echo step {{i}}; head -c 12000 /dev/urandom | base64 -w0\nsim: reply Done."
            run = server.create(task)["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
            self.fill()
            journal, = (self.disk / "data/attempts").glob("*/journal")
            wait_for(lambda: b"run.waiting" in journal.read_bytes(), 30, "the keeper to wait")
            size = journal.stat().st_size
            self.assertFalse(wait_for_change(journal, size), "nothing is said while the disk is full")
            status = server.run(run)["status"]
            self.assertEqual(status, "running")
            self.free()
            ended, _ = server.finish(run, 60)
            self.assertEqual(ended["status"], "completed", ended)
            events = self.whole(server, run)
            waiting, = [e["payload"] for e in events if e["type"] == "run.waiting"]
            self.assertEqual(waiting["reason"], "storage_full")
            self.assertEqual(sum(e["type"] == "run.resumed" for e in events), 1)
            self.assertEqual(sum(e["type"] == "agent.tool_completed" for e in events), steps)

    def test_a_run_that_waits_for_the_disk_is_cancelled_at_once(self):
        with self.server() as server:
            task = "sim: repeat 400 sh head -c 12000 /dev/urandom | base64 -w0\nsim: reply Done."
            run = server.create(task)["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
            self.fill()
            journal, = (self.disk / "data/attempts").glob("*/journal")
            wait_for(lambda: b"run.waiting" in journal.read_bytes(), 30, "the keeper to wait")
            # The store needs a little room to remember that somebody cancelled.
            os.truncate(self.disk / "filler", (self.disk / "filler").stat().st_size - MIB)
            wait_for(lambda: server.request("POST", f"/v1/runs/{run}/cancel", {})[0] == 200, 20, "the cancel to be taken")
            self.free()
            self.assertEqual(server.finish(run, 30)[0]["status"], "cancelled")
            self.whole(server, run)

    def test_a_server_that_meets_a_full_disk_lives_and_takes_runs_when_there_is_room(self):
        with self.server() as server:
            self.fill()
            taken = [json.loads(data)["id"] for status, _, data in (self.ask(server, n) for n in range(40)) if status == 201]
            self.free()
            more = server.create("sim: reply Hi.")["id"]
            for run in [*taken, more]:
                ended, _ = server.finish(run, 60)
                self.assertIn(ended["status"], ("completed", "failed"))
                self.whole(server, run)
            self.assertEqual(server.run(more)["status"], "completed")
            self.assertIsNone(server.process.poll())


def wait_for_change(journal, size):
    try:
        return wait_for(lambda: journal.stat().st_size != size, 0.5)
    except AssertionError:
        return False


class ReadOnlyDisk(SmallDisk):
    def test_a_server_on_a_read_only_disk_says_so_and_begins_when_it_is_not(self):
        with self.server() as server:
            run = server.create("sim: reply Hi.")["id"]
            before = server.finish(run)[1]
            server.tidy()
        remount = ["mount", "-o", "remount,ro", self.disk]
        wait_for(lambda: subprocess.run(remount, stderr=subprocess.DEVNULL).returncode == 0, 10, "nobody to write there any more")
        env = {"PATH": os.environ["PATH"], "AGENTROUTER_API_KEY": KEY}
        command = [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", self.disk / "data", "--sim"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ead-only file system", done.stderr)
        subprocess.run(["mount", "-o", "remount,rw", self.disk], check=True)
        with self.server() as server:
            self.assertEqual(server.events(run), before)
            self.assertEqual(server.finish(server.create("sim: reply Again.")["id"])[0]["status"], "completed")


if __name__ == "__main__":
    main()
