#!/usr/bin/env python3
"""Concurrent first uses of one Idempotency-Key: one 201, the rest replays, one run. Usage: python3 bench/idempotency.py [CLIENTS] (1000)"""
import collections
import json
import pathlib
import selectors
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import KEY, Server  # noqa: E402
from http_bytes import Cut, read_response  # noqa: E402
from subscribers import raise_open_files  # noqa: E402


def main():
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    raise_open_files()
    body = b'{"task":"once"}'
    request = (f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nIdempotency-Key: first\r\n"
               f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
    with Server(args=("--sim", "--role", "api")) as server, selectors.DefaultSelector() as selector:
        sockets = [socket.create_connection((server.host, int(server.port))) for _ in range(clients)]
        begin = time.perf_counter()
        for one in sockets:
            one.sendall(request)
            selector.register(one, selectors.EVENT_READ, bytearray())
        statuses, runs = collections.Counter(), set()
        while selector.get_map():
            for key, _ in selector.select(60):
                data = key.fileobj.recv(65536)
                key.data.extend(data)
                if data:
                    continue
                selector.unregister(key.fileobj)
                try:
                    status, _, reply, _, _ = read_response(bytes(key.data), "POST")
                except Cut:
                    status, reply = 0, b"{}"
                statuses[status] += 1
                runs.add(json.loads(reply).get("id"))
        took = time.perf_counter() - begin
        print(f"{clients} clients in {took:.2f} s: {dict(statuses)}, {len(runs)} run; the server has {len(server.call('GET', '/v1/runs')['items'])}")
        for one in sockets:
            one.close()
    sys.exit(0 if statuses == {201: 1, 200: clients - 1} and len(runs) == 1 else 1)


main()
