"""One side of a takeover, spoken by hand so that it can be wrong, silent or dead: takeover_peer.py newer|owner DATA [step...].

Says each message that it receives on stdout. Steps are done in order, then it exits without a word:
    hello[=PROTOCOL] go ready       sends it
    welcome[=PROTOCOL]              sends it (owner: with a listening socket, whose port it printed first)
    refused=CODE                    sends it
    get                             waits for a message
    gets                            waits for messages up to "yours"
    close                           ends the conversation, and lives on
    stdin                           waits for a line, or for its end
"""
import json
import os
import pathlib
import socket
import sys

SEQPACKET_BYTES = 65536


def send(peer, message, fds=()):
    socket.send_fds(peer, [json.dumps(message).encode()], fds) if fds else peer.send(json.dumps(message).encode())


def receive(peer, kept):
    data, fds, _, _ = socket.recv_fds(peer, SEQPACKET_BYTES, 64)
    kept += fds
    message = {**json.loads(data or b"null"), "fds": len(fds)} if data else None
    print(json.dumps(message), flush=True)
    return message


def connect(data):
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    path = f"/proc/self/fd/{folder}/takeover.sock"
    return path, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def main():
    role, data, *steps = sys.argv[1:]
    path, peer = connect(data)
    kept, listener = [], None
    if role == "owner":
        listener = socket.create_server(("127.0.0.1", 0))
        pathlib.Path(path).unlink(missing_ok=True)
        peer.bind(path)
        peer.listen(4)
        print(listener.getsockname()[1], flush=True)
        peer = peer.accept()[0]
    else:
        peer.connect(path)
    for step in steps:
        name, _, value = step.partition("=")
        if name == "hello":
            send(peer, {"type": "hello", "protocol": int(value or 1)})
        elif name == "welcome":
            send(peer, {"type": "welcome", "protocol": int(value or 1), "sockets": [{"activated": False}]}, [listener.fileno()])
        elif name == "refused":
            send(peer, {"type": "refused", "protocol": 1, "code": value, "message": "not now"})
        elif name in ("go", "ready"):
            send(peer, {"type": name})
        elif name == "get":
            receive(peer, kept)
        elif name == "gets":
            while (message := receive(peer, kept)) and message["type"] != "yours":
                pass
        elif name == "close":
            peer.close()
        elif name == "stdin":
            sys.stdin.readline()
        else:
            raise SystemExit(f"no such step: {name}")


main()
