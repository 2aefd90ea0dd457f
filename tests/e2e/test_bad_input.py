"""What clients and operators get wrong: each gives the documented error, and nothing else is disturbed. No agent runs but the last one."""
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time

from agents import AgentsDir
from harness import Case, KEY, PROGRAM, Server, main
from pages import reseal

UNKNOWN = "run_00000000-0000-4000-8000-000000000000"
NOBODY = 65534


class Requests(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(args=("--sim", "--role", "api")).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def error(self, status, code, method, path, body=None, **more):
        got, headers, data = self.server.request(method, path, body, **more)
        self.assertEqual(got, status, (path, data[:300]))
        error = json.loads(data)["error"]
        self.assertEqual(error["code"], code, (path, error))
        self.assertTrue(error["message"])
        self.assertIn("x-request-id", headers)
        if code in ("bad_request", "internal_error"):
            self.assertNotIn("details", error)
        else:
            self.assertIsInstance(error["details"], dict)
        return error, headers

    def refused(self, body, field=None):
        error, _ = self.error(400, "validation_error", "POST", "/v1/runs", body)
        issues = error["details"]["issues"]
        self.assertTrue(issues)
        for issue in issues:
            self.assertTrue(issue["code"] and issue["message"])
        if field is not None:
            self.assertIn(field, [(i["path"] or [None])[0] for i in issues] + [k for i in issues for k in i.get("keys", [])])

    def test_wrong_json(self):
        for body in ("{", '{"task":}', "[1,", '{"task":"x"} trailing', "\x00", "{'task':'x'}", '{"task":"a\nb"}'):
            with self.subTest(body=body):
                self.error(400, "bad_request", "POST", "/v1/runs", body)

    def test_text_that_is_no_unicode(self):
        for body in (b'{"task":"\xff\xfe"}', b'{"task":"\\ud800"}', b'{"task":"x","metadata":{"n":1e999}}'):
            with self.subTest(body=body):
                self.error(400, "validation_error", "POST", "/v1/runs", body)

    def test_deeply_nested_json(self):
        deep = b'{"task":"x","metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
        status, _, data = self.server.request("POST", "/v1/runs", deep)
        self.assertEqual(status, 400, data[:200])

    def test_wrong_types(self):
        for body, field in (([], None), ("text", None), (7, None), ({}, "task"), ({"task": 7}, "task"), ({"task": None}, "task"),
                            ({"task": ""}, "task"), ({"task": " \u00a0\ufeff\n"}, "task"), ({"task": "x" * 120_001}, "task"),
                            ({"task": "x", "runtime": None}, "runtime"), ({"task": "x", "runtime": "codex"}, "runtime"),
                            ({"task": "x", "runtime": {"kind": "other"}}, "runtime"),
                            ({"task": "x", "runtime": {"kind": "codex", "permissionMode": "plan"}}, None),
                            ({"task": "x", "runtime": {"kind": "codex", "mode": "wild"}}, "runtime"),
                            ({"task": "x", "runtime": {"kind": "codex", "model": "no spaces"}}, "runtime"),
                            ({"task": "x", "approvalMode": "maybe"}, "approvalMode"), ({"task": "x", "metadata": []}, "metadata"),
                            ({"task": "x", "metadata": None}, "metadata"), ({"task": "x", "surprise": 1}, None)):
            with self.subTest(body=body if len(str(body)) < 200 else "long"):
                self.refused(json.dumps(body) if isinstance(body, str) else body, field)

    def test_keys_that_the_server_decides(self):
        for key in ("model", "tools", "mcpServers", "rawArgs", "cliArgs", "providerArgs", "codexArgs", "claudeArgs"):
            self.error(400, "unsupported_tool_configuration", "POST", "/v1/runs", {"task": "x", key: []})
        for key in ("source", "repoUrl", "checkout"):
            self.error(400, "unsupported_workspace_attachment", "POST", "/v1/runs", {"task": "x", key: "y"})

    def test_workspaces_outside_the_roots(self):
        self.error(400, "workspace_forbidden", "POST", "/v1/runs", {"task": "x", "workspace": {"path": "/etc"}})
        for workspace in ({"path": 7}, {"path": ""}, {}, "path", {"path": "/x", "more": 1}):
            with self.subTest(workspace=workspace):
                self.error(400, "validation_error", "POST", "/v1/runs", {"task": "x", "workspace": workspace})

    def test_oversize(self):
        self.error(413, "bad_request", "POST", "/v1/runs", json.dumps({"task": "x", "metadata": {"a": "b" * (1 << 20)}}))
        got = self.raw(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode() +
                                   b"\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n")
        self.assertEqual(got, (413, "bad_request"))
        got = self.raw(b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n")
        self.assertEqual(got, (431, "bad_request"))

    def test_media_type(self):
        self.error(415, "bad_request", "POST", "/v1/runs", "task=x", headers={"Content-Type": "application/x-www-form-urlencoded"})

    def test_unknown_routes_and_things(self):
        for path in ("/", "/v1", "/v1/", "/v1/runs/", "/v1/sessions", "/v2/runs", "/v1/runs/x/y/z", "/etc/passwd", "/v1/../healthz", "/%00"):
            with self.subTest(path=path):
                self.error(404, "not_found", "GET", path)
        for tail in ("", "/events", "/stream", "/session", "/artifacts"):
            self.error(404, "run_not_found", "GET", f"/v1/runs/{UNKNOWN}{tail}")
        self.error(404, "artifact_not_found", "GET", f"/v1/runs/{UNKNOWN}/artifacts/artifact_x/download")
        self.error(404, "run_not_found", "POST", f"/v1/runs/{UNKNOWN}/cancel")

    def test_wrong_method(self):
        for method, path, allowed in (("DELETE", "/v1/runs", {"GET", "POST"}), ("PUT", f"/v1/runs/{UNKNOWN}/cancel", {"POST"}),
                                      ("POST", f"/v1/runs/{UNKNOWN}/events", {"GET"}), ("POST", "/healthz", {"GET"})):
            with self.subTest(path=path):
                _, headers = self.error(405, "method_not_allowed", method, path)
                self.assertLessEqual(allowed, {m.strip() for m in headers["allow"].split(",")})

    def test_bad_queries(self):
        run = self.server.create("never runs")["id"]
        for path in ("/v1/runs?limit=0", "/v1/runs?limit=101", "/v1/runs?limit=abc", "/v1/runs?status=odd", "/v1/runs?limit=1&limit=2",
                     f"/v1/runs/{run}/events?afterSeq=abc", f"/v1/runs/{run}/events?afterSeq=1.5", f"/v1/runs/{run}/events?limit=501",
                     f"/v1/runs/{run}/events?limit=", f"/v1/runs/{run}/events?limit=99999999999999999999999"):
            with self.subTest(path=path):
                self.error(400, "validation_error", "GET", path)

    def test_missing_and_wrong_keys(self):
        for path in ("/v1/runs", f"/v1/runs/{UNKNOWN}", "/v1/no-such-thing", "/nothing"):
            self.error(401, "unauthorized", "GET", path, key=None)
            self.error(401, "unauthorized", "GET", path, key="wrong")
        self.error(401, "unauthorized", "POST", "/v1/runs", "{broken", key=None)
        for header in (KEY, f"bearer {KEY}", f"Basic {KEY}", "Bearer", "Bearer "):
            self.error(401, "unauthorized", "GET", "/v1/runs", key=None, headers={"Authorization": header})
        self.assertEqual(self.server.request("GET", "/healthz", key=None)[::2], (200, b'{"ok":true}'))

    def test_the_same_idempotency_key_with_another_body(self):
        header = {"Idempotency-Key": "one"}
        status, _, first = self.server.request("POST", "/v1/runs", {"task": "a"}, headers=header)
        self.assertEqual(status, 201)
        status, _, again = self.server.request("POST", "/v1/runs", {"task": " a ", "approvalMode": "auto"}, headers=header)
        self.assertEqual((status, json.loads(again)["id"]), (200, json.loads(first)["id"]))
        self.error(409, "idempotency_conflict", "POST", "/v1/runs", {"task": "b"}, headers=header)

    def raw(self, data):
        """(status, code) of the one reply to these bytes; (0, None) without any."""
        found = self.server.raw(data)
        return (found[0].status, json.loads(found[0].reply)["error"]["code"]) if found else (0, None)

    def test_bytes_that_are_no_http(self):
        for data in (b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"):
            with self.subTest(data=data[:30]):
                status, _ = self.raw(data)
                self.assertIn(status, (0, 400, 401, 505))
        self.assertEqual(self.server.request("GET", "/healthz", key=None)[0], 200)

    def test_nothing_of_it_was_an_internal_error(self):
        self.assertNotIn("internal_error", self.server.log_text())


class Starting(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def start(self, *args, prefix=(), env=None):
        """Runs `serve` to its end, which must come by itself."""
        done = subprocess.run([*prefix, str(PROGRAM), "serve", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "AGENTROUTER_API_KEY": KEY, **(env or {})})
        self.assertEqual(done.stdout, "")
        return done

    def says(self, done, code, *words):
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertLessEqual(len(done.stderr), 2000, done.stderr)

    def test_a_data_folder_that_may_not_be_used(self):
        data = self.folder / "closed"
        data.mkdir(mode=0o700)
        self.folder.chmod(0o755)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--") if os.geteuid() == 0 else ()
        if not prefix:
            data.chmod(0)
        for path in (data, data / "below"):
            done = self.start("--listen", "127.0.0.1:0", "--data", str(path), "--sim", prefix=prefix)
            self.says(done, 1, str(path))

    def test_a_data_folder_that_is_a_file(self):
        file = self.folder / "file"
        file.write_text("x")
        self.says(self.start("--listen", "127.0.0.1:0", "--data", str(file), "--sim"), 1, str(file))

    def test_a_data_folder_in_use(self):
        with Server(data=self.folder / "data") as server:
            before = (server.data / "server.json").read_text()
            self.says(self.start("--listen", "127.0.0.1:0", "--data", str(server.data), "--sim"), 1, str(server.data), "another server")
            self.assertEqual((server.data / "server.json").read_text(), before)
            self.assertEqual(server.request("GET", "/healthz")[0], 200)

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = self.start("--listen", f"127.0.0.1:{port}", "--data", str(self.folder / "data"), "--sim")
        self.says(done, 1, str(port), "in use")
        self.assertFalse((self.folder / "data" / "server.json").exists())

    def test_configuration_errors_name_file_and_line(self):
        for text, line, word in (("listen = '127.0.0.1:0'\n\nsurprise = 1\n", 3, "surprise"), ("[sandbox]\nrequire_limit = true\n", 2, "sandbox.require_limit"),
                                 ("concurrency = 'many'\n", 1, "concurrency"), ("a = = b\n", 1, ""), ("\nworkspace_roots = ['relative']\n", 2, "relative")):
            with self.subTest(text=text):
                file = self.folder / "agentrouter.toml"
                file.write_text(text)
                self.says(self.start("--config", str(file), "--data", str(self.folder / "d")), 2, f"{file}:{line}:", word)
                self.says(self.start("--data", str(self.folder)), 2, f"{file}:{line}:", word)

    def test_bad_flags_and_variables(self):
        data = str(self.folder / "d")
        for args, word in ((("--surprise",), "surprise"), (("--listen", "nowhere"), "HOST:PORT"), (("--listen", "127.0.0.1:99999"), "port"),
                           (("--role", "boss"), "role"), (("--concurrency", "-1"), "concurrency"), (("--log-level", "loud"), "log_level"),
                           (("--data",), "data"), (("word",), "word"), (("--workspace-root", "relative"), "relative")):
            with self.subTest(args=args):
                self.says(self.start("--sim", "--data", data, *args), 2, word)
        self.says(self.start("--sim", "--data", data, env={"AGENTROUTER_PORT": "x"}), 2, "AGENTROUTER_PORT")
        self.says(self.start("--sim", "--data", data, env={"AGENTROUTER_API_KEY": "ar_dev_local_change_me"}), 2, "AGENTROUTER_API_KEY")
        self.assertFalse(pathlib.Path(data).exists())

    def test_files_of_secrets_and_configuration_that_cannot_be_read(self):
        missing = str(self.folder / "missing")
        done = self.start("--sim", "--data", str(self.folder / "d"), "--config", missing)
        self.assertIn(done.returncode, (1, 2))
        self.assertIn(missing, done.stderr)
        self.says(self.start("--sim", "--data", str(self.folder / "d"), env={"AGENTROUTER_API_KEY": "", "OPENAI_API_KEY_FILE": missing}), 1, missing)

    def test_a_database_of_a_newer_version_stays_as_it_is(self):
        with Server(data=self.folder / "data") as server:
            server.create("sim: reply Hi.")
        file = self.folder / "data/agentrouter.db"
        with sqlite3.connect(file) as database:
            database.execute("pragma user_version = 9999")
        database.close()
        reseal(file)
        done = self.start("--listen", "127.0.0.1:0", "--data", str(self.folder / "data"), "--sim")
        self.says(done, 1, "newer", "9999")
        with sqlite3.connect(file) as database:
            self.assertEqual(database.execute("pragma user_version").fetchone(), (9999,))
        database.close()

    def test_a_database_that_is_none(self):
        (self.folder / "data").mkdir()
        (self.folder / "data/agentrouter.db").write_bytes(b"not a database at all" * 1000)
        self.says(self.start("--listen", "127.0.0.1:0", "--data", str(self.folder / "data"), "--sim"), 1, "is not a database")


class Stopping(Case):
    def test_server_json_is_private_and_goes_with_the_server(self):
        with Server() as server:
            file = server.data / "server.json"
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
            said = json.loads(file.read_text())
            self.assertEqual((said["url"], said["pid"]), (server.url, server.pid))
            self.assertEqual(server.stop(), 0)
            self.assertFalse(file.exists())

    def test_a_key_is_made_when_none_is_given(self):
        with Server(env={"AGENTROUTER_API_KEY": ""}) as server:
            file = server.data / "api_key"
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
            self.assertEqual(server.request("GET", "/v1/runs", key=file.read_text().strip())[0], 200)
            self.assertEqual(server.request("GET", "/v1/runs")[0], 401)

    def test_sigterm_with_live_streams_and_a_half_sent_request(self):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server:
            run = server.create("sim: hang")["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.started", 30)
            with server.follow(run) as stream, socket.create_connection((server.host, int(server.port))) as half:
                next(stream.read(20))
                half.sendall(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Le")
                begun = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(20), 0)
                took = time.monotonic() - begun
            self.assertLess(took, 5)
            print(f"\n  SIGTERM with a live stream: {took:.2f} s", flush=True)
            server.stop()
            server.start()  # The run went on without a server.
            self.assertEqual(server.run(run)["status"], "running")
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            self.assertEqual(server.finish(run, 30)[0]["status"], "cancelled")


if __name__ == "__main__":
    main()
