"""From one machine to PostgreSQL: a real installation's history is moved, and the server on the other side answers as before."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from agents import AgentsDir
from harness import PROGRAM, Case, Server, main
from postgres import Postgres

TASK = "sim: sh echo changed > file.txt\nsim: reply The bridge is mended."
PAGES = ("/v1/runs?limit=100", "/v1/runs?limit=2", "/v1/runs?q=bridge", "/v1/runs?tag.team=red", "/v1/runs?status=completed", "/v1/audit?limit=500",
         "/v1/webhooks")


def migrate(url, *words, code=0, **more):
    env = {"PATH": os.environ["PATH"], "HOME": "/", **({"AGENTROUTER_STORE_URL": url} if url else {}), **more}
    done = subprocess.run([PROGRAM, "migrate", *map(str, words)], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def answers(server):
    """What the server says of everything, without what is only true of this process."""
    told = {path: server.call("GET", path) for path in PAGES}
    for run in told["/v1/runs?limit=100"]["items"]:
        path = f"/v1/runs/{run['id']}"
        told[path] = server.call("GET", path)
        told[path + "/events"] = server.events(run["id"])
        for part in ("artifacts", "record", "turns", "approvals", "session"):
            status, _, body = server.request("GET", f"{path}/{part}")
            told[f"{path}/{part}"] = (status, json.loads(body))
        told[path + " bytes"] = {a["id"]: server.download(run["id"], a["id"]) for a in server.artifacts(run["id"]).values()}
    return told


class Migrate(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = Postgres().start()
        cls.addClassCleanup(cls.postgres.remove)
        cls.agents = AgentsDir()
        cls.addClassCleanup(cls.agents.remove)
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-migrate-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def url(self):
        return self.postgres.url(self.postgres.database())

    def server(self, data, url=None):
        return Server(data=data, env={"AGENTROUTER_STORE_URL": url} if url else None, agents_dir=self.agents.path)

    def test_a_servers_history_is_the_same_afterwards_and_goes_on(self):
        url, data = self.url(), self.folder / "whole"
        words = ("--from", "sqlite", "--to", "postgres", "--data", data)
        with self.server(data) as server:
            server.call("POST", "/v1/webhooks", {"url": "https://receiver.test/hook", "events": ["approval.*"]})
            runs = [server.create(TASK, tags={"team": "red"})["id"], server.create("sim: reply \u0007 \u00fc \u4e16.")["id"]]
            for run in runs:
                self.assertEqual(server.finish(run)[0]["status"], "completed")
            turn = server.call("POST", f"/v1/runs/{runs[0]}/messages", {"message": "sim: reply Again."}, expect=(202,))["runId"]
            self.assertEqual(server.finish(turn)[0]["status"], "completed")
            migrate(url, *words, code=1)  # a server has the folder
            server.tidy()
            before = answers(server)
        report = json.loads(migrate(url, *words, "--json").stdout)
        self.assertEqual(report["tables"]["runs"], 3)
        self.assertEqual(report["tables"]["events"], sum(len(told) for what, told in before.items() if what.endswith("/events")))
        self.assertEqual(report["auditEntries"], len(before["/v1/audit?limit=500"]["items"]))
        self.assertTrue((data / "agentrouter.db").exists())
        self.assertIn("not empty", migrate(url, *words, code=1).stderr)
        with self.server(data, url) as moved:
            after = answers(moved)
            self.assertEqual(after.keys(), before.keys())
            for what, was in before.items():
                self.assertEqual(after[what], was, what)
            turn = moved.call("POST", f"/v1/runs/{runs[0]}/messages", {"message": "sim: sh cat file.txt\nsim: reply Third."}, expect=(202,))
            ended, events = moved.finish(turn["runId"])
            self.assertEqual(ended["status"], "completed")
            self.assertIn("changed", json.dumps(events), "the workspace is as the second turn has left it")
            entries = moved.call("GET", "/v1/audit?limit=500")["items"]
            self.assertEqual([e["number"] for e in entries], list(range(1, len(entries) + 1)))
            self.assertGreater(len(entries), report["auditEntries"])
            moved.tidy()

    def test_what_it_refuses(self):
        data = self.folder / "refusing"
        with self.server(data) as server:
            server.finish(server.create("sim: reply x")["id"])
            server.tidy()
        words = ("--from", "sqlite", "--to", "postgres", "--data", data)
        for wrong in (("--from", "sqlite"), ("--from", "postgres", "--to", "sqlite"), (*words, "more"), (*words, "--no-such")):
            migrate(self.url(), *wrong, code=2)
        self.assertIn("[store] url", migrate(None, *words, code=2).stderr)
        self.assertNotIn("secret-word", migrate("postgres://u:secret-word@127.0.0.1:1/d", *words, code=1).stderr)
        nowhere = self.folder / "nowhere"
        nowhere.mkdir()
        self.assertIn("--data", migrate(self.url(), *words[:4], "--data", nowhere, code=1).stderr)
        url = self.url()
        with self.server(self.folder / "other", url):
            self.assertIn("stop them first", migrate(url, *words, code=1).stderr)
        self.assertEqual(migrate(None, "--help").returncode, 0)


if __name__ == "__main__":
    main()
