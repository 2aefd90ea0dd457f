"""What the end-to-end suites share: a server of their own, an API client, a stream reader, and a check that nothing is left.

Only public interfaces of the program are used. Every exchange is judged by openapi/openapi.yaml (contract.py): a reply that the document does
not have fails the test that got it.
"""
import atexit
import contextlib
import functools
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import stores
from contract import check
from http_bytes import Exchange, exchanges_of, split_head

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("AGENTROUTER_PROGRAM", ROOT / "build/release/bin/agentrouter"))
KEY = "ar_test_0123456789"
SUITE = pathlib.Path(sys.argv[0]).stem
TERMINAL = {"run.completed", "run.failed", "run.cancelled"}


class Deadline:
    """A bound for waiting, never a pace: everything here waits for an observable effect."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self, what="the expected effect"):
        left = self.end - time.monotonic()
        if left <= 0:
            raise AssertionError(f"timed out waiting for {what}")
        return left


def entries(folder):
    """The names in a folder that a server may remove at any moment."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def wait_for(condition, seconds=30, what="a condition"):
    """Waits until `condition()` is true; for effects that the kernel does not announce."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        deadline.left(what)
        select.select([], [], [], 0.005)


class Server:
    """`agentrouter serve` on a data folder and a free port."""

    def __init__(self, data=None, env=None, args=("--sim",), agents_dir=None, user=None, listen="127.0.0.1:0", prefix=()):
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="agentrouter-test-"))
        self.owns_data = data is None
        self.args, self.extra_env, self.user, self.listen, self.prefix = list(args), dict(env or {}), user, listen, list(prefix)
        self.agents_dir = agents_dir
        self.process = None
        self.url = None

    def environment(self):
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "AGENTROUTER_API_KEY": KEY, "LANG": "C.UTF-8"}
        if self.agents_dir or os.environ.get("AGENTROUTER_AGENTS_DIR"):
            env["AGENTROUTER_AGENTS_DIR"] = str(self.agents_dir or os.environ["AGENTROUTER_AGENTS_DIR"])
        env.update(stores.environment(self.data))
        env.update(self.extra_env)
        return env

    def start(self, seconds=30):
        self.log = open(self.data.parent / (self.data.name + ".log"), "ab")
        command = [*self.prefix]
        if self.user:
            command += ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--"]
        command += [str(PROGRAM), "serve", "--listen", self.listen, "--data", str(self.data), *self.args]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        env=self.environment(), start_new_session=True)
        self.pid = self.process.pid
        line = self._first_line(seconds)
        match = re.fullmatch(r"agentrouter: listening on (http://\S+)\n", line)
        if not match:
            self.process.wait()
            raise AssertionError(f"the server did not start ({line!r}): {self.log_text()[-2000:]}")
        self.url = match[1]
        self.host, self.port = re.fullmatch(r"http://(.*):(\d+)", self.url).groups()
        return self

    def _first_line(self, seconds):
        deadline, line = Deadline(seconds), b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], deadline.left("the ready line"))[0]:
                continue
            got = os.read(self.process.stdout.fileno(), 4096)
            if not got:
                break
            line += got
        return line.decode()

    def log_text(self):
        return (self.data.parent / (self.data.name + ".log")).read_text(errors="replace")

    def kill(self):
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def stop(self, seconds=20):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the server did not stop on SIGTERM") from None
        if self.process:
            self.process.stdout.close()
            self.log.close()
        return self.process.returncode if self.process else None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        try:
            if exc[0] and self.process.poll() is None:
                self.abandon()
            self.stop()
        finally:
            if self.owns_data:
                self.remove_data()

    def tidy(self, seconds=60):
        """Waits until what has ended is tidied: a server that is told to stop leaves that to the next one, and here there may be none."""
        attempts = self.data / "attempts"
        wait_for(lambda: not attempts.exists() or not any(attempts.iterdir()), seconds, "ended runs to be tidied")

    def abandon(self):
        """Ends what a failed test left running."""
        def cancel_all():
            active = self.call("GET", "/v1/runs?status=active&limit=100")["items"]
            for run in active:
                self.call("POST", f"/v1/runs/{run['id']}/cancel")
            return not active
        wait_for(cancel_all, 60, "cancelled runs to end")
        self.tidy(30)

    def remove_data(self):
        shutil.rmtree(self.data, ignore_errors=True)
        (self.data.parent / (self.data.name + ".log")).unlink(missing_ok=True)

    # The API.
    def request(self, method, path, body=None, headers=None, key=KEY, seconds=60):
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=seconds)
        try:
            all_headers = {"Authorization": f"Bearer {key}"} if key else {}
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if body is not None:
                all_headers["Content-Type"] = "application/json"
            all_headers.update(headers or {})
            connection.request(method, path, body, all_headers)
            reply = connection.getresponse()
            data = reply.read()
            sent = body.encode() if isinstance(body, str) else body or b""
            check(Exchange(method, path, list(all_headers.items()), sent, reply.status, reply.getheaders(), data))
            return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), data
        finally:
            connection.close()

    def raw(self, data, *more, half_close=False, seconds=20):
        """Sends bytes as they are, in as many pieces as given, and reads until the server closes; gives the exchanges that it can make out."""
        got = b""
        with socket.create_connection((self.host, int(self.port)), timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):
                for piece in (data, *more):
                    connection.sendall(piece)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    got += piece
        found = list(exchanges_of(data + b"".join(more), got))
        for exchange in found:
            check(exchange)
        return found

    def call(self, method, path, body=None, expect=(200, 201), **more):
        status, _, data = self.request(method, path, body, **more)
        value = json.loads(data) if data else None
        if status not in expect:
            raise AssertionError(f"{method} {path}: {status} {data[:500]!r}")
        return value

    def create(self, task, **fields):
        return self.call("POST", "/v1/runs", {"task": task, **fields})

    def run(self, run_id):
        return self.call("GET", f"/v1/runs/{run_id}")

    def events(self, run_id):
        items, after = [], 0
        while True:
            page = self.call("GET", f"/v1/runs/{run_id}/events?afterSeq={after}&limit=500")["items"]
            if not page:
                return items
            items += page
            after = page[-1]["sequence"]

    def follow(self, run_id, after=0):
        return Stream(self.host, int(self.port), run_id, after)

    def wait_until(self, run_id, condition, seconds=60, after=0):
        """Follows the live stream until `condition(event)`; gives the events seen."""
        seen = []
        with self.follow(run_id, after) as stream:
            for event in stream.read(seconds):
                seen.append(event)
                if condition(event):
                    return seen
        raise AssertionError(f"the stream of {run_id} ended without it: {[e['type'] for e in seen]}")

    def finish(self, run_id, seconds=90):
        """Waits for the end; gives (run, events)."""
        events = self.wait_until(run_id, lambda e: e["type"] in TERMINAL, seconds)
        return self.run(run_id), events

    def artifacts(self, run_id):
        return {a["kind"]: a for a in self.call("GET", f"/v1/runs/{run_id}/artifacts")["items"]}

    def download(self, run_id, artifact_id):
        status, headers, data = self.request("GET", f"/v1/runs/{run_id}/artifacts/{artifact_id}/download")
        if status != 200:
            raise AssertionError(f"download: {status} {data[:300]!r}")
        return data


class Stream:
    """A live SSE connection that remembers the last id."""

    def __init__(self, host, port, run_id, after=0):
        self.host, self.port, self.run_id, self.last_id = host, port, run_id, after
        self.socket, self.buffer, self.status = None, b"", None
        self.frames, self.whole = b"", False

    def __enter__(self):
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()
        if not exc[0]:
            self.judge()

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def judge(self):
        if self.status:
            check(Exchange("GET", self.target, [("Accept", "text/event-stream")], b"", self.status, self.headers, self.frames, not self.whole))

    def connect(self):
        self.socket = socket.create_connection((self.host, self.port), timeout=30)
        self.buffer, self.frames, self.whole = b"", b"", False
        self.target = f"/v1/runs/{self.run_id}/stream"
        self.socket.sendall(
            f"GET {self.target} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {KEY}\r\n"
            f"Accept: text/event-stream\r\nLast-Event-ID: {self.last_id}\r\nConnection: close\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise ConnectionError("closed before the head")
            self.buffer += got
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        self.headers = split_head(head + b"\r\n\r\n")[1]
        self.chunked = b"transfer-encoding: chunked" in head.lower()

    def _bytes(self, deadline):
        self.socket.settimeout(min(deadline.left("the next event"), 30))
        return self.socket.recv(262144)

    def _payload(self, deadline):
        """Body bytes as they come, chunk framing removed."""
        pending = self.buffer
        left = 0
        while True:
            while self.chunked and pending:
                if left > 0:
                    piece, pending = pending[:left], pending[left:]
                    left -= len(piece)
                    yield piece
                    continue
                if pending.startswith(b"\r\n"):
                    pending = pending[2:]
                    continue
                if b"\r\n" not in pending or pending == b"\r":
                    break
                size, pending = pending.split(b"\r\n", 1)
                left = int(size, 16)
                if left == 0:
                    self.whole = True
                    return
            if not self.chunked and pending:
                yield pending
                pending = b""
            got = self._bytes(deadline)
            if not got:
                return
            pending += got

    def read(self, seconds=60):
        """Events until the response ends. Raises ConnectionError when it is cut."""
        deadline, text = Deadline(seconds), b""
        for piece in self._payload(deadline):
            self.frames += piece
            text += piece
            while b"\n\n" in text:
                frame, text = text.split(b"\n\n", 1)
                data = [l[5:].strip() for l in frame.split(b"\n") if l.startswith(b"data:")]
                if data:
                    event = json.loads(b"".join(data))
                    self.last_id = event["sequence"]
                    yield event


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def canonical(value):
    """RFC 8785 for what our payloads hold: no floats, keys sorted by UTF-16 unit."""
    if isinstance(value, dict):
        parts = (f"{json.dumps(k, ensure_ascii=False)}:{canonical(value[k])}" for k in sorted(value, key=lambda k: k.encode("utf-16-be")))
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def digest(value):
    return "sha256:" + sha256(canonical(value).encode())


def processes_of_ours():
    """Processes that run our program or descend into its sandboxes, by what the kernel says of them."""
    found = {}
    target = os.path.realpath(PROGRAM)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            exe = os.readlink(f"/proc/{entry}/exe")
            name = pathlib.Path(f"/proc/{entry}/comm").read_text().strip()
            if exe.split(" (deleted)")[0] == target or "agentrouter" in exe:
                found[int(entry)] = name + " " + exe
    return found


def cgroups_of_ours():
    """Groups of this suite's attempts: those that hold a process, but none that this pid namespace shows, are another's."""
    seen, held, groups = {}, {}, {}
    # A walk, since another suite's groups may go while we look.
    for path in (pathlib.Path(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names if "agentrouter" in name):
        with contextlib.suppress(OSError):
            if path.is_dir():
                groups.setdefault(path.name, []).append(str(path))
                pids = [int(pid) for pid in (path / "cgroup.procs").read_text().split()]
                seen[path.name] = max(seen.get(path.name, 0), sum(pid > 0 for pid in pids))
                held[path.name] = max(held.get(path.name, 0), len(pids))
                held[path.name] = max(held[path.name], int((path / "pids.current").read_text()))
    return sorted(path for name, paths in groups.items() if seen.get(name, 0) or not held.get(name, 0) for path in paths)


def leftovers():
    """What a finished suite must not leave: name -> list."""
    mounts = [line for line in pathlib.Path("/proc/self/mounts").read_text().splitlines() if "agentrouter" in line]
    groups = cgroups_of_ours()
    spaces = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                spaces.add(os.readlink(f"/proc/{entry}/ns/net"))
    return {"processes": sorted(processes_of_ours().items()), "mounts": mounts, "cgroups": groups, "netns": sorted(spaces)}


class Case(unittest.TestCase):
    """A test that fails when something of ours is left behind it."""
    maxDiff = 4000

    def assert_waits_for(self, server, run, missing):
        """On a store that servers share another worker may have what this one lacks: the run waits for it, and can be cancelled."""
        placement = wait_for(lambda: server.call("GET", f"/v1/runs/{run}/record").get("placement"), what="a look at who could do it")
        self.assertEqual((placement["state"], placement["missing"]), ("unplaceable", missing))
        server.call("POST", f"/v1/runs/{run}/cancel")
        self.assertEqual(server.finish(run)[1][-1]["type"], "run.cancelled")

    def run(self, result=None):
        why = stores.reason_not_to_run(SUITE, unittest.TestCase.id(self).partition(".")[2])
        if why and result is not None:
            result.startTest(self)
            result.addSkip(self, why)
            result.stopTest(self)
            return result
        return super().run(result)

    @classmethod
    def setUpClass(cls):
        cls.before = leftovers()

    @classmethod
    def tearDownClass(cls):
        def clean():
            now = leftovers()
            return all(set(map(str, now[k])) <= set(map(str, cls.before[k])) for k in now)
        try:
            wait_for(clean, 20, "everything of ours to be gone")
        except AssertionError:
            now = leftovers()
            left = {k: [x for x in now[k] if str(x) not in set(map(str, cls.before[k]))] for k in now}
            raise AssertionError(f"left behind: {left}") from None


def main():
    why = stores.reason_not_to_run(SUITE)
    if why:
        print(f"not run on these stores: {why}")
        sys.exit(0)
    unittest.main(verbosity=2, argv=sys.argv)
