"""Bytes that no well-meaning client sends: each has one outcome, nothing is smuggled, and another client is served all the while."""
import contextlib
import json
import os
import pathlib
import socket
import struct
import tempfile

import stores
from harness import KEY, Case, Server, main, wait_for
from http_bytes import exchanges_of

AUTH = f"Authorization: Bearer {KEY}\r\n".encode()
HOST = b"Host: x\r\n"
JSON = b"Content-Type: application/json\r\n"
SMUGGLED = b"GET /v1/runs?limit=0 HTTP/1.1\r\n" + HOST + AUTH + b"\r\n"
UNKNOWN = "run_00000000-0000-4000-8000-000000000000"
CONFIG = "[http]\nhead_timeout_ms = 400\nbody_timeout_ms = 400\nidle_timeout_ms = 600\nwrite_timeout_ms = 600\n"


def sockets(pid):
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
    return found


def connected(server):
    """Connections that the server has taken and not yet closed."""
    found = 0
    for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]:
        _, local, _, _, _, _, _, _, _, inode = line.split()[:10]
        found += int(local.split(":")[1], 16) == int(server.port) and inode != "0"
    return found - 1  # the listener


def sockets_at_rest(server):
    wait_for(lambda: connected(server) == 0, what="earlier connections to be gone")
    return sockets_of(server)


def sockets_of(server):
    """Sockets that it has; on stores elsewhere only those of clients, since it has connections of its own to them, now more and now fewer."""
    return connected(server) if stores.POSTGRES or stores.S3_BLOBS else sockets(server.pid)


