"""The wire document (openapi/openapi.yaml) as a judge: is this exchange one that it allows?

`Contract.violations(exchange)` names everything about a reply that the document does not have (status, header, content type, code, property,
value), a request that was served although the document does not allow it, and one that was refused although it does.

python3 tests/support/contract.py [--at-least N] FILE reads connections from FILE, one JSON object a line with `request` and `response` as hex
digits of the bytes that were sent and received, and `cut` when the reader did not wait for the end. Exits 1 when an exchange is not allowed, or
when there are fewer than N (1).
"""
import argparse
import dataclasses
import functools
import json
import pathlib
import re
import sys
import urllib.parse

import yaml

import schema as schemas
from http_bytes import Exchange, exchanges_of

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "openapi/openapi.yaml"
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
# Framing and time belong to the transport; the document describes them once for all.
TRANSPORT = {"date", "content-length", "content-type", "transfer-encoding", "connection"}
MOST_DEPTH = 64


def load_document(path=DOCUMENT):
    return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def lax_integer(text):
    """What the published API makes of a number in a query: JavaScript's Number(), which must be whole. None: not a number."""
    text = schemas.trim(text)
    if not text:
        return 0
    match = re.fullmatch(r"0(?:[xX]([0-9a-fA-F]+)|[oO]([0-7]+)|[bB]([01]+))", text)
    if match:
        value = float(int(match[1], 16) if match[1] else int(match[2], 8) if match[2] else int(match[3], 2))
    elif re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        value = float(text)
    else:
        return None
    return int(value) if abs(value) <= 2**53 - 1 and value == int(value) else None


