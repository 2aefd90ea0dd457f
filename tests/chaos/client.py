"""The API as a client sees it whose server dies: an answer, or none, and never a guess in between."""
import http.client
import json
import socket

from contract import check
from harness import KEY
from http_bytes import Exchange

# What a request may be answered with while processes die and the disk is full. Anything else is a violation of its own.
EXPECTED = {200, 201, 202, 204, 404, 409, 429, 503}
PASSING = {"unavailable", "storage_full", "storage_failed", "overloaded", "worker_unreachable"}


class Away(Exception):
    """No answer came: what was asked for may have happened or not."""


class Reply:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data

    def json(self):
        return json.loads(self.data) if self.data else None

    def code(self):
        value = self.json()
        return value.get("error", {}).get("code", "") if isinstance(value, dict) else ""


class Api:
    """One server. Safe from any thread. `report(kind, **facts)` is told of answers that nobody should get, and of silence."""

    def __init__(self, address, report, seconds=60):
        self.address, self.report, self.seconds = address, report, seconds

    def send(self, method, path, body=None, key=None):
        """Raises Away."""
        connection = http.client.HTTPConnection(*self.address, timeout=self.seconds)
        headers = {"Authorization": f"Bearer {KEY}"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except (socket.timeout, TimeoutError):
            self.report("silence", request=f"{method} {path}", seconds=self.seconds)
            raise Away(f"{method} {path}: no answer within {self.seconds} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Away(str(error)) from None
        finally:
            connection.close()
        self._look_at(method, path, reply)
        if reply.status != 200:
            self._hold_against_the_contract(Exchange(method, path, list(headers.items()), body or b"", reply.status, answer.getheaders(), reply.data))
        return reply

    def _look_at(self, method, path, reply):
        odd = reply.status not in EXPECTED
        if reply.status == 503:
            odd = reply.code() not in PASSING or not reply.headers.get("retry-after", "").isdigit()
        if odd:
            self.report("odd_reply", request=f"{method} {path}", status=reply.status, body=reply.data[:500].decode(errors="replace"))

    def _hold_against_the_contract(self, exchange):
        try:
            check(exchange)
        except AssertionError as error:
            self.report("odd_reply", request=f"{exchange.method} {exchange.target}", status=exchange.status, body=str(error)[:500])

    def get(self, path):
        """For reading when nothing dies any more. Raises AssertionError."""
        reply = self.send("GET", path)
        if reply.status != 200:
            raise AssertionError(f"GET {path}: {reply.status} {reply.data[:300]!r}")
        return reply
