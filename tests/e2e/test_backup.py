"""Backup beside a server that serves, restoring it elsewhere, and fsck with each kind of damage."""
import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import time

from agents import AgentsDir
from harness import PROGRAM, Case, Server, main, sha256, wait_for
from pages import page_size, reseal

TASK = "sim: write a.txt one\nsim: sh echo two\nsim: reply Done."


def command(*words, code=0):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"})
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


def everything(server):
    """Runs, events and artifacts with their bytes, as clients see them."""
    seen = {}
    for run in server.call("GET", "/v1/runs?limit=100")["items"]:
        artifacts = {}
        for kind, artifact in server.artifacts(run["id"]).items():
            data = server.download(run["id"], artifact["id"])
            assert sha256(data) == artifact["sha256"]
            artifacts[kind] = (artifact, data)
        seen[run["id"]] = (run, server.events(run["id"]), artifacts)
    return seen


class WithData(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-backup-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.agents.remove()
        super().tearDownClass()

    def server(self, data):
        return Server(data=data, agents_dir=self.agents.path)


class Backup(WithData):
    def test_what_was_backed_up_while_serving_is_read_back_elsewhere(self):
        data, to = self.folder / "data", self.folder / "backup"
        with self.server(data) as server:
            ended = [server.finish(server.create(TASK)["id"])[0]["id"] for _ in range(3)]
            waiting = server.create(TASK, approvalMode="manual")["id"]
            server.wait_until(waiting, lambda e: e["type"] == "approval.requested")
            busy = server.create("sim: sh while sleep 0.1; do :; done\nsim: reply Done.")["id"]
            server.wait_until(busy, lambda e: e["type"] == "agent.tool_started")
            report = json.loads(command("backup", to, "--data", data, "--json").stdout)
            before = everything(server)
            again = json.loads(command("backup", to, "--data", data, "--json").stdout)
            self.assertEqual((report["lost"], again["copied"]), ([], 0), "what is there already is not copied again")
            self.assertGreater(report["copied"], 0)
            self.assertEqual(to.stat().st_mode & 0o777, 0o700)
            self.assertEqual({p.stat().st_mode & 0o077 for p in to.rglob("*") if p.is_file()}, {0})
            self.assertTrue((data / "host_id").exists())
            self.assertEqual([p for p in to.rglob("host_id")], [], "a restored folder is another host's")
            command("restore", to, "--data", data, code=1)
            for run in (waiting, busy):
                server.call("POST", f"/v1/runs/{run}/cancel", {})
                server.finish(run)
            server.tidy()
            later = server.finish(server.create(TASK)["id"])[0]["id"]
        new = self.folder / "new"
        command("restore", to, "--data", new)
        problems = json.loads(command("fsck", "--data", new, "--json", code=1).stdout)["problems"]
        self.assertEqual([p["code"] for p in problems], ["journal_missing"] * 2, "of runs that were going on, and nothing else")
        with self.server(new) as server:
            lost, events = server.finish(busy)
            self.assertEqual((lost["status"], lost["failure"]["code"]), ("failed", "attempt_lost"))
            self.assertEqual(events[:len(before[busy][1])], before[busy][1], "what clients had seen is not changed")
            # The other one waits for a person, who may have approved it since the backup was made: it is not begun again either.
            known = before[waiting][1]
            asked, events = server.finish(waiting)
            self.assertEqual((asked["status"], asked["failure"]["code"]), ("failed", "attempt_lost"))
            self.assertEqual(events[:len(known)], known)
            after = everything(server)
            for run in ended:
                self.assertEqual(after[run], before[run])
            self.assertNotIn(later, after, "it goes back to the moment of the backup")
            self.assertEqual(server.finish(server.create(TASK)["id"])[0]["status"], "completed")
            # Conversations go on.
            turn = server.call("POST", f"/v1/runs/{ended[0]}/messages", {"message": "sim: reply Again."}, expect=(202,))
            self.assertEqual(server.finish(turn["runId"])[0]["status"], "completed")
            server.tidy()

    def test_a_backup_without_a_server_and_one_that_is_damaged(self):
        data, to = self.folder / "stopped", self.folder / "stopped-backup"
        with self.server(data) as server:
            run = server.finish(server.create(TASK)["id"])[0]["id"]
            before = everything(server)[run]
            server.tidy()
        command("backup", to, "--data", data)
        blob = max((p for p in (to / "blobs").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        whole = blob.read_bytes()
        blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assertIn("damaged", command("restore", to, "--data", self.folder / "none", code=1).stderr)
        self.assertFalse((self.folder / "none").exists())
        command("backup", to, "--data", data)
        command("restore", to, "--data", self.folder / "whole")
        with self.server(self.folder / "whole") as server:
            self.assertEqual(everything(server)[run], before)

    def test_what_a_backup_refuses(self):
        data = self.folder / "refusing"
        with self.server(data):
            pass
        command("backup", data / "within", "--data", data, code=2)
        other = self.folder / "other"
        other.mkdir()
        (other / "something").write_text("else")
        command("backup", other, "--data", data, code=2)
        command("restore", other, "--data", self.folder / "x", code=1)
        command("backup", self.folder / "y", "--data", self.folder / "no-such", code=1)
        command("restore", other, code=2)
        self.assertEqual(command("backup", "--help").returncode, 0)


class Fsck(WithData):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data"
        with Server(data=cls.data, agents_dir=cls.agents.path) as server:
            cls.run_id = server.finish(server.create(TASK, approvalMode="auto")["id"])[0]["id"]
            server.finish(server.create(TASK)["id"])
            cls.clean_while_serving = command("fsck", "--data", cls.data, "--json").stdout
            server.tidy()

    @contextlib.contextmanager
    def copy(self):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            shutil.copytree(self.data, pathlib.Path(folder, "data"), ignore=shutil.ignore_patterns("*.sock"))
            yield pathlib.Path(folder, "data")

    def found(self, data, *words, code=1):
        report = json.loads(command("fsck", "--data", data, "--json", *words, code=code).stdout)
        for problem in report["problems"]:
            self.assertTrue(problem["what"] and problem["where"] and problem["fix"], problem)
        return {p["code"] for p in report["problems"]}

    def sql(self, data, text):
        with sqlite3.connect(data / "agentrouter.db") as database:
            database.executescript(text)
        database.close()
        reseal(data / "agentrouter.db")

    def test_nothing_is_damaged_beside_a_server_and_without(self):
        self.assertEqual(json.loads(self.clean_while_serving)["problems"], [])
        report = json.loads(command("fsck", "--data", self.data, "--json").stdout)
        self.assertTrue(report["ok"] and report["checked"]["pageChecksums"] and report["checked"]["blobs"], report)

    def test_bits_that_flipped_in_pages(self):
        with self.copy() as data:
            file = data / "agentrouter.db"
            content = bytearray(file.read_bytes())
            size = page_size(content)
            at = next(n for n in range(3, len(content) // size) if any(content[n * size:(n + 1) * size]))
            content[at * size + 100] ^= 4
            file.write_bytes(content)
            report = json.loads(command("fsck", "--data", data, "--json", code=1).stdout)
            self.assertIn(f"agentrouter.db, page {at + 1}", {p["where"] for p in report["problems"]})

    def test_rows_that_do_not_fit(self):
        run = f"(SELECT n FROM runs WHERE id = '{self.run_id}')"
        cases = {"event_gap": f"DELETE FROM events WHERE key = ({run} << 32) | 3",
                 "events_missing": f"DELETE FROM events WHERE key >> 32 = {run}",
                 "terminal_event": f"UPDATE runs SET status = 'running' WHERE n = {run}",
                 "run_without_attempt": f"UPDATE runs SET status = 'running' WHERE n = {run}",
                 "run_without_conversation": "DELETE FROM conversations",
                 "artifact_without_run": "UPDATE artifacts SET run_id = 'run_none' WHERE n = 1",
                 "audit_changed": "UPDATE audit SET who = 'somebody' WHERE number = 2",
                 "audit_missing": "DELETE FROM audit WHERE number = 2"}
        for code, sql in cases.items():
            with self.subTest(code), self.copy() as data:
                self.sql(data, sql)
                self.assertIn(code, self.found(data))

    def test_bytes_of_artifacts(self):
        with self.copy() as data:
            blobs = sorted(p for p in (data / "blobs/runs" / self.run_id).rglob("*") if p.is_file())
            blobs[0].unlink()
            content = bytearray(blobs[1].read_bytes())
            content[len(content) // 2] ^= 1
            blobs[1].write_bytes(content)
            self.assertEqual(self.found(data), {"blob_missing", "blob_damaged"})

    def test_leftovers_are_told_and_only_old_ones_are_removed(self):
        with self.copy() as data:
            young, old = data / "blobs/runs/young", data / "blobs/runs/old"
            for orphan in (young, old):
                orphan.write_text("orphan")
            os.utime(old, (time.time() - 90000,) * 2)
            self.assertEqual(self.found(data, code=0), {"blob_orphan"})
            self.assertTrue(old.exists())
            command("fsck", "--data", data, "--repair")
            self.assertEqual((young.exists(), old.exists()), (True, False))
            self.assertEqual(self.found(data, code=0), set())

    def test_what_others_are_made_of_is_made_anew(self):
        run = f"(SELECT n FROM runs WHERE id = '{self.run_id}')"
        cases = {"UPDATE newest_events SET sequence = 999": "newest_event",
                 "UPDATE totals SET value = value + 1 WHERE name = 'ended_runs'": "totals_wrong",
                 "DELETE FROM totals WHERE name = 'artifact_bytes'": "totals_wrong",
                 "INSERT INTO shares VALUES ('nobody', 3, 0, 0)": "shares_wrong",
                 f"INSERT INTO run_search (run_search, rowid, task, answer) VALUES ('delete', {run}, 'one', '')": "search_wrong",
                 f"INSERT INTO run_search (rowid, task, answer) VALUES ({run} + 100, 'a run that is not there', '')": "search_wrong",
                 "INSERT INTO run_search (run_search) VALUES ('delete-all')": "search_wrong",
                 "UPDATE run_search_data SET block = zeroblob(9) WHERE id > 10": "search_wrong"}
        for sql, code in cases.items():
            with self.subTest(sql), self.copy() as data:
                self.sql(data, sql)
                self.assertEqual(self.found(data), {code})
                command("fsck", "--data", data, "--repair")
                self.assertEqual(self.found(data, code=0), set())

    def test_a_journal_that_the_store_is_ahead_of(self):
        data = self.folder / "journal"
        with self.server(data) as server:
            run = server.create(TASK, approvalMode="manual")["id"]
            server.wait_until(run, lambda e: e["type"] == "approval.requested")
            self.assertEqual(self.found(data, code=0), set())
            server.kill()
            journal, = (data / "attempts").glob("*/journal")
            whole = journal.read_bytes()
            try:
                journal.write_bytes(whole[:200])
                self.assertEqual(self.found(data), {"journal_behind"})
            finally:
                journal.write_bytes(whole)
                server.start()
                server.call("POST", f"/v1/runs/{run}/cancel", {})
                server.finish(run)
                server.tidy()

    def test_repairing_beside_a_server_is_refused(self):
        data = self.folder / "busy"
        with self.server(data):
            self.assertIn("another server uses it", command("fsck", "--data", data, "--repair", code=2).stderr)

    def test_what_is_no_data_folder(self):
        command("fsck", "--data", self.folder / "nothing", code=2)
        with self.copy() as data:
            (data / "agentrouter.db").write_bytes(b"not a database at all" * 1000)
            self.assertIn("database_damaged", self.found(data))


if __name__ == "__main__":
    main()