def bad_text(value):
    """JSON that no UTF-8 text can hold, or that this API never takes: lone surrogates and NUL."""
    if isinstance(value, str):
        return "\0" in value or any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, list):
        return any(map(bad_text, value))
    return isinstance(value, dict) and any(bad_text(k) or bad_text(v) for k, v in value.items())


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def strict_json(data):
    """Raises ValueError for what is not JSON as RFC 8259 has it, or holds what the API never takes."""
    def number(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("a number beyond double")
        return value

    def constant(text):
        raise ValueError(text)

    def whole(text):
        number(text)
        return int(text)

    value = json.loads(data.decode("utf-8"), parse_constant=constant, parse_float=number, parse_int=whole)
    if depth_of(value) > MOST_DEPTH:
        raise ValueError("too deep")
    if bad_text(value):
        raise ValueError("text that the API never takes")
    return value


@dataclasses.dataclass
class Operation:
    method: str
    template: str
    segments: list
    parameters: list
    body: object  # (required, validator) or None
    responses: dict

    @property
    def name(self):
        return f"{self.method.upper()} {self.template}"


class Responses:
    """The replies that an operation may give, with validators made once."""

    def __init__(self, table, contents_of=None):
        self.by_status = {}
        for status, response in table.items():
            content = (contents_of or table).get(status, response).get("content", {})
            self.by_status[int(status)] = {
                "headers": {name.lower(): (value.get("required", False), value["schema"]) for name, value in response.get("headers", {}).items()},
                "content": {kind.lower(): schemas.Validator(media.get("schema", {})) for kind, media in content.items()}}


class Contract:
    def __init__(self, document=None):
        self.source = document or load_document()
        self.document = schemas.resolve(self.source)
        self.event = schemas.Validator(self.document["components"]["schemas"]["RunEvent"])
        self.unrouted = Responses(self.document["x-unrouted-responses"])
        self.operations = []
        for template, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    self.operations.append(self._operation(template, item, method))

    def _operation(self, template, item, method):
        operation = item[method]
        body = None
        # A body of another kind is bytes, of which only the server can tell what they are.
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            media = operation["requestBody"]["content"]["application/json"]
            body = (operation["requestBody"].get("required", False), schemas.Validator(media["schema"]))
        sibling = item.get("get", {}).get("responses") if method == "head" else None
        return Operation(method, template, template.split("/")[1:], item.get("parameters", []) + operation.get("parameters", []), body,
                         Responses(operation["responses"], sibling))

    @functools.lru_cache(maxsize=4096)
    def find(self, method, path):
        """(operation or None, whether the path has any)."""
        segments, known = path.split("/")[1:], False
        for operation in self.operations:
            # "{path}" at the end stands for one segment or more.
            open_ended = operation.segments[-1] == "{path}" and len(segments) > len(operation.segments)
            if (open_ended or len(operation.segments) == len(segments)) and all(
                    (got != "" if want.startswith("{") else urllib.parse.unquote(got) == want) for want, got in zip(operation.segments, segments)):
                known = True
                if operation.method.upper() == method:
                    return operation, True
        return None, known

    # Requests.
    def request_problems(self, operation, exchange):
        """Why the document does not allow this request; empty when it does."""
        found = []
        path, _, query = exchange.target.partition("?")
        last = len(operation.segments) - 1
        segments = path.split("/")[1:]
        values = dict(zip(operation.segments, segments[:last] + ["/".join(segments[last:])]))
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
        for parameter in operation.parameters:
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                found += self._text_problems(parameter, urllib.parse.unquote(values["{" + name + "}"], errors="surrogateescape"))
            elif place == "query":
                found += self._query_problems(parameter, pairs)
            else:
                given = [v for k, v in exchange.headers if k.lower() == name.lower()]
                if name == "Idempotency-Key" and len(given) > 1:
                    found.append(f"header {name} twice")
                elif given and given[0]:
                    found += self._text_problems(parameter, given[0])
        if operation.body is not None:
            found += self._body_problems(operation.body, exchange)
        return found

    def _query_problems(self, parameter, pairs):
        name = parameter["name"]
        if name == "tag.{key}":
            given = [v for k, v in pairs if k.startswith("tag.")]
            keys = [k for k, v in pairs if k.startswith("tag.")]
            wrong = [f"query {k}: no tag" for k in keys if not re.fullmatch(r"tag\.[A-Za-z0-9._/-]{1,64}", k)]
            wrong += [f"{len(keys)} tags"] if len(keys) > 32 else []
            return wrong + [f"query {k} twice" for k in set(keys) if keys.count(k) > 1] + [p for v in given for p in self._text_problems(parameter, v)]
        given = [v for k, v in pairs if k == name]
        if len(given) > 1:
            return [f"query {name} twice"]
        return self._text_problems(parameter, given[0]) if given else []

    def _text_problems(self, parameter, text):
        name, wanted = f"{parameter['in']} {parameter['name']}", parameter["schema"]
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            return [f"{name}: not UTF-8 text"]
        value = text
        if wanted.get("type") == "integer":
            value = lax_integer(text)
            if value is None:
                return [f"{name}: {text!r} is no whole number"]
        if "maxLength" in wanted and parameter["in"] == "path" and len(text.encode()) > wanted["maxLength"]:
            return [f"{name}: over {wanted['maxLength']} bytes"]
        return [f"{name}: {p}" for p in schemas.problems(self._compiled(parameter), value)]

    def _compiled(self, parameter, cache={}):
        return cache.setdefault(id(parameter), schemas.Validator(parameter["schema"]))

    def _body_problems(self, body, exchange):
        validator = body[1]
        if len(exchange.body) > 1 << 20:
            return ["body: over 1 MiB"]
        kind = exchange.header("content-type", "").partition(";")[0].strip().lower()
        if exchange.body and kind != "application/json":
            return [f"body: media type {kind!r}"]
        try:
            text = exchange.body.decode("utf-8")
            value = strict_json(exchange.body) if schemas.trim(text) else {}
        except (ValueError, RecursionError) as error:
            return [f"body: not JSON: {str(error)[:100]}"]
        return [f"body: {p}" for p in schemas.problems(validator, value)]

    # Replies.
    def violations(self, exchange):
        if exchange.target.startswith("http://"):
            _, slash, rest = exchange.target.removeprefix("http://").partition("/")
            exchange = dataclasses.replace(exchange, target=slash + rest)
        operation, _ = self.find(exchange.method, exchange.target.partition("?")[0]) if exchange.method else (None, False)
        found = self._reply_problems(exchange, operation)
        if operation is not None and not found:
            found = self._verdict_problems(exchange, operation)
        return [f"{exchange.method} {exchange.target[:200]} -> {exchange.status}: {p}" for p in found]

    def _reply_problems(self, exchange, operation):
        responses = operation.responses if operation is not None else self.unrouted
        documented = responses.by_status.get(exchange.status)
        if documented is None:
            return [f"undocumented status for {operation.name if operation else 'a request without a route'}"]
        return self._header_problems(exchange, documented) + self._content_problems(exchange, documented)

    def _header_problems(self, exchange, documented):
        found, given = [], {}
        for name, value in exchange.reply_headers:
            given.setdefault(name.lower(), []).append(value)
        for name, values in given.items():
            if name not in documented["headers"]:
                if name not in TRANSPORT:
                    found.append(f"undocumented header {name}")
                continue
            wanted = documented["headers"][name][1]
            if len(values) > 1:
                found.append(f"header {name} twice")
            value = int(values[0]) if wanted.get("type") == "integer" and values[0].isdigit() else values[0]
            found += [f"header {name}: {p}" for p in schemas.problems(schemas.Validator(wanted), value)]
        return found + [f"header {n} is missing" for n, (required, _) in documented["headers"].items() if required and n not in given]

    def _content_problems(self, exchange, documented):
        kind = exchange.reply_header("content-type", "").partition(";")[0].strip().lower()
        if exchange.method == "HEAD" or not documented["content"]:
            if exchange.reply:
                return ["a body where there is none"]
            if kind and kind not in documented["content"]:
                return [f"undocumented content type {kind!r}"]
            return []
        if kind not in documented["content"]:
            return [f"undocumented content type {kind!r}"]
        if kind == "text/event-stream":
            return self._stream_problems(exchange)
        validator = documented["content"][kind]
        if validator.schema.get("format") == "binary":
            return []
        if exchange.cut:
            return []
        try:
            value = json.loads(exchange.reply.decode("utf-8"))
        except ValueError as error:
            return [f"the reply is not JSON: {error}"]
        found = [f"reply {p}" for p in schemas.problems(validator, value)]
        found += [f"reply {p}" for p in self._error_problems(kind, value)] if exchange.status >= 400 and not found else []
        return found

    def _error_problems(self, kind, value):
        error = value if kind == "application/problem+json" else value["error"]
        bare = error["code"] in ("bad_request", "internal_error")
        if bare and "details" in error:
            yield f"details beside {error['code']}"
        if not bare and "details" not in error:
            yield f"no details beside {error['code']}"
        if error["code"] == "validation_error":
            issues = error["details"].get("issues")
            if not issues:
                yield "validation_error without issues"
            for issue in issues or []:
                yield from schemas.problems(self._issue(), issue)

    @functools.lru_cache(maxsize=1)
    def _issue(self):
        return schemas.Validator(self.document["components"]["schemas"]["Issue"])

    def _stream_problems(self, exchange):
        found, before = [], None
        text = exchange.reply.decode("utf-8")
        if "\r" in text:
            found.append("a carriage return in a stream")
        frames = text.split("\n\n")
        if frames.pop() and not exchange.cut:
            found.append("a stream that ends within a frame")
        for frame in frames:
            fields = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line and not line.startswith(":"))
            if "data" not in fields:
                if not all(line.startswith(":") or line.startswith("retry: ") for line in frame.split("\n")):
                    found.append(f"an odd frame {frame[:80]!r}")
            elif fields.get("event") == "heartbeat":
                found += [] if fields == {"event": "heartbeat", "data": "{}"} else ["an odd heartbeat"]
            else:
                before = self._frame_problems(fields, before, found)
        return found

    def _frame_problems(self, fields, before, found):
        event = json.loads(fields["data"])
        if fields["data"] not in schemas.seen_items:
            errors = schemas.problems(self.event, event)
            found += [f"event {p}" for p in errors]
            if not errors and len(schemas.seen_items) < schemas.MOST_SEEN:
                schemas.seen_items.add(fields["data"])
        if str(event.get("sequence")) != fields.get("id") or event.get("type") != fields.get("event"):
            found.append(f"a frame whose id or event is not the event's: {fields.get('id')} {fields.get('event')}")
        if before is not None and event.get("sequence") != before + 1:
            found.append(f"sequence {event.get('sequence')} behind {before}")
        return event.get("sequence")

    def undecided(self, operation, exchange):
        """True when an allowed request has something of which only the server can tell whether it is right (`x-opaque`: cursors, dates of the calendar, what
        depends on the conversation)."""
        keys = {k for k, _ in urllib.parse.parse_qsl(exchange.target.partition("?")[2], keep_blank_values=True)}
        if any(p["schema"].get("x-opaque") and p["name"] in keys for p in operation.parameters):
            return True
        if "application/octet-stream" in self.document["paths"][operation.template][operation.method].get("requestBody", {}).get("content", {}):
            return True
        opaque = [k for k, v in operation.body[1].schema.get("properties", {}).items() if v.get("x-opaque")] if operation.body else []
        return bool(opaque) and any(k in strict_json(exchange.body) for k in opaque)

    def wrong_request(self, exchange):
        """Why a client that keeps the contract would not send this."""
        if exchange.method is None:
            return ["a request that cannot be read"]
        operation, _ = self.find(exchange.method, exchange.target.partition("?")[0])
        found = self.request_problems(operation, exchange) if operation else ["there is no such operation"]
        return [f"{exchange.method} {exchange.target[:200]}: {p}" for p in found]

    def _verdict_problems(self, exchange, operation):
        """A served request must be allowed; an allowed one must not be called invalid."""
        served = exchange.status < 300
        refused = exchange.status == 400 and b'"validation_error"' in exchange.reply
        if not served and not refused:
            return []
        problems = self.request_problems(operation, exchange)
        if served and problems:
            return [f"served although {'; '.join(problems[:3])}"]
        if refused and not problems and not self.undecided(operation, exchange):
            return [f"refused although the document allows it: {exchange.reply[:300]!r}"]
        return []


@functools.lru_cache(maxsize=1)
def contract():
    return Contract()


def check(exchange):
    """Raises AssertionError when the document does not allow the exchange."""
    found = contract().violations(exchange)
    if found:
        raise AssertionError("not as openapi/openapi.yaml says:\n  " + "\n  ".join(found))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=argparse.FileType("r", encoding="ascii"))
    parser.add_argument("--at-least", type=int, default=1)  # a file without exchanges would prove nothing
    options = parser.parse_args()
    count, bad = 0, 0
    for line in options.file:
        record = json.loads(line)
        for exchange in exchanges_of(bytes.fromhex(record["request"]), bytes.fromhex(record["response"]), cut=record.get("cut", False)):
            count += 1
            for violation in contract().violations(exchange):
                bad += 1
                print(violation)
    print(f"{count} exchanges, {bad} violations")
    sys.exit(1 if bad or count < options.at_least else 0)


if __name__ == "__main__":
    main()
