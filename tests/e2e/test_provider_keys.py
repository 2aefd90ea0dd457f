"""Provider keys of workspaces: which key arrives at the provider, where its value is not, and what becomes of it when the master key is lost,
exchanged or rotated, also with kill -9 in the middle."""
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import urllib.parse

from harness import KEY, PROGRAM, Case, Server, main, wait_for
from postgres import Postgres
from test_secrets import CANARY, TASK, Upstream, places_with, sandbox_processes

OTHER = "sk-other-1c55e0f2a9b84477"
HELLO = "sim: reply HELLO"

KMS = """
import base64, json, sys
asked = json.loads(sys.stdin.readline())
open({log!r}, "a").write(asked["operation"] + "\\n")
{first}
if asked["operation"] == "key":
    print(json.dumps({{"keyId": {key!r}}}))
elif asked["operation"] == "wrap":
    print(json.dumps({{"keyId": {key!r}, "data": base64.b64encode(base64.b64decode(asked["data"])[::-1]).decode()}}))
else:
    print(json.dumps({{"data": base64.b64encode(base64.b64decode(asked["data"])[::-1]).decode()}}))
"""


def command(server, *words, stdin="", code=0, env=None):
    done = subprocess.run([PROGRAM, *words], input=stdin, capture_output=True, text=True, timeout=120,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "AGENTROUTER_API_KEY": KEY,
                               **({"AGENTROUTER_API_BASE_URL": server.url} if server else {}), **(env or {})})
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


class KeyRecorder:
    """Before an upstream: which key came with which words, connection by connection; the bytes pass unchanged."""

    def __init__(self, upstream):
        self.target = urllib.parse.urlparse(upstream.url)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = self.target._replace(netloc="127.0.0.1:%d" % self.listener.getsockname()[1]).geturl()
        self.asked, self.sockets = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for one in (self.listener, *self.sockets):
            one.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection((self.target.hostname, self.target.port))
            sent = bytearray()
            self.asked.append(sent)
            self.sockets += [client, upstream]
            for source, to, kept in ((client, upstream, sent), (upstream, client, None)):
                threading.Thread(target=self._copy, args=(source, to, kept), daemon=True).start()

    @staticmethod
    def _copy(source, to, kept):
        try:
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def keys_with(self, word):
        """Of the connections that carried this word."""
        return {key.decode() for sent in self.asked if word.encode() in sent
                for key in re.findall(rb"(?i)\r\nauthorization: bearer ([!-~]+)\r\n", bytes(sent))}