def reset(connection):
    """Closes with RST, as a client that crashes with unread bytes does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Abused(Case):
    config = CONFIG

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False) as file:
            file.write(cls.config)
        cls.addClassCleanup(pathlib.Path(file.name).unlink)
        cls.server = Server(args=("--sim", "--role", "api", "--config", file.name)).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def tearDown(self):
        self.assertEqual(self.server.request("GET", "/healthz", key=None)[0], 200)
        self.assertNotIn("internal_error", self.server.log_text())

    def connect(self):
        connection = socket.create_connection((self.server.host, int(self.server.port)), timeout=20)
        self.addCleanup(connection.close)
        return connection

    def one(self, status, data, *more, code="bad_request", **options):
        """These bytes have just one answer, and the connection is closed behind it."""
        found = self.server.raw(data, *more, **options)
        self.assertEqual([e.status for e in found], [status], (data[:200], found))
        if status >= 400:
            self.assertEqual(json.loads(found[0].reply)["error"]["code"], code)
        return found[0]

    def statuses(self, data, **options):
        return [e.status for e in self.server.raw(data, **options)]


class Framing(Abused):
    def post(self, *fields, body=b"{}", version=b"1.1"):
        return b"POST /v1/runs HTTP/" + version + b"\r\n" + HOST + AUTH + JSON + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body

    def test_a_length_in_doubt_is_refused_and_what_follows_is_never_read(self):
        chunks = b"2\r\n{}\r\n0\r\n\r\n"
        for fields, status in (((b"Content-Length: 2", b"Transfer-Encoding: chunked"), 400), ((b"Transfer-Encoding: chunked", b"Content-Length: 2"), 400),
                               ((b"Content-Length: 2", b"Content-Length: 2"), 400), ((b"Content-Length: 2", b"Content-Length: 12"), 400),
                               ((b"Content-Length: 2, 2",), 400), ((b"Content-Length: +2",), 400), ((b"Content-Length: -2",), 400), ((b"Content-Length: 0x2",), 400),
                               ((b"Content-Length: 2 2",), 400), ((b"Content-Length:",), 400), ((b"Content-Length: 99999999999999999999999",), 400),
                               ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400), ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
                               ((b"Transfer-Encoding: identity",), 501), ((b"Transfer-Encoding: xchunked",), 501), ((b"Transfer-Encoding: gzip, chunked",), 501),
                               ((b"Transfer-Encoding: chunked, identity",), 501), ((b"Transfer-Encoding: \x0bchunked",), 400), ((b"Transfer-Encoding : chunked",), 400),
                               ((b"Transfer-Encoding\x00: chunked",), 400), ((b" Transfer-Encoding: chunked",), 400), ((b"X: y\r\n Content-Length: 2",), 400),
                               ((b"X: y\r\n\tfolded",), 400), ((b"X: y\nContent-Length: 2",), 400), ((b"X: y\rContent-Length: 2",), 400), ((b"no colon",), 400),
                               ((b": no name",), 400), ((b"X y: z",), 400)):
            with self.subTest(fields=fields):
                self.one(status, self.post(*fields, body=chunks + SMUGGLED))

    def test_chunks_in_http_1_0(self):
        self.one(400, self.post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED, version=b"1.0"))

    def test_chunks_that_are_none(self):
        for body in (b"2;ext=1\r\n{}\r\n0\r\n\r\n", b"2;\r\n{}\r\n0\r\n\r\n", b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n", b"2\r\n{}0\r\n\r\n\r\n",
                     b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"):
            with self.subTest(body=body):
                found = self.server.raw(self.post(b"Transfer-Encoding: chunked", body=body + SMUGGLED))
                self.assertEqual(len(found), 1)
                self.assertIn(found[0].status, (400, 413))
        self.assertEqual(self.statuses(self.post(b"Transfer-Encoding: chunked", b"Connection: close", body=b"c\r\n{\"task\":\"x\"}\r\n0\r\nTrailer: dropped\r\n\r\n")), [201])

    def test_oversize(self):
        self.one(431, b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 20_000 + b"\r\n\r\n" + SMUGGLED)
        self.one(431, b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5_000 + b"\r\n")
        self.one(431, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        self.one(431, b"y" * 70_000)
        self.one(413, self.post(b"Content-Length: 1048577", body=b""))
        self.one(413, self.post(b"Content-Length: 18446744073709551615", body=b""))
        self.one(413, self.post(b"Transfer-Encoding: chunked", body=b"100001\r\n"))
        self.one(413, self.post(b"Transfer-Encoding: chunked", body=(b"80000\r\n" + b" " * 0x80000 + b"\r\n") * 3))
        self.assertIn(self.statuses(self.post(b"Transfer-Encoding: chunked", body=b"0" * 20_000)), ([400], [431]))
        exact = b'{"task":"x"' + b" " * ((1 << 20) - 12) + b"}"
        self.assertEqual(self.statuses(self.post(b"Content-Length: 1048576", b"Connection: close", body=exact)), [201])

    def test_hosts(self):
        for head in (b"\r\n", b"Host: x\r\nHost: x\r\n\r\n", b"Host: x y\r\n\r\n", b"Host: a/b\r\n\r\n", b"Host: x:99999\r\n\r\n"):
            with self.subTest(head=head):
                self.one(400, b"GET /healthz HTTP/1.1\r\n" + head)

    def test_targets(self):
        close = HOST + b"Connection: close\r\n\r\n"
        for target, status in ((b"http://x/healthz", 200), (b"http://x:80/healthz", 200), (b"http://y/healthz", 400), (b"https://x/healthz", 400), (b"ftp://x/healthz", 400), (b"healthz", 400),
                               (b"/healthz#part", 400), (b"/\x80", 400), (b"/a%zzb", 400), (b"/a%", 400), (b"*", 400), (b"", 400)):
            with self.subTest(target=target):
                self.assertEqual(self.statuses(b"GET " + target + b" HTTP/1.1\r\n" + close), [status])
        self.one(401, b"GET //healthz HTTP/1.1\r\n" + close, code="unauthorized")
        self.one(401, b"OPTIONS * HTTP/1.1\r\n" + close, code="unauthorized")
        self.one(401, b"CONNECT x:80 HTTP/1.1\r\n" + close, code="unauthorized")
        self.one(400, b"CONNECT /healthz HTTP/1.1\r\n" + close)

    def test_other_protocols(self):
        self.one(505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.one(505, b"GET /healthz HTTP/3.1\r\n" + HOST + b"\r\n")
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), b"\x05\x01\x00", b"GET /healthz\r\n\r\n", b"GET  /healthz HTTP/1.1\r\n\r\n", b"GET /healthz http/1.1\r\n\r\n",
                     b"GET /healthz HTTP/1.1 more\r\n\r\n", b"\r\n\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n"):
            with self.subTest(data=data[:30]):
                self.one(400, data, half_close=data.startswith(b"\x05"))


class Injection(Abused):
    def test_line_ends_and_nuls_in_fields_are_refused(self):
        for name in (b"X-Request-Id", b"Idempotency-Key", b"Accept", b"Authorization"):
            for value in (b"a\rb", b"a\nb", b"a\x00b", b"a\r\r\nb: c", b"a\x7fb", b"a\x1bb"):
                with self.subTest(name=name, value=value):
                    self.one(400, b"GET /healthz HTTP/1.1\r\n" + HOST + name + b": " + value + b"\r\n\r\n" + SMUGGLED)

    def test_nothing_of_a_request_begins_a_field_of_the_answer(self):
        for target in (f"/v1/runs/{UNKNOWN}%0d%0aSet-Cookie:%20a=b", "/v1/%0d%0aSet-Cookie:%20a=b", "/v1/runs?status=%0d%0aSet-Cookie:%20a=b", "/v1/runs?%0d%0aSet-Cookie:a=b",
                       "/v1/runs/%0aSet-Cookie:a=b/events"):
            found = self.server.raw(f"GET {target} HTTP/1.1\r\n".encode() + HOST + AUTH + b"X-Request-Id: %0d%0aSet-Cookie: a=b\r\nConnection: close\r\n\r\n")
            with self.subTest(target=target):
                self.assertEqual(len(found), 1)
                self.assertNotIn("set-cookie", [k.lower() for k, _ in found[0].reply_headers])
                self.assertNotIn(b"\r\nSet-Cookie", found[0].reply)

    def test_a_nul_in_a_path_is_a_wrong_id(self):
        found = self.one(400, b"GET /v1/runs/%00 HTTP/1.1\r\n" + HOST + AUTH + b"Connection: close\r\n\r\n", code="validation_error")
        self.assertIn(b"runId", found.reply)


class Connections(Abused):
    def reply_to(self, connection, method="GET"):
        """The first answer on an open connection."""
        got = b""
        while not (found := [e for e in exchanges_of(f"{method} /healthz HTTP/1.1\r\n\r\n".encode(), got) if not e.cut]):
            piece = connection.recv(65536)
            self.assertTrue(piece, got)
            got += piece
        return found[0]

    def test_answers_come_in_the_order_of_the_requests(self):
        get = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        unknown = b"GET /v1/runs/x HTTP/1.1\r\n" + HOST + AUTH + b"\r\n"
        post = b"POST /v1/runs HTTP/1.1\r\n" + HOST + AUTH + JSON + b'Content-Length: 12\r\n\r\n{"task":"x"}'
        last = b"GET /nothing HTTP/1.1\r\n" + HOST + AUTH + b"Connection: close\r\n\r\n"
        self.assertEqual(self.statuses((get + unknown + post) * 30 + last + SMUGGLED), [200, 404, 201] * 30 + [404])

    def test_half_closed_clients_get_their_answer(self):
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", half_close=True), [200])
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\nHost:", half_close=True), [])
        found = self.server.raw(b"POST /v1/runs HTTP/1.1\r\n" + HOST + AUTH + JSON + b"Content-Length: 12\r\n\r\n{", half_close=True)
        self.assertIn([e.status for e in found], ([], [400]))

    def test_expectations(self):
        head = b"POST /v1/runs HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 12\r\nExpect: 100-continue\r\n"
        connection = self.connect()
        connection.sendall(head + AUTH + b"\r\n")
        self.assertEqual(connection.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b'{"task":"x"}')
        self.assertEqual(self.reply_to(connection).status, 201)
        self.one(401, head + b"\r\n", code="unauthorized")  # and no 100 before
        self.one(417, b"GET /healthz HTTP/1.1\r\n" + HOST + b"Expect: a miracle\r\n\r\n")

    def test_http_1_0(self):
        found = self.one(200, b"GET /healthz HTTP/1.0\r\n\r\n" + SMUGGLED)
        self.assertEqual(found.reply_header("connection"), "close")
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"), [200, 200])
        run = self.server.create("queued")["id"]
        self.server.call("POST", f"/v1/runs/{run}/cancel")
        wait_for(lambda: self.server.run(run)["status"] == "cancelled", what="the end of the run")
        found = self.one(200, f"GET /v1/runs/{run}/stream HTTP/1.0\r\n".encode() + AUTH + b"Accept: text/event-stream\r\n\r\n")
        self.assertIsNone(found.reply_header("transfer-encoding"))
        self.assertIn(b"event: run.cancelled", found.reply)

    def test_a_head_that_never_ends_is_answered_408(self):
        for data in (b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: y\r\n"):
            with self.subTest(data=data):
                self.one(408, data)

    def test_a_head_that_trickles_is_answered_408_as_well(self):
        # Each byte is progress, but the head as a whole has a deadline: more bytes than fit into it are offered.
        connection = self.connect()
        connection.settimeout(0.02)
        got, sent = b"", 0
        trickle = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 10_000
        while sent < len(trickle) and not got:
            with contextlib.suppress(ConnectionError):
                connection.send(trickle[sent:sent + 1])
            sent += 1
            with contextlib.suppress(TimeoutError):
                got = connection.recv(4096)
        self.assertIn(b" 408 ", got.split(b"\r\n")[0])

    def test_a_body_that_never_ends_is_answered_408(self):
        head = b"POST /v1/runs HTTP/1.1\r\n" + HOST + AUTH + JSON
        self.one(408, head + b'Content-Length: 12\r\n\r\n{"task"')
        self.one(408, head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{")
        # Without a key nobody waits for it.
        self.one(401, b"POST /v1/runs HTTP/1.1\r\n" + HOST + b"Content-Length: 12\r\n\r\n{", code="unauthorized")

    def test_silent_connections_are_closed(self):
        self.assertEqual(self.statuses(b""), [])
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"), [200])

    def test_a_client_that_takes_nothing_is_cut(self):
        before = sockets_at_rest(self.server)
        run = self.server.create("t" * 100_000)["id"]
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((self.server.host, int(self.server.port)))
        connection.sendall((f"GET /v1/runs/{run} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n") * 40)
        wait_for(lambda: sockets_of(self.server) > before, what="the connection to be taken")
        wait_for(lambda: sockets_of(self.server) <= before, what="the connection to be cut")

    def test_resets_leave_nothing_behind(self):
        before = sockets_at_rest(self.server)
        run = self.server.create("t" * 100_000)["id"]
        for data in (b"GET /v1/ru", f"GET /v1/runs/{run} HTTP/1.1\r\n".encode() + HOST + AUTH + b"\r\n",
                     b"POST /v1/runs HTTP/1.1\r\n" + HOST + AUTH + JSON + b"Content-Length: 12\r\n\r\n{",
                     f"GET /v1/runs/{run}/stream HTTP/1.1\r\n".encode() + HOST + AUTH + b"Accept: text/event-stream\r\n\r\n"):
            for read_first in (False, True):
                for _ in range(20):
                    connection = self.connect()
                    connection.sendall(data)
                    if read_first and data.endswith(b"\r\n\r\n"):
                        connection.recv(16)
                    reset(connection)
        wait_for(lambda: sockets_of(self.server) <= before, what="every connection to be gone")


class ManyIdle(Abused):
    config = "[http]\nidle_timeout_ms = 60000\nhead_timeout_ms = 60000\n"

    def test_a_thousand_idle_connections_hold_nobody_up(self):
        before = sockets_at_rest(self.server)
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(socket.create_connection((self.server.host, int(self.server.port)), timeout=20))
            wait_for(lambda: sockets_of(self.server) >= before + 1000, what="a thousand connections")
            for _ in range(100):
                self.assertEqual(self.server.request("GET", "/v1/runs?limit=1")[0], 200)
        wait_for(lambda: sockets_of(self.server) <= before, what="every connection to be gone")


class Full(Abused):
    config = "[http]\nmax_connections = 8\n"

    def test_one_connection_too_many_is_told_to_try_again(self):
        before = sockets_at_rest(self.server)
        held = [self.connect() for _ in range(8)]
        wait_for(lambda: sockets_of(self.server) >= before + 8, what="eight connections")
        found = self.one(503, b"", code="unavailable")
        self.assertEqual(found.reply_header("retry-after"), "1")
        for connection in held:
            connection.close()
        wait_for(lambda: sockets_of(self.server) <= before, what="room")


del Abused  # the fixture of the others, no suite


if __name__ == "__main__":
    main()
