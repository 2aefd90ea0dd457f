#!/usr/bin/env python3
"""Many live subscribers in one process, cheap in CPU: watchers.py HOST PORT NUMBER SEED OUT.

Lines on stdin: a run to watch, or `finish`. Each subscriber follows a run from its first event to its end; when the connection breaks, or it feels like
it, it comes back with the last id it saw, and when the run has ended it takes another one. What it saw goes to OUT when it is over:
{run, connections: [{after, ids, digests}], ended, status, given_up}; a digest is the first 8 bytes of SHA-256 of a frame as it came. After `finish` nobody takes another run.
"""
import hashlib
import heapq
import json
import os
import random
import re
import selectors
import socket
import sys
import time

from harness import KEY
from subscribers import raise_open_files

TERMINAL = re.compile(rb"^event: run\.(completed|failed|cancelled)$", re.MULTILINE)
LATEST = 12           # runs that a free subscriber may choose from
LEAVES = 0.02         # how often one that has read something leaves by itself
RESTS = 0.01          # or does not read for a while
AGAIN = (0.01, 0.4)   # seconds until it comes back
PAUSE = (0.2, 5.0)    # and until it takes another run
LONGEST_REST = 3.0


def digest(frame):
    return hashlib.sha256(frame).digest()[:8].hex()


class Watcher:
    """One subscriber: free, waiting for its time, or connected."""

    def __init__(self):
        self.run = self.socket = self.status = None
        self.connections, self.last, self.terminal = [], 0, False

    def take(self, run):
        self.run, self.connections, self.last, self.terminal = run, [], 0, False

    def connect(self, address):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(address)
        self.rest, self.status, self.asked = b"", None, False
        self.connections.append({"after": self.last, "ids": [], "digests": ""})

    def ask(self):
        self.socket.send(f"GET /v1/runs/{self.run}/stream HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\nAccept: text/event-stream\r\n"
                         f"Last-Event-ID: {self.last}\r\n\r\n".encode())
        self.asked = True

    def read(self):
        """False when the connection is over."""
        data = self.socket.recv(1 << 18)
        self.rest += data
        if self.status is None:
            head, mark, rest = self.rest.partition(b"\r\n\r\n")
            if not mark:
                return bool(data)
            self.status, self.rest = int(head.split()[1]), rest
        *frames, self.rest = self.rest.split(b"\n\n")
        for frame in frames:
            self._see(frame)
        return bool(data)

    def _see(self, frame):
        match = re.match(rb"id: (\d+)\n", frame)
        if not match:
            return  # `retry:` or a heartbeat
        seen = self.connections[-1]
        self.last = int(match[1])
        seen["ids"].append(self.last)
        seen["digests"] += digest(frame)
        self.terminal = self.terminal or bool(TERMINAL.search(frame))

    def over(self):
        """The run's end was seen, or the server says that there is nothing more."""
        return self.terminal or self.status == 204

    def hang_up(self):
        self.socket.close()
        self.socket = None

    def seen(self, given_up=False):
        return {"run": self.run, "connections": [c for c in self.connections if c["ids"]], "ended": self.over(), "status": self.status,
                "given_up": given_up}


class Crowd:
    def __init__(self, address, number, seed, out):
        self.address, self.random, self.out = address, random.Random(seed), open(out, "w", encoding="utf-8")
        self.selector, self.runs, self.finishing = selectors.DefaultSelector(), [], False
        self.free, self.due, self.busy, self.order = [Watcher() for _ in range(number)], [], 0, 0
        self.commands = b""
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, None)

    def later(self, seconds, act, watcher):
        self.order += 1
        heapq.heappush(self.due, (time.monotonic() + seconds, self.order, act, watcher))

    def command(self):
        data = os.read(0, 65536)
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            if line == b"finish":
                self.finishing = True
            else:
                self.runs = [*self.runs[1 - LATEST:], line.decode()]
        if not data:
            self.finishing = True
            self.selector.unregister(0)

    def put_to_work(self):
        while self.free and self.runs and not self.finishing:
            watcher = self.free.pop()
            watcher.take(self.random.choice(self.runs))
            self.busy += 1
            self.later(self.random.uniform(*PAUSE), self.connect, watcher)

    def connect(self, watcher):
        watcher.connect(self.address)
        self.selector.register(watcher.socket, selectors.EVENT_WRITE, watcher)

    def wake(self, watcher):
        if watcher.socket:
            self.selector.register(watcher.socket, selectors.EVENT_READ, watcher)

    def ready(self, watcher):
        try:
            if not watcher.asked:
                watcher.ask()
                self.selector.modify(watcher.socket, selectors.EVENT_READ, watcher)
                return
            if watcher.read():
                self.maybe_leave(watcher)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.leave(watcher)

    def maybe_leave(self, watcher):
        chance = self.random.random()
        if chance < LEAVES:
            self.leave(watcher)
        elif chance < LEAVES + RESTS:
            self.selector.unregister(watcher.socket)
            self.later(self.random.random() * LONGEST_REST, self.wake, watcher)

    def leave(self, watcher):
        self.selector.unregister(watcher.socket)
        watcher.hang_up()
        if watcher.over() or watcher.status == 404:
            self.out.write(json.dumps(watcher.seen()) + "\n")
            self.busy -= 1
            self.free.append(watcher)
        else:
            self.later(self.random.uniform(*AGAIN), self.connect, watcher)

    def serve(self, patience=300):
        """Until everybody has come to an end, or `patience` seconds after `finish`."""
        until = None
        while not (self.finishing and not self.busy):
            self.put_to_work()
            now = time.monotonic()
            if self.finishing and until is None:
                until = now + patience
            if until and now > until:
                break
            wait = min(max(self.due[0][0] - now, 0), 1.0) if self.due else 1.0
            for key, _ in self.selector.select(wait):
                if key.data:
                    self.ready(key.data)
                else:
                    self.command()
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, act, watcher = heapq.heappop(self.due)
                act(watcher)
        self.give_up()

    def give_up(self):
        for key in list(self.selector.get_map().values()):
            if key.data:
                self.out.write(json.dumps(key.data.seen(given_up=True)) + "\n")
        for _, _, _, watcher in self.due:
            self.out.write(json.dumps(watcher.seen(given_up=True)) + "\n")
        self.out.close()


def main():
    host, port, number, seed, out = sys.argv[1:]
    raise_open_files()
    Crowd((host, int(port)), int(number), seed, out).serve()


if __name__ == "__main__":
    main()
