"""Requests made from the wire document: valid ones, ones at the limits, and ones with something wrong, in every parameter, header and body
field. What is right and what is wrong is the judge's to say (contract.py), so a request needs no expectation of its own.

Case `index` of `seed` is always the same request; ids of the server's runs are put in by place, not by value. What a request would use up
(a run to cancel, a conversation to continue or to close) is made for it where `things["makes_subjects"]` says so.
"""
import base64
import json
import random
import shlex
import socket
import time
import urllib.parse

import schema as schemas
from contract import contract
from http_bytes import Cut, Exchange, read_response

WORDS = ["", "0", "1", "-1", "active", "true", "null", "\u00e9", "\U0001f600", "a b", "../..", "%00", "%zz", "'\"<>&;", "x" * 300, "\u202e", "\u00a0", "\ufeff", "1e2",
         "0x10", " 7 ", "1.5", "NaN", "Infinity", "9007199254740991", "9007199254740993", "99999999999999999999", "+5", "--5", "1e400", "2026-01-05T09:30:00.000Z", "?#"]
TEXTS = ["x", "caf\u00e9 \U0001f600", "\u0001\u001f", "line\nline\ttab", "\u00a0x\ufeff", "\u202eright to left", "\\\"'`$(id)", "\u2028", "%s%n{}"]
ODD_TEXTS = ["", " ", "\u00a0\ufeff", "\0", "a\0b", "\ud800", "x\udfffy"]
ODD_VALUES = [None, True, False, 0, -1, 1, 1.5, 5.0, 1e300, 2**53, 2**63, 2**64, -(2**63) - 1, "", "x", "0", [], [1], {}, {"a": 1}, [[]], "\0", "\ud800"]
RAW_BODIES = [b"", b"  \r\n\t", b"{", b"}", b"[", b"nul", b"{\"task\":\"x\"", b"{\"task\":\"x\"}{}", b"{'task':'x'}", b"\xff\xfe", b"{\"task\":\"\xc3\"}", b"\x00", b"\xef\xbb\xbf{\"task\":\"x\"}",
              b'{"task":"x","metadata":{"n":1e999}}', b'{"task":"x","metadata":{"n":-0.0}}', b'{"task":"x","metadata":{"n":NaN}}', b'{"task":"\\ud800"}', b'{"task":"\\ud83d\\ude00"}',
              b'{"task":"\\u0000"}', b'{"task":"\\x41"}', b'{"task":"x",}', b'{"task":"a\nb"}', b'{"task" "x"}', b"//c\n{}", b'"text"', b"7", b"[]", b"null",
              b'{"task":"x","metadata":' + b"[" * 3000 + b"]" * 3000 + b"}", b'{"task":"x","metadata":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
              *(b'{"task":"x","metadata":' + b'{"a":' * depth + b"[]" + b"}" * depth + b"}" for depth in (61, 62, 63)),
              b'{"task":"x","metadata":{"n":123456789012345678901234567890}}']
KINDS = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;", " application/json "]
ODD_KINDS = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data; boundary=x", "application/json, text/plain", ";", "json"]
ACCEPTS = ["application/json", "application/problem+json", "*/*", "text/event-stream", "application/problem+json;q=0.1, application/json", ";;;", "text/html", "application/*;q=0"]
# Operations that few of the runs at hand would accept, and the run that would: queued, or cancelled and so with a conversation to continue.
SUBJECTS = {"/v1/runs/{runId}/cancel": "queued", "/v1/runs/{runId}/close": "ended", "/v1/runs/{runId}/messages": "ended", "/v1/runs/{runId}": "ended"}
SUBJECT = "{subject}"  # stands for that run in a target
UNKNOWN_ID = "run_00000000-0000-4000-8000-000000000000"


