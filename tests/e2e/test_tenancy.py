"""Two teams on one server, as the program and its commands give it: nothing of the one is there for the other, keys end when they are told to,
and what was kept before there were workspaces belongs to the default one. Scripted agent, simulated provider."""
import json
import os
import subprocess

from agents import AgentsDir
import stores
from harness import KEY, PROGRAM, Case, Server, main, wait_for


class Tenancy(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.server = Server(args=("--sim", "--concurrency", "2"), agents_dir=cls.agents.path).start()
        for team in ("team-a", "team-b"):
            cls.command("workspaces", "create", team)
        cls.a, cls.b = (cls.new_key("--for", team, "--allow", "admin")["key"] for team in ("team-a", "team-b"))

    @classmethod
    def tearDownClass(cls):
        cls.server.tidy()
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        super().tearDownClass()

    @classmethod
    def command(cls, *args, key=KEY, expect=0, **environment):
        env = {"PATH": os.environ["PATH"], "HOME": str(cls.server.data), "LANG": "C.UTF-8", "AGENTROUTER_API_BASE_URL": cls.server.url,
               "AGENTROUTER_API_KEY": key, **environment}
        done = subprocess.run([str(PROGRAM), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == expect, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done

    @classmethod
    def new_key(cls, *args, key=KEY):
        return json.loads(cls.command("keys", "create", "--name", "test", "--json", *args, key=key).stdout)

    def as_key(self, key, method, path, body=None, expect=(200, 201), **headers):
        return self.server.call(method, path, body, expect=expect, key=key, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def test_a_run_of_one_team_is_none_of_the_other(self):
        run = self.as_key(self.a, "POST", "/v1/runs", {"task": "sim: sh echo ours > ours.txt\nsim: reply Done."})
        self.assertEqual(run["workspaceId"], "team-a")
        wait_for(lambda: self.as_key(self.a, "GET", f"/v1/runs/{run['id']}")["status"] == "completed", 60, "the run's end")
        session = self.as_key(self.a, "GET", f"/v1/runs/{run['id']}/session")
        self.assertEqual(session["response"]["text"], "Done.")
        artifact = session["artifacts"]["items"][0]["id"]
        for path in ("", "/session", "/events", "/stream", "/record", "/turns", "/artifacts", "/files", "/files/ours.txt", "/archive",
                     f"/artifacts/{artifact}/download", "/approval-rules"):
            other, headers, body = self.server.request("GET", f"/v1/runs/{run['id']}{path}", key=self.b)
            nothing = "run_00000000-0000-4000-8000-000000000000"
            none, none_headers, none_body = self.server.request("GET", f"/v1/runs/{nothing}{path}", key=self.b)
            self.assertEqual((other, body.replace(run["id"].encode(), b"ID")), (none, none_body.replace(nothing.encode(), b"ID")), path)
            self.assertEqual(set(headers), set(none_headers), path)
            self.assertEqual(other, 404, path)
        self.assertEqual(self.as_key(self.b, "GET", "/v1/runs")["items"], [])
        self.assertEqual(self.as_key(self.b, "GET", "/v1/runs?q=ours")["items"], [])
        self.assertEqual([r["id"] for r in self.as_key(self.a, "GET", "/v1/runs?q=ours")["items"]], [run["id"]])
        self.assertNotIn(run["id"], self.command("runs", key=self.b).stdout)
        self.assertIn(run["id"], self.command("runs", key=self.a).stdout)
        self.assertIn("run_not_found", self.command("show", run["id"], key=self.b, expect=1).stderr)
        chain = self.as_key(self.a, "GET", "/v1/audit")["items"]
        self.assertIn("run.completed", [e["type"] for e in chain])
        self.assertEqual({e["workspace"] for e in chain}, {"team-a"})
        self.assertEqual({e["type"] for e in self.as_key(self.b, "GET", "/v1/audit")["items"]}, {"workspace.created", "key.created"})

    def test_the_servers_own_key_means_the_default_workspace(self):
        run = self.server.create("sim: reply Done.")
        self.assertNotIn("workspaceId", run)
        self.server.finish(run["id"])
        for key in (self.a, self.b):
            self.as_key(key, "GET", f"/v1/runs/{run['id']}", expect=(404,))
        self.assertEqual(self.as_key(KEY, "GET", "/v1/runs", x_workspace_id="team-b")["items"], [])
        self.assertIn(run["id"], self.command("runs").stdout)
        self.assertNotIn(run["id"], self.command("runs", "--workspace-id", "team-b").stdout)
        self.assertNotIn(run["id"], self.command("runs", AGENTROUTER_WORKSPACE_ID="team-b").stdout)
        self.assertIn("workspace_unknown", self.command("runs", "--workspace-id", "team-z", expect=1).stderr)

    def test_a_key_ends_when_it_is_told_to(self):
        made = self.new_key("--for", "team-a", "--allow", "runs:read")
        key = made["key"]
        self.assertRegex(key, "^ar_live_[0-9A-Za-z]{49}$")
        self.command("runs", key=key)
        refused = self.command("run", "sim: reply no", key=key, expect=1)
        self.assertIn("forbidden_scope", refused.stderr)
        wait_for(lambda: "last used" in self.command("keys", "show", made["id"]).stdout, 10, "the use of the key to be written down")
        rotated = json.loads(self.command("keys", "rotate", made["id"], "--overlap", "600", "--json").stdout)
        for one in (key, rotated["key"]):
            self.command("runs", key=one)
        self.command("keys", "revoke", made["id"])
        self.assertIn("unauthorized", self.command("runs", key=key, expect=1).stderr)
        self.command("runs", key=rotated["key"])
        listed = self.command("keys", "list").stdout
        self.assertIn("revoked", listed)
        self.assertNotIn(rotated["key"], listed)

    def test_a_key_of_several_workspaces_says_which(self):
        key = self.new_key("--for", "team-a", "--for", "team-b")["key"]
        refused = self.command("runs", key=key, expect=2)
        self.assertIn("--workspace-id", refused.stderr)
        self.command("runs", "--workspace-id", "team-a", key=key)
        self.command("runs", key=key, AGENTROUTER_WORKSPACE_ID="team-b")

    def test_keys_and_workspaces_outlive_a_crash(self):
        with Server(args=("--sim", "--role", "api")) as first:
            first.call("POST", "/v1/workspaces", {"id": "kept"})
            key = first.call("POST", "/v1/keys", {"name": "k", "scopes": ["admin"], "workspaces": ["kept"]})["key"]
            run = first.call("POST", "/v1/runs", {"task": "sim: reply x"}, key=key)["id"]
            first.kill()
            first.start()
            self.assertEqual(first.call("GET", f"/v1/runs/{run}", key=key)["workspaceId"], "kept")
            first.call("POST", f"/v1/runs/{run}/cancel", key=key)
            if stores.POSTGRES:
                return  # what follows looks at the SQLite file
            fsck = subprocess.run([str(PROGRAM), "fsck", "--data", str(first.data)], capture_output=True, text=True, timeout=60)
            self.assertEqual(fsck.returncode, 0, fsck.stdout + fsck.stderr)
            text = b"".join(file.read_bytes() for file in first.data.glob("agentrouter.db*"))
            self.assertNotIn(key.encode(), text)


if __name__ == "__main__":
    main()
