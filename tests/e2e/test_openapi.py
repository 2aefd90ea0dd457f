"""openapi/openapi.yaml is sound, it is what the server does, and the judge that every suite uses sees each kind of deviation."""
import contextlib
import copy
import http.client
import http.server
import json
import re
import subprocess
import sys
import tempfile
import threading

import jsonschema

import schema as schemas
from contract import METHODS, Contract, load_document
from harness import KEY, ROOT, Case, Server, main
from http_bytes import Exchange, exchanges_of
from openapi_shape import shape_problems
from recorded import Recorded

RUN = "run_0b6f2f0e-8f0a-4a53-9c1b-5a1c3f5f2d11"
REQUEST_ID = "req_2c9f4f0e-6a57-4d7c-9d0a-3f0a5c6b7d88"


def walk(node, path=()):
    yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield from walk(value, (*path, key))


def examples_of(node):
    if "example" in node:
        yield node["example"]
    for entry in node.get("examples", {}).values():
        yield entry["value"]


class Document(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.document = load_document()
        cls.contract = Contract(cls.document)

    def test_its_shape_is_that_of_openapi(self):
        self.assertEqual(shape_problems(self.document), [])
        broken = copy.deepcopy(self.document)
        broken["paths"]["/v1/runs"]["get"]["surprise"] = 1
        del broken["info"]["title"]
        self.assertEqual(len(shape_problems(broken)), 2)

    def test_every_schema_is_json_schema(self):
        for path, node in walk(self.document):
            if path and path[-1] == "schema" or path[:2] == ("components", "schemas") and len(path) == 3:
                jsonschema.Draft202012Validator.check_schema(node)

    def test_every_reference_leads_somewhere_and_every_component_is_used(self):
        references = {node["$ref"] for _, node in walk(self.document) if isinstance(node, dict) and isinstance(node.get("$ref"), str)}
        schemas.resolve(self.document)  # raises KeyError where one leads nowhere
        mapped = {v for _, node in walk(self.document) if isinstance(node, dict) and "discriminator" in node
                  for v in node["discriminator"]["mapping"].values()}
        unused = [f"#/components/{kind}/{name}" for kind, table in self.document["components"].items() if kind != "securitySchemes"
                  for name in table if f"#/components/{kind}/{name}" not in references | mapped]
        self.assertEqual(unused, ["#/components/schemas/Issue"])  # of details.issues: read by the judge

    def test_every_request_and_reply_has_an_example_and_it_fits(self):
        for template, item in self.contract.document["paths"].items():
            for method in METHODS:
                operation = item.get(method)
                if not operation:
                    continue
                places = [(f"{status}", media) for status, response in operation["responses"].items() for kind, media in response.get("content", {}).items()
                          if media["schema"].get("format") != "binary"]
                places += [("request", media) for kind, media in operation.get("requestBody", {}).get("content", {}).items() if kind != "application/octet-stream"]
                for place, media in places:
                    with self.subTest(operation=f"{method} {template}", place=place):
                        examples = list(examples_of(media))
                        self.assertTrue(examples)
                        for example in examples:
                            self.assertEqual(schemas.problems(schemas.Validator(media["schema"]), example), [])

    def test_every_parameter_example_fits(self):
        for path, node in walk(self.contract.document["paths"]):
            if isinstance(node, dict) and node.get("in") in ("path", "query", "header"):
                for example in examples_of(node):
                    self.assertEqual(schemas.problems(schemas.Validator(node["schema"]), example), [], path)

    def test_paths_and_their_parameters_agree(self):
        names = []
        for template, item in self.contract.document["paths"].items():
            for method in METHODS:
                if method in item:
                    names.append(item[method]["operationId"])
                    parameters = item.get("parameters", []) + item[method].get("parameters", [])
                    wanted = {p["name"] for p in parameters if p["in"] == "path"}
                    self.assertEqual(wanted, set(re.findall(r"{(\w+)}", template)))
                    self.assertTrue(all(p.get("required") for p in parameters if p["in"] == "path"))
            self.assertEqual("get" in item, "head" in item, template)
        self.assertEqual(len(names), len(set(names)))

    def test_every_code_of_it_is_explained_and_the_other_way_round(self):
        told = set()
        replies = (ROOT / "docs/errors.md").read_text().split("## Failure codes")[0]
        for line in replies.splitlines():
            if re.match(r"\| \d{3}", line):
                told |= set(re.findall(r"`([a-z_]+)`", line.split("|")[2]))
        written = {code for path, node in walk(self.document["components"]["responses"])
                   if path[-2:] == ("code", "enum") for code in node}
        self.assertEqual(written, told)

    def test_every_route_of_the_server_is_in_it_and_the_other_way_round(self):
        source = "".join(p.read_text() for p in sorted((ROOT / "src/api").glob("*.cpp")) if not p.name.endswith("_test.cpp"))
        table = {(method, "/" + "/".join(re.findall(r'"([^"]+)"', path))) for method, path in
                 re.findall(r'\{"(GET|POST|PUT|PATCH|DELETE)",\s*\{((?:\s*"[^"]+",?)+)\},\s*&Api::', source)}
        self.assertTrue(table)
        kinds = {"runId": "run", "actionId": "item", "artifactId": "item", "webhookId": "item", "deliveryId": "part", "ruleId": "part",
                 "keyId": "item", "workspaceId": "item", "nodeId": "item", "provider": "item", "log": "item"}
        written = {(m.upper(), re.sub(r"{(\w+Id|provider|log)}", lambda name: "{" + kinds[name[1]] + "}", template))
                   for template, item in self.document["paths"].items() for m in METHODS if m in item and m != "head"}
        self.assertEqual(written, table)


def exchange(method="GET", target=f"/v1/runs/{RUN}", status=200, reply=None, kind="application/json; charset=utf-8", headers=(), drop=(), request=(), body=b"", cut=False):
    fields = {"X-Request-Id": REQUEST_ID, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Type": kind, **({"Vary": "Accept"} if status >= 400 else {}), **dict(headers)}
    data = reply if isinstance(reply, bytes) else b"" if reply is None else json.dumps(reply).encode()
    return Exchange(method, target, [("Content-Type", "application/json"), *request], body, status,
                    [(k, v) for k, v in fields.items() if k not in drop and v is not None], data, cut)


class Judge(Case):
    """A judge that finds nothing would pass everything: each kind of deviation is shown to it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.contract = Contract()
        replies = cls.contract.document["paths"]
        cls.run_reply = replies["/v1/runs/{runId}"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        cls.page = replies["/v1/runs/{runId}/events"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        cls.missing = replies["/v1/runs/{runId}"]["get"]["responses"]["404"]["content"]["application/json"]["example"]

    def fine(self, one):
        self.assertEqual(self.contract.violations(one), [])

    def wrong(self, one, words):
        found = self.contract.violations(one)
        self.assertTrue(found, one)
        self.assertIn(words, " ".join(found))

    def changed(self, **fields):
        return {k: v for k, v in {**self.run_reply, **fields}.items() if v is not ...}

    def test_a_documented_exchange_is_fine(self):
        self.fine(exchange(reply=self.run_reply))
        self.fine(exchange(status=404, reply=self.missing))
        self.fine(exchange(target=f"/v1/runs/{RUN}/events", reply=self.page))
        self.fine(exchange(method="HEAD", reply=b""))

    def test_status_header_and_content_type(self):
        self.wrong(exchange(status=202, reply=self.run_reply), "undocumented status")
        self.wrong(exchange(status=409, reply=self.missing), "undocumented status")
        self.wrong(exchange(reply=self.run_reply, headers={"X-Surprise": "1"}), "undocumented header")
        self.wrong(exchange(reply=self.run_reply, drop=("X-Request-Id",)), "header x-request-id is missing")
        self.wrong(exchange(reply=self.run_reply, headers={"X-Request-Id": "a b"}), "header x-request-id")
        self.wrong(exchange(reply=self.run_reply, headers={"Cache-Control": "public"}), "header cache-control")
        self.wrong(exchange(reply=self.run_reply, kind="text/html"), "undocumented content type")
        self.wrong(exchange(reply=self.run_reply, kind=None), "undocumented content type")
        self.wrong(exchange(status=503, reply={"error": {"code": "unavailable", "message": "x", "details": {}}}), "header retry-after is missing")

    def test_properties_and_values(self):
        self.wrong(exchange(reply=self.changed(surprise=1)), "surprise")
        self.wrong(exchange(reply=self.changed(id=...)), "'id' is a required property")
        self.wrong(exchange(reply=self.changed(status="odd")), "status")
        self.wrong(exchange(reply=self.changed(lastEventSeq="1")), "lastEventSeq")
        self.wrong(exchange(reply=self.changed(lastEventSeq=-1)), "lastEventSeq")
        self.wrong(exchange(reply=self.changed(queuedAt="yesterday")), "queuedAt")
        self.wrong(exchange(reply=self.changed(runtime={"kind": "codex", "mode": "default", "permissionMode": "plan"})), "permissionMode")
        self.wrong(exchange(reply=self.changed(sessionId=7)), "sessionId")
        self.wrong(exchange(reply=b"{"), "not JSON")
        self.wrong(exchange(method="HEAD", reply=b"{}"), "a body where there is none")

    def test_items_of_a_list_are_looked_at_each_time_that_they_differ(self):
        page = copy.deepcopy(self.page)
        page["items"][0]["payload"]["surprise"] = 1
        for _ in range(2):
            self.wrong(exchange(target=f"/v1/runs/{RUN}/events", reply=page), "surprise")
        page = copy.deepcopy(self.page)
        page["items"][1]["type"] = "agent.surprise"
        self.wrong(exchange(target=f"/v1/runs/{RUN}/events", reply=page), "type is 'agent.surprise'")

    def test_error_codes_and_details(self):
        def error(code, **more):
            return {"error": {"code": code, "message": "words", **more}}
        self.wrong(exchange(status=404, reply=error("artifact_not_found", details={})), "artifact_not_found")
        self.wrong(exchange(status=404, reply=error("run_not_found")), "no details")
        self.wrong(exchange(status=400, reply=error("bad_request", details={})), "details beside bad_request")
        self.wrong(exchange(status=400, target="/v1/runs?limit=0", reply=error("validation_error", details={})), "without issues")
        self.wrong(exchange(status=404, reply={"message": "Route GET:/x not found"}), "error")
        self.wrong(exchange(status=404, reply=error("run_not_found", details={}), kind="application/problem+json"), "reply")
        problem = {"type": "urn:agentrouter:error:run_not_found", "title": "words", "status": 404, "detail": "words", "code": "run_not_found", "details": {}}
        self.fine(exchange(status=404, reply=problem, kind="application/problem+json"))
        self.wrong(exchange(status=404, reply={**problem, "status": 400}, kind="application/problem+json"), "status")
        self.wrong(exchange(status=404, reply={**problem, "surprise": 400}, kind="application/problem+json"), "surprise")

    def test_requests_that_are_served_or_refused_wrongly(self):
        self.wrong(exchange(target="/v1/runs?limit=0", reply={"items": []}), "served although query limit")
        self.wrong(exchange(target="/v1/runs?limit=1&limit=1", reply={"items": []}), "served although query limit twice")
        self.wrong(exchange(target="/v1/runs?status=odd", reply={"items": []}), "served although query status")
        location = {"Location": "/v1/runs/" + RUN}
        queued = self.changed(status="queued", failure=..., startedAt=..., completedAt=..., sessionId=None)
        self.fine(exchange("POST", "/v1/runs", 201, queued, headers=location, body=b'{"task":"x"}'))
        for body in (b"{}", b'{"task":""}', b'{"task":7}', b'{"task":"x","more":1}', b'{"task":"x","runtime":{"kind":"codex","permissionMode":"plan"}}', b"{"):
            self.wrong(exchange("POST", "/v1/runs", 201, queued, headers=location, body=body), "served although body")
        refusal = {"error": {"code": "validation_error", "message": "words", "details": {"issues": [{"code": "custom", "path": [], "message": "words"}]}}}
        self.fine(exchange("POST", "/v1/runs", 400, refusal, body=b"{}"))
        self.wrong(exchange("POST", "/v1/runs", 400, refusal, body=b'{"task":"x"}'), "refused although")
        self.fine(exchange(target="/v1/runs?limit=1e2", reply={"items": []}))
        self.wrong(exchange(target="/v1/runs?limit=0x10", status=400, reply=refusal), "refused although")

    def test_streams(self):
        event = self.page["items"][0]
        frame = f"id: 1\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-transform"}

        def stream(text, **more):
            return exchange(target=f"/v1/runs/{RUN}/stream", kind="text/event-stream; charset=utf-8", headers=headers, reply=text.encode(), **more)
        self.fine(stream("retry: 1000\n\n:\n\n" + frame))
        self.fine(stream("event: heartbeat\ndata: {}\n\n"))
        self.fine(stream(frame + "id: 2\nev", cut=True))
        self.wrong(stream(frame + "id: 2\nev"), "ends within a frame")
        self.wrong(stream(frame.replace("\n", "\r\n")), "carriage return")
        self.wrong(stream(frame.replace("id: 1", "id: 2")), "whose id or event")
        self.wrong(stream(frame + frame), "sequence 1 behind 1")
        self.wrong(stream(frame.replace('"workerId"', '"worker"')), "workerId")

    def test_what_has_no_route(self):
        def error(code):
            return {"error": {"code": code, "message": "words", "details": {}}}
        self.fine(exchange(target="/v1/sessions", status=404, reply=error("not_found")))
        self.fine(exchange("DELETE", "/v1/runs", 405, error("method_not_allowed"), headers={"Allow": "GET, HEAD, POST"}))
        self.wrong(exchange("DELETE", "/v1/runs", 405, error("method_not_allowed")), "header allow is missing")
        self.wrong(exchange(target="/v1/sessions", reply={"ok": True}), "undocumented status")

    def test_bytes_of_a_connection_become_exchanges(self):
        requests = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /b HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n"
        replies = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbb\r\n"
                   b"0\r\n\r\nHTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\nc")
        got = [(e.method, e.target, e.body, e.status, e.reply) for e in exchanges_of(requests, replies)]
        self.assertEqual(got, [("POST", "/a", b"{}", 200, b"a"), ("GET", "/b", b"", 200, b"bb"), (None, "", b"", 400, b"c")])


    def test_what_only_the_server_can_tell_may_be_refused(self):
        refusal = {"error": {"code": "validation_error", "message": "words", "details": {"issues": [{"code": "custom", "path": [], "message": "words"}]}}}
        self.fine(exchange("POST", f"/v1/runs/{RUN}/messages", 400, refusal, body=b'{"message":"x","approvalMode":"auto"}'))
        self.wrong(exchange("POST", f"/v1/runs/{RUN}/messages", 400, refusal, body=b'{"message":"x"}'), "refused although")

    def test_a_request_that_is_wrong_says_so(self):
        def problems(**more):
            return " ".join(self.contract.wrong_request(exchange(**more)))
        self.assertEqual(problems(), "")
        self.assertIn("query limit", problems(target="/v1/runs?limit=0"))
        self.assertIn("no such operation", problems(target="/v1/sessions"))
        self.assertIn("no such operation", problems(method="PUT"))
        self.assertIn("body: ", problems(method="POST", target="/v1/runs", body=b"{}"))


class Fake(http.server.BaseHTTPRequestHandler):
    """A server that keeps the document in GET of a run and where there is no route, and breaks it in everything else."""
    protocol_version = "HTTP/1.1"
    sound = b""
    missing = b'{"error":{"code":"not_found","message":"words","details":{}}}'

    def do_GET(self):
        status, body = {f"/v1/runs/{RUN}": (200, self.sound), "/v1/sessions": (404, self.missing)}.get(self.path, (200, b'{"surprise":1}'))
        self.send_response_only(status)
        for name, value in (("X-Request-Id", REQUEST_ID), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"),
                            ("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body))), *([("Vary", "Accept")] if status == 404 else [])):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def fake_server():
    Fake.sound = json.dumps(Contract().document["paths"]["/v1/runs/{runId}"]["get"]["responses"]["200"]["content"]["application/json"]["example"]).encode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Others(Case):
    """How exchanges of suites in other languages come before the judge: as a file of connections, and through the recorder."""

    def file(self, *connections, least=1):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            for request, response in connections:
                file.write(json.dumps({"request": request.hex(), "response": response.hex(), "cut": False}) + "\n")
            file.flush()
            done = subprocess.run([sys.executable, "-B", ROOT / "tests/support/contract.py", "--at-least", str(least), file.name],
                                  capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    def test_a_file_of_connections(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        head = (f"HTTP/1.1 200 OK\r\nX-Request-Id: {REQUEST_ID}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
                "Content-Type: application/json; charset=utf-8\r\n").encode()
        sound = head + b'Content-Length: 11\r\n\r\n{"ok":true}'
        self.assertEqual(self.file((request, sound)), (0, "1 exchanges, 0 violations\n"))
        code, said = self.file((request, sound), (request, sound.replace(b"true", b"null")))
        self.assertEqual(code, 1)
        self.assertIn("GET /healthz -> 200: reply", said)
        self.assertEqual(self.file(), (1, "0 exchanges, 0 violations\n"))
        self.assertEqual(self.file((request, sound), least=2)[0], 1)

    def through(self, url, *requests, wrong=()):
        recorder = Recorded(url, wrong)
        try:
            for target in requests:
                connection = http.client.HTTPConnection(recorder.url.removeprefix("http://"), timeout=20)
                connection.request("GET", target)
                connection.getresponse().read()
                connection.close()
        finally:
            judged = recorder.stop()
        return judged

    def test_the_recorder(self):
        sound = f"/v1/runs/{RUN}"
        with fake_server() as url:
            self.assertEqual(self.through(url, sound, sound), 2)
            with self.assertRaisesRegex(AssertionError, "0 exchanges"):
                self.through(url)
            with self.assertRaisesRegex(AssertionError, "(?s)surprise.*/v1/sessions: there is no such operation"):
                self.through(url, sound, "/v1/runs", "/v1/sessions")
            self.assertEqual(self.through(url, "/v1/sessions", wrong=["/v1/sessions: there is no such operation"]), 1)
            with self.assertRaisesRegex(AssertionError, "(?s)surprise.*never sent: sessions"):
                self.through(url, "/v1/runs", wrong=["surprise", "sessions"])


class Served(Case):
    """The document against a server: every operation exists, and no other method of its path does."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(args=("--sim", "--role", "api")).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def test_each_path_has_just_the_documented_methods(self):
        for template, item in load_document()["paths"].items():
            path = template.replace("{runId}", RUN).replace("{actionId}", "x").replace("{artifactId}", "y")
            status, headers, _ = self.server.request("TRACE", path)
            self.assertEqual(status, 405, path)
            self.assertEqual({m.strip().lower() for m in headers["allow"].split(",")}, {m for m in METHODS if m in item}, path)

    def test_it_is_served_as_json(self):
        self.assertEqual(self.server.call("GET", "/openapi.json", key=None), load_document())

    def test_what_is_open_needs_no_key_and_everything_else_does(self):
        for template, item in load_document()["paths"].items():
            path = template.replace("{runId}", RUN).replace("{actionId}", "x").replace("{artifactId}", "y")
            for method in METHODS:
                if method in item:
                    status, _, _ = self.server.request(method.upper(), path, key=None)
                    self.assertEqual(status == 401, item[method].get("security") != [], (method, path))


if __name__ == "__main__":
    main()