def text_for(pattern, rng):
    """A text that fits one of the document's patterns for requests."""
    known = {"^[A-Za-z0-9._:/-]+$": lambda n: "".join(rng.choice("abzAZ09._:/-") for _ in range(n)),
             "^sha256:.+$": lambda n: ("sha256:" + "ab01" * 64)[:max(n, 8)],
             "^/": lambda n: "/" + "d" * min(n - 1, 30),
             r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$": lambda n: rng.choice(["2026-01-05T09:30:00Z", "2026-02-30T09:30:00.5Z", "2026-01-05t23:59:59+02:00"]),
             r"^(?!\.{1,2}(/|$))[^/\x00]+(/(?!\.{1,2}(/|$))[^/\x00]+)*$": lambda n: rng.choice(["a.txt", "a", "deep/er/x", "...", "a b/\u00e9", "x" * 300, "a/" * 100 + "b"]),
             r"^((?!\.{1,2}(/|$))[^/\x00]+(/(?!\.{1,2}(/|$))[^/\x00]+)*/?)?$": lambda n: rng.choice(["", "a/", *["a.txt", "a", "deep/er/x", "...", "a b/\u00e9", "x" * 300, "a/" * 100 + "b"]]),
             r"^\s*[A-Za-z0-9_][A-Za-z0-9._/-]*\s*$": lambda n: rng.choice(["main", "agentrouter/x-1", "a.b/c_d", "x..y", "x.lock"]),
             r"^[^<>\x00-\x1f\x7f]+$": lambda n: "n" * n,
             "^[A-Za-z0-9_-]+$": lambda n: "".join(rng.choice("abzAZ09_-") for _ in range(n)),
             "^[a-z0-9_-]+$": lambda n: rng.choice(["observe", "ask-writes", "ask-all", "ci-safe", "locked", "".join(rng.choice("abz09_-") for _ in range(n))]),
             "^[a-z0-9_-][a-z0-9._-]*$": lambda n: "".join(rng.choice("abz09._-") for _ in range(n)).lstrip(".") or "x",
             "^[a-z0-9][a-z0-9_-]{0,63}$": lambda n: rng.choice(["default", "team-a", "".join(rng.choice("abz09") for _ in range(max(1, min(n, 64))))]),
             **{pattern: lambda n: "".join(rng.choice("abzAZ09._-") for _ in range(max(1, min(n, 64))))
                for pattern in ("^[A-Za-z0-9._-]{1,64}$", "^[A-Za-z0-9._-]{1,128}$", "^[A-Za-z0-9._/-]{1,64}$")},
             r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$": lambda n: rng.choice(["2027-01-05T09:30:00.000Z", "2126-12-31T23:59:59.999Z"]),
             "^[!-~]+$": lambda n: "".join(rng.choice("abc019-_~!") for _ in range(max(n, 1))),
             "^[ -~]*$": lambda n: "".join(rng.choice("abc019-_ ~!") for _ in range(n))}
    return known[pattern]


