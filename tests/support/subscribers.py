"""Many live subscribers of one run in one process, and what each of them got."""
import hashlib
import re
import resource
import selectors
import socket

from harness import KEY, Deadline


def raise_open_files():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Subscriber:
    """One live stream without chunks (HTTP/1.0); remembers how many events it got and a digest of their bytes."""

    def __init__(self, server, run_id, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((server.host, int(server.port)))
        self.socket.sendall(f"GET /v1/runs/{run_id}/stream?follow=true HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        self.digest, self.events, self.head, self.rest = hashlib.sha256(), 0, b"", b""

    def fileno(self):
        return self.socket.fileno()

    def take(self):
        """Reads once what is there; False at the end."""
        data = self.socket.recv(1 << 18)
        if not data:
            return False
        self.rest += data
        if not self.head:
            self.head, mark, rest = self.rest.partition(b"\r\n\r\n")
            if not mark:
                self.head = b""
                return True
            self.rest = rest
        whole, mark, self.rest = self.rest.rpartition(b"\n\n")
        for frame in (whole + mark).split(b"\n\n")[:-1]:
            if frame.startswith(b"id: "):
                self.events += 1
                self.digest.update(frame)
        return True

    def started(self):
        """The head and the first frame (`retry:`) have come: the server follows for us."""
        while not (self.head and self.head.startswith(b"HTTP/1.1 200")):
            if not self.take():
                raise AssertionError(f"no stream: {self.rest[:300]!r}")
        return self

    def close(self):
        self.socket.close()


def read_all(subscribers, seconds):
    """Reads until every stream has ended."""
    deadline = Deadline(seconds)
    with selectors.DefaultSelector() as selector:
        for one in subscribers:
            selector.register(one, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(deadline.left("the end of every stream")):
                if not key.fileobj.take():
                    selector.unregister(key.fileobj)


def stored(server, run_id):
    """(events, digest) of a run that has ended, as its batches give them."""
    digest, after = hashlib.sha256(), 0
    while True:
        _, _, data = server.request("GET", f"/v1/runs/{run_id}/stream?afterSeq={after}")
        frames = [f for f in data.split(b"\n\n") if f.startswith(b"id: ")]
        if not frames:
            return after, digest.hexdigest()
        for frame in frames:
            after += 1
            if int(re.match(rb"id: (\d+)", frame)[1]) != after:
                raise AssertionError(f"not event {after}: {frame[:80]!r}")
            digest.update(frame)