class WithUpstream(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-keys-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def server(self, upstream, config="", env=None, data=None):
        file = self.folder / "server.toml"
        file.write_text(config)
        return Server(args=("--config", str(file)), env={"OPENAI_BASE_URL": upstream.url, **(env or {})}, data=data or self.folder / "data")

    def ended(self, server, **fields):
        return server.finish(server.create(HELLO, **fields)["id"])[0]

    def assert_works(self, server):
        run = self.ended(server)
        self.assertEqual(run["status"], "completed", run.get("failure"))

    def assert_fails(self, server, cause):
        failure = self.ended(server)["failure"]
        self.assertEqual((failure["code"], failure["cause"]), ("provider_unconfigured", cause), failure)
        return failure["reason"]


class ProviderKeys(WithUpstream):
    def test_the_workspaces_key_arrives_and_is_nowhere_else(self):
        with Upstream() as upstream, self.server(upstream) as server:
            command(server, "provider-keys", "set", "openai", stdin=CANARY + "\n")
            run = server.create(TASK)
            server.wait_until(run["id"], lambda e: e["type"] == "agent.tool_completed" and "searched" in e["payload"].get("output", ""))
            inside = sandbox_processes(server.pid)
            self.assertTrue(inside)
            self.assertEqual(places_with(CANARY, server, run["id"], inside), set())
            for pid in [server.pid, *map(int, filter(str.isdigit, os.listdir("/proc")))]:
                try:
                    self.assertNotIn(CANARY.encode(), pathlib.Path(f"/proc/{pid}/environ").read_bytes())
                except OSError:
                    pass
            run, events = server.finish(run["id"])
            self.assertEqual(run["status"], "completed", run.get("failure"))
            self.assertEqual(places_with(CANARY, server, run["id"], []), set())
            self.assertTrue([e for e in events if e["type"] == "egress.request"], "the provider takes this key alone")
            shown = server.call("GET", "/v1/provider-keys/openai")
            self.assertEqual(shown["lastCharacters"], CANARY[-4:])
            self.assertGreater(shown["lastUsedAt"], shown["createdAt"])
            self.assertNotIn(CANARY, str(shown) + command(server, "provider-keys", "list").stdout)

    def test_it_comes_before_the_servers_and_goes_again(self):
        with Upstream() as upstream, self.server(upstream, env={"OPENAI_API_KEY": OTHER}) as server:
            self.assertEqual(self.ended(server)["failure"]["cause"], "provider_auth_failed", "with the server's key")
            command(server, "provider-keys", "set", "openai", stdin=CANARY)
            self.assert_works(server)
            command(server, "provider-keys", "delete", "openai")
            self.assertEqual(self.ended(server)["failure"]["cause"], "provider_auth_failed")
            self.assertIn("provider_key_not_found", command(server, "provider-keys", "delete", "openai", code=1).stderr)

    def test_a_run_that_goes_on_keeps_the_key_that_it_began_with(self):
        with Upstream() as upstream, self.server(upstream) as server:
            command(server, "provider-keys", "set", "openai", stdin=CANARY)
            run = server.create("sim: sh until [ -e go ]; do sleep 0.1; done\nsim: reply HELLO", approvalScope="action", approvalMode="manual")["id"]
            page = {"items": []}
            while not page["items"]:
                page = server.call("GET", f"/v1/approvals?runId={run}&waitSeconds=20")
            command(server, "provider-keys", "set", "openai", stdin=OTHER)
            self.assertEqual(self.ended(server)["failure"]["cause"], "provider_auth_failed", "a new run has the new one")
            question = page["items"][0]
            server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})
            wait_for(lambda: server.call("GET", f"/v1/approvals?runId={run}")["items"], 30, "the next question")
            question = server.call("GET", f"/v1/approvals?runId={run}")["items"][0]
            command(server, "provider-keys", "delete", "openai")
            server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/deny", {"actionDigest": question["actionDigest"]})
            ended, events = server.finish(run)
            self.assertNotEqual((ended.get("failure") or {}).get("cause"), "provider_auth_failed", ended)
            self.assertFalse([e for e in events if e["type"] == "egress.request" and e["payload"].get("status") == 401], events)

    def test_runs_need_a_key_of_their_workspace_where_the_server_says_so(self):
        config = "[providers]\nrequire_workspace_key = true\n"
        with Upstream() as upstream, self.server(upstream, config, {"OPENAI_API_KEY": CANARY}) as server:
            refused = server.call("POST", "/v1/runs", {"task": HELLO}, expect=(409,))
            self.assertEqual(refused["error"]["code"], "provider_key_required")
            command(server, "provider-keys", "set", "openai", stdin=CANARY)
            self.assert_works(server)

    def test_a_base_url_is_one_that_the_server_allows(self):
        with Upstream() as upstream, Upstream() as eu:
            with self.server(upstream, f'[providers]\nbase_urls = ["{eu.url}"]\n') as server:
                refused = command(server, "provider-keys", "set", "openai", "--base-url", "http://169.254.169.254/v1", stdin=CANARY, code=2)
                self.assertIn("provider_url_refused", refused.stderr)
                command(server, "provider-keys", "set", "openai", "--base-url", eu.url, stdin=CANARY)
                self.assert_works(server)
            with self.server(upstream) as server:
                self.assertIn("not allow any more", self.assert_fails(server, "provider_url_refused"))

    def test_a_value_never_comes_from_the_command_line(self):
        with Upstream() as upstream, self.server(upstream) as server:
            command(server, "provider-keys", "set", "openai", CANARY, code=2)
            command(server, "provider-keys", "set", "openai", code=2)
            file = self.folder / "key"
            file.write_text(CANARY + "\n")
            command(server, "provider-keys", "set", "openai", "--file", str(file))
            self.assert_works(server)


