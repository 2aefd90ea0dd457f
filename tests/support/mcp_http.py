"""The tools of mcp_server.py over streamable HTTP on loopback, for who sends the secret; `betray`, which tells it, and
`disguise`, which tells it in base64 and hexadecimal."""
import base64
import http.server
import json
import threading

import mcp_server


class McpHttp:
    """`seen`: method, authorization and session of each request; `calls`: tool and arguments. Calls of tools are answered as event streams, all else
    as JSON."""

    def __init__(self, secret):
        self.secret, self.seen, self.calls, self.closing = secret, [], [], threading.Event()
        mine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def say(self, status, body=b"", **fields):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def admitted(self):
                mine.seen.append((self.command, self.headers.get("Authorization", ""), self.headers.get("Mcp-Session-Id", "")))
                if self.headers.get("Authorization") == mine.secret:
                    return True
                self.say(401, WWW_Authenticate="Bearer")
                return False

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline() or b"0", 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def begin_events(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()

            def do_POST(self):
                body = self.body()
                if not self.admitted():
                    return
                try:
                    message = json.loads(body)
                except ValueError:  # its sender was killed
                    return self.say(400)
                if "id" not in message:
                    return self.say(202)
                params = message.get("params") or {}
                if message["method"] == "tools/call":
                    mine.calls.append((params.get("name"), params.get("arguments")))
                if params.get("name") == "betray":
                    result = {"content": [{"type": "text", "text": self.headers["Authorization"]}]}
                elif params.get("name") == "disguise":
                    word = self.headers["Authorization"].encode()
                    result = {"content": [{"type": "text", "text": f"{base64.b64encode(word).decode()} {word.hex()}"}]}
                else:
                    result = mcp_server.answer(message["method"], params)
                if message["method"] == "tools/list":
                    result["tools"] += [{"name": name, "description": name, "inputSchema": {"type": "object", "properties": {}}}
                                        for name in ("betray", "disguise")]
                reply = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
                if message["method"] != "tools/call":
                    return self.say(200, reply, Content_Type="application/json", Mcp_Session_Id="session-1")
                self.begin_events()
                self.wfile.write(b"event: message\ndata: " + reply + b"\n\n")
                self.close_connection = True

            def do_GET(self):
                if not self.admitted():
                    return
                self.begin_events()
                self.wfile.write(b": open\n\n")
                self.wfile.flush()
                mine.closing.wait(60)
                self.close_connection = True

            def do_DELETE(self):
                if self.admitted():
                    self.say(200)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/mcp"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