class Maker:
    """Makes one request out of an operation."""

    def __init__(self, rng, things):
        self.rng, self.things = rng, things
        self.digest = None  # of the action that the path names, where it names one

    def chance(self, share):
        return self.rng.random() < share

    # Values of schemas.
    def value(self, schema, big=False):
        rng = self.rng
        for key in ("const", "enum"):
            if key in schema:
                return schema[key] if key == "const" else rng.choice(schema[key])
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.value(rng.choice(schema[key]), big)
        kind = schema.get("type")
        if kind == "string":
            return self.text(schema, big)
        if kind == "integer":
            low, high = schema.get("minimum", -(2**40)), schema.get("maximum", 2**40)
            return rng.choice([low, high, min(low + 1, high), max(high - 1, low), rng.randint(low, high)])
        if kind == "number":
            low, high = schema.get("minimum", -1e9), schema.get("maximum", 1e9)
            return rng.choice([low, high, round(rng.uniform(low, high), 3)])
        if kind == "boolean":
            return self.chance(0.5)
        if kind == "object":
            return self.object(schema, big)
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(rng.randint(0, 3))]
        return self.anything(2)

    def text(self, schema, big):
        rng, low, high = self.rng, schema.get("minLength", 0), schema.get("maxLength", 4000)
        lengths = [low, low + 1, min(high, low + rng.randint(0, 40))]
        if big or high <= 2000:
            lengths += [high, high - 1]
        length = rng.choice(lengths)
        if "pattern" in schema:
            result = text_for(schema["pattern"], rng)(length)
        elif schema.get("x-trimmed") or schema.get("maxLength"):
            fill = rng.choice(TEXTS) + "x" * length
            result = "a" + fill[1:length] if length else ""
        else:
            result = rng.choice(WORDS)
        return rng.choice(["", " ", "\u00a0", "\ufeff\n"]) + result + rng.choice(["", " ", "\t"]) if schema.get("x-trimmed") and self.chance(0.3) else result

    def object(self, schema, big):
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not properties and schema.get("additionalProperties", True) is True:
            return {f"k{i}": self.anything(3) for i in range(self.rng.randint(0, 4))}
        result = {name: self.value(one, big) for name, one in properties.items() if name in required or self.chance(0.4)}
        if isinstance(schema.get("additionalProperties"), dict):
            for i in range(self.rng.choice([0, 1, 3, schema.get("maxProperties", 3)])):
                result[f"key{i}"] = self.value(schema["additionalProperties"], big)
        return result

    def anything(self, depth):
        if depth and self.chance(0.3):
            return [self.anything(depth - 1) for _ in range(self.rng.randint(0, 3))]
        if depth and self.chance(0.3):
            return {self.rng.choice(TEXTS) + str(i): self.anything(depth - 1) for i in range(self.rng.randint(0, 3))}
        return self.rng.choice([None, True, 0, -1.25, 10**15, "", *TEXTS])

    def spoiled(self, value, schema):
        """The value with one thing changed somewhere, most often for the worse."""
        rng = self.rng
        if isinstance(value, dict) and value and self.chance(0.6):
            name = rng.choice(sorted(value))
            inner = schema.get("properties", {}).get(name, {})
            return {**value, name: self.spoiled(value[name], inner)}
        if isinstance(value, dict):
            how = rng.randrange(4)
            if how == 0 and value:
                gone = rng.choice(sorted(value))
                return {k: v for k, v in value.items() if k != gone}
            if how == 1:
                return {**value, rng.choice(["surprise", "__proto__", "", "Task", "source", "model", "tools", "repoUrl", "\0", "\ud800"]): rng.choice(ODD_VALUES)}
        if isinstance(value, str) and self.chance(0.6):
            long = "y" * (schema.get("maxLength", 100) + 1)
            return rng.choice([*ODD_TEXTS, value + "\0", long, "\U0001f600" * (schema.get("maxLength", 100) // 2 + 1) if schema.get("maxLength", 0) < 5000 else long, value.upper() + "!"])
        if isinstance(value, int) and not isinstance(value, bool) and self.chance(0.6):
            return rng.choice([schema.get("minimum", 0) - 1, schema.get("maximum", 0) + 1, float(value), value + 0.5, str(value), 10**30])
        return rng.choice(ODD_VALUES)

    # Parts of a request.
    def path(self, operation):
        ids = {}
        if self.things["questions"] and "{actionId}" in operation.segments and self.chance(0.5):
            ids["{runId}"], ids["{actionId}"], self.digest = self.rng.choice(self.things["questions"])
        elif self.things["makes_subjects"] and operation.template in SUBJECTS and self.chance(0.1):
            ids["{runId}"] = SUBJECT
        if self.deletes(operation.method, operation) and self.things["makes_subjects"] and self.chance(0.5):
            ids["{runId}"] = SUBJECT
        return "/" + "/".join(ids.get(s) or self.id(s[1:-1]) if s.startswith("{") else s for s in operation.segments)

    @staticmethod
    def deletes(method, operation):
        return method.upper() == "DELETE" and operation.template == "/v1/runs/{runId}"

    def id(self, name):
        known = self.things[name]
        if known and self.chance(0.75):
            return self.rng.choice(known)
        raw = self.rng.choice(["x", UNKNOWN_ID, "run_", "a" * 256, "a" * 257, "\u00e9" * 128, "\u00e9" * 129, "..", ".", "a/b", "a b", "'; drop table runs; --", "\0", "a\0", "\u202e", "%", "?", "#"])
        odd = self.rng.choice(["%ff", "%c3", "%ed%a0%80"]) if self.chance(0.1) else ""
        return urllib.parse.quote(raw, safe="") + odd

    def query(self, operation):
        pairs = []
        for parameter in operation.parameters:
            if parameter["in"] != "query" or self.chance(0.5):
                continue
            name = parameter["name"].replace("{key}", self.rng.choice(["a", "key0", "\u00e9", ""]))
            known = self.things.get("query:" + name)
            value = self.rng.choice(known) if known and self.chance(0.5) else self.value(parameter["schema"]) if self.chance(0.6) else self.rng.choice(WORDS)
            if name == "waitSeconds":  # a wait in full would hold up the fuzz
                value = self.rng.choice(["0", "1", "31", "-1", "0.5", "", "abc"])
            pairs.append((name, str(value)))
            if self.chance(0.03):
                pairs.append((name, self.rng.choice(WORDS)))
        if self.chance(0.05):
            pairs.append((self.rng.choice(["surprise", "Limit", "", "tag", "limit[]"]), self.rng.choice(WORDS)))
        self.rng.shuffle(pairs)
        text = "&".join(f"{urllib.parse.quote(k, safe='.')}={urllib.parse.quote(v, safe='')}" for k, v in pairs)
        return "?" + text if text else ""

    def headers(self, operation):
        found = []
        for parameter in operation.parameters:
            if parameter["in"] != "header" or self.chance(0.6):
                continue
            value = self.value(parameter["schema"]) if self.chance(0.6) else self.rng.choice([w for w in WORDS if w.isprintable() or not w])
            if parameter["name"] == "Idempotency-Key" and self.chance(0.5):
                value = "key-" + str(self.rng.randint(0, 40))
            if parameter["name"] == "X-Workspace-Id" and self.chance(0.8):
                value = "default"
            value = value.encode("utf-8").decode("latin-1").strip(" \t")
            found.append((parameter["name"], "".join(c for c in value if c >= " " and c != "\x7f")))
        if self.chance(0.15) and not any(k == "Accept" for k, _ in found):
            found.append(("Accept", self.rng.choice(ACCEPTS)))
        return found

    def body(self, operation):
        """(bytes, Content-Type)"""
        schema = operation.body[1].schema
        kind = self.rng.choice(KINDS) if self.chance(0.97) else self.rng.choice(ODD_KINDS)
        if self.chance(0.12):
            return self.rng.choice(RAW_BODIES), kind
        value = self.value(schema, big=self.chance(0.02))
        if self.things["questions"] and isinstance(value, dict) and "actionDigest" in value and self.chance(0.8 if self.digest else 0.5):
            value["actionDigest"] = self.digest or self.rng.choice(self.things["questions"])[2]
        if self.chance(0.5):
            value = self.spoiled(value, schema)
        if isinstance(value, dict) and self.chance(0.004):
            value["metadata"] = {"big": "z" * self.rng.choice([1 << 20, (1 << 20) - 100, 900_000])}
        text = json.dumps(value, ensure_ascii=self.chance(0.5))
        return text.encode("utf-8", "surrogatepass"), kind

    def request(self, operations):
        """(method, target, headers, body, operation or None)"""
        operation = self.rng.choice(operations)
        path, method = self.path(operation), operation.method.upper()
        headers = [("Authorization", "Bearer " + self.things["key"])] if self.chance(0.98) else self.rng.choice([[], [("Authorization", "Bearer wrong")], [("Authorization", "")]])
        if self.chance(0.02):
            method = self.rng.choice(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X-ODD"])
        if self.chance(0.02):
            path += self.rng.choice(["/", "/x", "//", "/..", "%2f", ";x"])
        if self.deletes(method, operation) and any(run in path for run in self.things["runId"]):
            path = path.replace(path.split("/")[3], UNKNOWN_ID)  # the others look for the runs that are known
        body, kind = b"", None
        if operation.body is not None and self.chance(0.97):
            body, kind = self.body(operation)
        elif method in ("GET", "HEAD") and self.chance(0.02):
            body, kind = b"{}", "application/json"
        headers += self.headers(operation)
        if kind is not None:
            headers.append(("Content-Type", kind))
        if body or method not in ("GET", "HEAD"):
            headers.append(("Content-Length", str(len(body))))
        return method, path + self.query(operation), headers, body


class Peer:
    """One keep-alive connection, opened anew where the server has closed it."""

    def __init__(self, host, port, patience=30):
        self.address, self.patience, self.socket, self.buffer = (host, int(port)), patience, None, b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def ask(self, method, target, headers, body):
        head = f"{method} {target} HTTP/1.1\r\nHost: {self.address[0]}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n"
        for attempt in (0, 1):
            fresh = self.socket is None
            if fresh:
                self.socket = socket.create_connection(self.address, timeout=self.patience)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._send(head.encode("latin-1") + body)
                status, reply_headers, reply, cut = self._read(method)
                break
            except ConnectionError:
                # A kept connection may be closed at any time between two requests.
                self.close()
                if fresh or attempt:
                    raise
        if cut or any(k.lower() == "connection" and v.lower() == "close" for k, v in reply_headers):
            self.close()
        return Exchange(method, target, headers, body, status, reply_headers, reply, cut)

    def _send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # The answer to a request that is too large may be there already.
            if len(data) < 1 << 19:
                raise

    def _read(self, method):
        end = time.monotonic() + self.patience
        while True:
            try:
                status, headers, reply, rest, cut = read_response(self.buffer, method)
                live = any(k.lower() == "content-type" and v.startswith("text/event-stream") for k, v in headers)
                if not cut or live and reply:
                    self.buffer = rest
                    return status, headers, reply, cut
            except Cut:
                pass
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            got = self.socket.recv(1 << 18)
            if not got:
                raise ConnectionResetError("closed before the reply")
            self.buffer += got


def as_curl(exchange, url):
    parts = ["curl", "-i", "--path-as-is", "-X", exchange.method, url + exchange.target]
    for name, value in exchange.headers:
        if name != "Content-Length":
            parts += ["-H", f"{name}: {value}"]
    text = " ".join(map(shlex.quote, parts))
    return f"echo {base64.b64encode(exchange.body).decode()} | base64 -d | {text} --data-binary @-" if exchange.body else text


def verdict(exchange, things):
    """What is wrong with this reply, over what the document says: nothing, one line each."""
    found = list(contract().violations(exchange))
    if exchange.status >= 500 and exchange.status != 503:
        found.append(f"status {exchange.status}")
    path = exchange.target.partition("?")[0]
    operation, _ = contract().find(exchange.method, path)
    if operation is None or exchange.status in (401, 503):
        return found
    # After the key comes the workspace, before all else; the header may come twice.
    workspaces = [value.strip() for name, value in exchange.headers if name.lower() == "x-workspace-id"]
    knows_workspaces = any(one["name"].lower() == "x-workspace-id" for one in operation.parameters)
    if knows_workspaces and (any(value not in things["workspaceId"] for value in workspaces) or len(workspaces) > 1):
        return found  # some are made on the way
    problems = contract().request_problems(operation, exchange)
    if problems and exchange.status not in (400, 413, 415):
        found.append(f"invalid ({problems[0]}), but answered {exchange.status}")
    refused = exchange.status in (400, 413, 415) and b'"workspace_' not in exchange.reply and b'"mcp_server_unknown"' not in exchange.reply and not any(b'"%s"' % code in exchange.reply for code in (b"policy_unknown", b"image_unknown", b"isolation_unavailable", b"secret_unknown")) and exchange.method != "HEAD"
    if refused and not problems and not contract().undecided(operation, exchange):
        found.append(f"valid, but refused with {exchange.status}: {exchange.reply[:200]!r}")
    run = path.split("/")[3] if path.startswith("/v1/runs/") else None
    if not problems and run in things["runId"] and b'"run_not_found"' in exchange.reply and "artifact" not in operation.template:
        found.append("a known run was not found")
    return found


def make_subject(peer, things, kind):
    """A new run: queued, or cancelled at once."""
    headers = [("Authorization", "Bearer " + things["key"]), ("Content-Type", "application/json")]
    run = json.loads(peer.ask("POST", "/v1/runs", [*headers, ("Content-Length", "12")], b'{"task":"x"}').reply)["id"]
    if kind == "ended":
        peer.ask("POST", f"/v1/runs/{run}/cancel", [*headers, ("Content-Length", "0")], b"")
    return run


def count(tally, exchange):
    """Adds the exchange to what was sent and what was accepted of each operation: {operation: [sent, accepted]}."""
    operation, _ = contract().find(exchange.method, exchange.target.partition("?")[0])
    if operation is not None:
        one = tally.setdefault(operation.name, [0, 0])
        one[0] += 1
        # A cancel of what has ended is answered and changes nothing.
        one[1] += exchange.status < 300 and (not operation.template.endswith("/cancel") or b'"status":"cancelling"' in exchange.reply)


def fuzz(host, port, things, seed, indexes):
    """Sends the cases; gives (statuses, violations as lines, what was accepted by operation)."""
    operations, peer, found, statuses, tally = contract().operations, Peer(host, port), [], {}, {}
    for index in indexes:
        method, target, headers, body = Maker(random.Random(f"{seed}/{index}"), things).request(operations)
        if SUBJECT in target:
            kind = next(kind for template, kind in SUBJECTS.items() if target.startswith(template.replace("{runId}", SUBJECT)))
            target = target.replace(SUBJECT, make_subject(peer, things, kind))
        try:
            exchange = peer.ask(method, target, headers, body)
        except (ConnectionError, TimeoutError) as error:
            exchange = Exchange(method, target, headers, body, 0, [], b"")
            lines = [f"no reply: {error!r}"]
            peer.close()
        else:
            lines = verdict(exchange, things)
        statuses[exchange.status] = statuses.get(exchange.status, 0) + 1
        count(tally, exchange)
        if lines:
            found.append(f"--seed {seed} --only {index}: {'; '.join(lines)[:1500]}\n  {as_curl(exchange, f'http://{host}:{port}')[:1500]}")
            if len(found) >= 20:
                break
    peer.close()
    return statuses, found, tally