class Workspaces(WithUpstream):
    def test_each_workspace_has_its_own_key_upstream(self):
        with Upstream() as upstream:
            recorder = KeyRecorder(upstream)
            self.addCleanup(recorder.close)
            with self.server(recorder, env={"OPENAI_API_KEY": "sk-of-the-server-000001"}) as server:
                keys = {"team-a": CANARY, "team-b": OTHER}
                for workspace, value in keys.items():
                    server.call("POST", "/v1/workspaces", {"id": workspace, "name": workspace})
                    server.call("PUT", "/v1/provider-keys/openai", {"value": value}, headers={"x-workspace-id": workspace})
                runs = {}
                for workspace in [*keys, "default"]:
                    body = {"task": f"sim: reply plover-{workspace}"}
                    runs[workspace] = server.call("POST", "/v1/runs", body, headers={"x-workspace-id": workspace})["id"]
                ended = {}
                for workspace, run in runs.items():
                    headers = {"x-workspace-id": workspace}
                    wait_for(lambda: server.call("GET", f"/v1/runs/{run}", headers=headers)["status"] in ("completed", "failed"), 90, "its end")
                    ended[workspace] = server.call("GET", f"/v1/runs/{run}", headers=headers)
                self.assertEqual(ended["team-a"]["status"], "completed", ended)
                self.assertEqual(ended["team-b"]["failure"]["cause"], "provider_auth_failed")
                self.assertEqual(ended["default"]["failure"]["cause"], "provider_auth_failed")
                self.assertEqual(recorder.keys_with("plover-team-a"), {CANARY})
                self.assertEqual(recorder.keys_with("plover-team-b"), {OTHER})
                self.assertEqual(recorder.keys_with("plover-default"), {"sk-of-the-server-000001"})
                # What another workspace has is not there.
                items = server.call("GET", "/v1/provider-keys", headers={"x-workspace-id": "team-b"})["items"]
                self.assertEqual([i["lastCharacters"] for i in items], [OTHER[-4:]])
                self.assertEqual(server.call("GET", "/v1/provider-keys")["items"], [])
                server.call("GET", "/v1/provider-keys/openai", expect=(404,))


