"""Servers that share a PostgreSQL: what one does the other shows at once, what dies comes back, and no key is seen."""
import json
import os
import pathlib
import socket
import subprocess
import tempfile

from harness import PROGRAM, Case, Server, main, wait_for
from postgres import Postgres, Proxy, _end_with_parent, _plain_user

LONG = "sim: repeat 40 sh sleep 0.1\nsim: reply Done."


class PgBouncer:
    """The pooler in transaction mode in front of a server, as a plain user."""

    def __init__(self, server):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-pgbouncer-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (self.folder / "users").write_text('"tester" ""\n')
        (self.folder / "pgbouncer.ini").write_text(
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 200\nauth_file = {self.folder}/users\n"
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=tester\n")
        user = _plain_user()
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(["/usr/sbin/pgbouncer", self.folder / "pgbouncer.ini"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd="/",
                                        preexec_fn=_end_with_parent(user))
        wait_for(self._answers, what="PgBouncer to answer")

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class SharedStore(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = Postgres().start()
        cls.addClassCleanup(cls.postgres.remove)

    def node(self, url, role="all"):
        server = Server(env={"AGENTROUTER_STORE_URL": url}, args=["--sim", "--role", role])
        self.enterContext(server)
        return server

    def url(self):
        return self.postgres.url(self.postgres.database())

    def ended(self, server, run, seconds=60):
        def look():
            # Until the server has its database again a call is answered 503.
            status, _, reply = server.request("GET", f"/v1/runs/{run}")
            self.assertIn(status, (200, 503), reply)
            got = json.loads(reply)
            return status == 200 and got["status"] in ("completed", "failed", "cancelled") and got
        return wait_for(look, seconds, "the run's end")

    def test_a_run_of_one_server_is_seen_on_the_other(self):
        url = self.url()
        api, worker = self.node(url, "api"), self.node(url, "worker")
        run = api.create("sim: reply Hello.")["id"]
        self.assertEqual(self.ended(api, run)["status"], "completed")
        self.assertTrue(worker.process.poll() is None)

    def test_while_the_database_is_away_calls_say_when_to_come_again_and_then_work(self):
        proxy = Proxy("127.0.0.1", self.postgres.port)
        self.addCleanup(proxy.close)
        server = self.node(self.postgres.url(self.postgres.database(), host="127.0.0.1", port=proxy.port))
        run = server.create(LONG)["id"]
        proxy.refusing = True
        proxy.cut()
        for method, path, body in (("GET", f"/v1/runs/{run}", None), ("POST", "/v1/runs", {"task": "sim: reply x"})):
            status, headers, reply = server.request(method, path, body)
            self.assertEqual((status, json.loads(reply)["error"]["code"]), (503, "storage_failed"), reply)
            self.assertGreater(int(headers["retry-after"]), 0)
        proxy.refusing = False
        self.assertEqual(self.ended(server, run)["status"], "completed")

    def test_a_crash_of_the_database_loses_nothing_that_was_answered(self):
        server = self.node(self.url())
        run = server.create(LONG)["id"]
        self.postgres.restart("immediate")
        got = self.ended(server, run)
        self.assertEqual(got["status"], "completed", got)
        sequences = [event["sequence"] for event in server.events(run)]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))

    def test_behind_a_pooler_in_transaction_mode(self):
        pooler = PgBouncer(self.postgres)
        self.addCleanup(pooler.close)
        data = tempfile.mkdtemp(prefix="agentrouter-test-")
        pathlib.Path(data, "agentrouter.toml").write_text(
            f'[store]\nurl = "{self.postgres.url(self.postgres.database(), host="127.0.0.1", port=pooler.port)}"\nprepared = false\n')
        with Server(data=data) as server:
            run = server.create("sim: reply Hello.")["id"]
            self.assertEqual(self.ended(server, run)["status"], "completed")
            server.tidy()

    def test_backup_and_fsck_say_what_to_do_instead(self):
        env = {"PATH": os.environ["PATH"], "HOME": "/", "AGENTROUTER_STORE_URL": "postgres://u:secret-word@h/d"}
        with tempfile.TemporaryDirectory() as data:
            for command in (["backup", f"{data}/b"], ["restore", f"{data}/b"], ["fsck"]):
                done = subprocess.run([PROGRAM, *command, "--data", data], env=env, capture_output=True, text=True)
                self.assertEqual(done.returncode, 2)
                self.assertIn("pg_dump", done.stderr)
                self.assertNotIn("secret-word", done.stderr)


if __name__ == "__main__":
    main()