class MasterKeys(WithUpstream):
    def seal(self, server):
        command(server, "provider-keys", "set", "openai", stdin=CANARY)
        return server.call("POST", "/v1/webhooks", {"url": "https://hooks.example/x", "events": ["run.failed"]})

    def database(self):
        return sqlite3.connect(self.folder / "data" / "agentrouter.db")

    def test_what_lies_in_the_database_is_sealed(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                secret = self.seal(server)["secret"]
            for file in (self.folder / "data").rglob("*"):
                if file.is_file():
                    data = file.read_bytes()
                    for clear in (CANARY, secret, base64.b64decode(secret[6:])):
                        self.assertNotIn(clear if isinstance(clear, bytes) else clear.encode(), data, file)
            self.assertEqual((self.folder / "data/master_key").stat().st_mode & 0o777, 0o600)

    def test_secrets_of_an_older_version_are_sealed_at_the_start(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                hook = self.seal(server)
            with self.database() as rows:
                rows.execute("UPDATE webhooks SET secret = ?", (hook["secret"],))
                rows.execute("DELETE FROM data_keys")
                rows.execute("DELETE FROM provider_keys")
            (self.folder / "data/master_key").unlink()
            with self.server(upstream) as server:
                wait_for(lambda: server.call("GET", "/v1/vault")["clearValues"] == 0, 20, "the secret to be sealed")
                with self.database() as rows:
                    self.assertTrue(rows.execute("SELECT secret FROM webhooks").fetchone()[0].startswith("sealed:"))
                again = server.call("POST", f"/v1/webhooks/{hook['id']}/rotate", {})
                self.assertNotEqual(again["secret"], hook["secret"])

    def test_a_lost_key_locks_and_says_so_and_nothing_else_stops(self):
        with Upstream() as upstream:
            with self.server(upstream, env={"OPENAI_API_KEY": CANARY}) as server:
                hook = self.seal(server)
            key = (self.folder / "data/master_key").read_text()
            (self.folder / "data/master_key").unlink()
            with self.server(upstream, env={"OPENAI_API_KEY": CANARY}) as server:
                self.assert_fails(server, "vault_locked")
                for path, body in ((f"/v1/webhooks/{hook['id']}/rotate", {}), ("/v1/webhooks", {"url": "https://a.example/", "events": ["*"]})):
                    self.assertEqual(server.call("POST", path, body, expect=(503,))["error"]["code"], "vault_locked")
                self.assertIn("Put it back", command(server, "vault", "status", code=1).stderr)
                self.assertIn("Put it back", server.log_text())
                self.assertFalse((self.folder / "data/master_key").exists(), "no new one is made")
                fsck = json.loads(command(None, "fsck", "--data", str(server.data), "--json").stdout)
                self.assertEqual((fsck["checked"]["sealedValues"], fsck["checked"]["openedValues"]), (2, 0))
                self.assertIn("vault is locked", fsck["checked"]["locked"])
                command(server, "provider-keys", "delete", "openai")
                self.assert_works(server)
            (self.folder / "data/master_key").write_text(key)
            (self.folder / "data/master_key").chmod(0o600)
            with self.server(upstream) as server:
                self.assertTrue(server.call("POST", f"/v1/webhooks/{hook['id']}/rotate", {})["secret"])

    def test_a_key_that_is_lost_for_good_is_given_up(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                hook = self.seal(server)
            (self.folder / "data/master_key").unlink()
            with self.server(upstream) as server:
                self.assertIn("gave up 1", command(server, "vault", "rotate", "--abandon-lost").stdout)
                self.assertEqual(server.call("GET", "/v1/provider-keys")["items"], [])
                self.assertIn("rotate it", server.call("GET", f"/v1/webhooks/{hook['id']}")["disabledReason"])
                self.assertNotEqual(server.call("POST", f"/v1/webhooks/{hook['id']}/rotate", {})["secret"], hook["secret"])
                server.call("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": True})
                command(server, "provider-keys", "set", "openai", stdin=CANARY)
                self.assert_works(server)

    def test_exchanged_and_cut_rows_are_damage_by_name(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                hook = self.seal(server)
            with self.database() as rows:
                sealed = rows.execute("SELECT sealed FROM provider_keys").fetchone()[0]
                rows.execute("UPDATE webhooks SET secret = ?", (sealed,))
                rows.execute("UPDATE provider_keys SET sealed = substr(sealed, 1, 60)")
            found = json.loads(command(None, "fsck", "--data", str(self.folder / "data"), "--json", code=1).stdout)["problems"]
            self.assertEqual({(p["code"], p["where"].split()[0]) for p in found}, {("sealed_damaged", "webhook_secret"), ("sealed_damaged", "provider_key")})
            with self.server(upstream) as server:
                self.assert_fails(server, "sealed_damaged")
                self.assertEqual(server.call("GET", f"/v1/webhooks/{hook['id']}")["id"], hook["id"])
                command(server, "provider-keys", "set", "openai", stdin=CANARY)
                self.assert_works(server)

    def test_a_backup_has_what_is_sealed_and_not_the_key(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                self.seal(server)
                command(None, "backup", str(self.folder / "backup"), "--data", str(server.data))
            key = (self.folder / "data/master_key").read_bytes()
            for file in (self.folder / "backup").rglob("*"):
                self.assertFalse(file.is_file() and (file.name == "master_key" or key.strip() in file.read_bytes()), file)
            new = self.folder / "new"
            said = command(None, "restore", str(self.folder / "backup"), "--data", str(new)).stdout
            self.assertIn("The master key is in no backup", said)
            with self.server(upstream, data=new) as server:
                self.assert_fails(server, "vault_locked")
            (new / "master_key").write_bytes(key)
            (new / "master_key").chmod(0o600)
            with self.server(upstream, data=new) as server:
                self.assert_works(server)
                self.assertEqual(json.loads(command(None, "fsck", "--data", str(new), "--json").stdout)["checked"]["openedValues"], 2)

    def test_a_key_of_the_configuration_is_checked_and_used(self):
        file = self.folder / "keys"
        with Upstream() as upstream:
            command(None, "vault", "generate", "-o", str(file))
            command(None, "vault", "generate", "-o", str(file), code=2)
            file.chmod(0o644)
            config = f'[vault]\nmaster_key_file = "{file}"\n'
            with self.assertRaisesRegex(AssertionError, "chmod 600"):
                self.server(upstream, config).start()
            file.chmod(0o600)
            with self.server(upstream, config) as server:
                self.seal(server)
                self.assert_works(server)
                self.assertFalse((server.data / "master_key").exists())
                refused = command(server, "vault", "rotate", "--new-master-key", code=1)
                self.assertIn("master_key_configured", refused.stderr)
            # Another one before it, and the old one stays until it is done.
            old = file.read_text()
            file.write_text(command(None, "vault", "generate").stdout + old)
            with self.server(upstream, config) as server:
                wait_for(lambda: not server.call("GET", "/v1/vault")["rotationOpen"], 20, "the rotation, which a start goes on with")
                self.assert_works(server)
            file.write_text(file.read_text().splitlines()[0])
            with self.server(upstream, config) as server:
                self.assert_works(server)
            file.write_text(old)
            with self.server(upstream, config) as server:
                self.assert_fails(server, "vault_locked")
            with self.assertRaisesRegex(AssertionError, "AGENTROUTER_MASTER_KEY: it is not 32 bytes"):
                self.server(upstream, env={"AGENTROUTER_MASTER_KEY": "no key"}).start()

    def test_a_key_service_wraps_and_its_failures_are_named(self):
        script, log = self.folder / "kms.py", self.folder / "kms.log"
        config = f'[vault]\nkms_command = ["/usr/bin/python3", "{script}"]\nkms_timeout_seconds = 2\n'
        with Upstream() as upstream:
            script.write_text(KMS.format(log=str(log), key="k1", first=""))
            with self.server(upstream, config) as server:
                self.seal(server)
                self.assert_works(server)
                self.assertEqual(server.call("GET", "/v1/vault")["masterKey"], "kms:k1")
                self.assertFalse((server.data / "master_key").exists())
            script.write_text(KMS.format(log=str(log), key="k1", first="sys.exit('access denied')"))
            with self.server(upstream, config) as server:
                self.assertIn("access denied", self.assert_fails(server, "vault_locked"))
                script.write_text(KMS.format(log=str(log), key="k1", first="import time; time.sleep(600)"))
                self.assertIn("not answered in time", self.assert_fails(server, "vault_locked"))
                script.write_text(KMS.format(log=str(log), key="k2", first=""))
                self.assert_works(server)
                self.assertEqual(server.call("GET", "/v1/vault")["dataKeysOfOldMasterKeys"], 1)
                command(server, "vault", "rotate")
                self.assertEqual(server.call("GET", "/v1/vault")["dataKeysOfOldMasterKeys"], 0)
                self.assert_works(server)


class SharedStore(WithUpstream):
    def test_servers_of_one_store_need_the_same_key_and_share_what_it_seals(self):
        file = self.folder / "keys"
        command(None, "vault", "generate", "-o", str(file))
        with Postgres() as postgres, Upstream() as upstream:
            store = f'[store]\nurl = "{postgres.url(postgres.database())}"\n'
            with self.server(upstream, store) as server:
                refused = server.call("PUT", "/v1/provider-keys/openai", {"value": CANARY}, expect=(503,))
                self.assertEqual(refused["error"]["code"], "vault_locked")
                self.assertIn("vault.master_key_file", refused["error"]["message"])
                self.assertFalse((server.data / "master_key").exists(), "one server's own would lock all others out")
            store += f'[vault]\nmaster_key_file = "{file}"\n'
            with self.server(upstream, store) as one, self.server(upstream, store, data=self.folder / "other") as two:
                command(one, "provider-keys", "set", "openai", stdin=CANARY)
                command(two, "vault", "rotate", "--new-data-keys")
                command(two, "provider-keys", "set", "openai", stdin=CANARY)
                for server in (one, two):
                    self.assertEqual(server.call("GET", "/v1/vault")["sealedValues"], 1)
                    self.assert_works(server)


class Rotation(WithUpstream):
    def test_new_keys_while_serving(self):
        with Upstream() as upstream, self.server(upstream) as server:
            command(server, "provider-keys", "set", "openai", stdin=CANARY)
            before = server.call("GET", "/v1/vault")["masterKey"]
            said = command(server, "vault", "rotate", "--new-master-key", "--new-data-keys").stdout
            self.assertIn("sealed 1 values, retired 1", said)
            status = server.call("GET", "/v1/vault")
            self.assertNotEqual(status["masterKey"], before)
            self.assertEqual((status["rotationOpen"], status["oldMasterKeys"], status["dataKeys"]), (False, 0, 1))
            self.assert_works(server)

    def test_a_rotation_that_is_killed_again_and_again_is_finished(self):
        with Upstream() as upstream:
            with self.server(upstream) as server:
                command(server, "provider-keys", "set", "openai", stdin=CANARY)
                hooks = [server.call("POST", "/v1/webhooks", {"url": f"https://hooks.example/{i}", "events": ["run.failed"]}) for i in range(40)]
            for turn in range(6):
                server = self.server(upstream).start()
                # Killed while it rotates: the request dies with it.
                rotating = subprocess.Popen([PROGRAM, "vault", "rotate", "--new-master-key", "--new-data-keys"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AGENTROUTER_API_KEY": KEY, "AGENTROUTER_API_BASE_URL": server.url})
                data = server.data / "agentrouter.db"
                # Read-only: a connection that may write would move pages from the WAL when it is closed as the last one, past their checksums.
                reader = sqlite3.connect(f"file:{data}?mode=ro", uri=True)
                self.addCleanup(reader.close)
                keys = lambda: reader.execute("SELECT coalesce(max(version), 0) FROM data_keys").fetchone()[0]
                first = keys()
                wait_for(lambda: keys() != first or rotating.poll() is not None, 30, "a new data key")
                server.kill()
                rotating.kill()
                rotating.wait()
            with self.server(upstream) as server:
                wait_for(lambda: not server.call("GET", "/v1/vault")["rotationOpen"], 30, "the rotation to be finished")
                command(server, "vault", "rotate")
                self.assertEqual(len((server.data / "master_key").read_text().split()), 1)
                status = server.call("GET", "/v1/vault")
                self.assertEqual((status["dataKeys"], status["sealedValues"], status["clearValues"]), (1, 41, 0))
                self.assert_works(server)
                fsck = json.loads(command(None, "fsck", "--data", str(server.data), "--json").stdout)
                self.assertEqual(fsck["checked"]["openedValues"], 41, fsck)
                self.assertEqual(len(server.call("GET", "/v1/webhooks")["items"]), len(hooks))


if __name__ == "__main__":
    main()
