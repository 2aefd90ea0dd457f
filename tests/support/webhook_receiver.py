"""A receiver of webhooks: answers as a test says, remembers what came, and checks signatures with the npm package `standardwebhooks`."""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import pathlib
import ssl
import subprocess
import threading

# The package that receivers use, at this version; installed once per suite into a folder of its own.
PACKAGE = "standardwebhooks@1.1.1"
CHECK = """
const { Webhook } = require("standardwebhooks");
const lines = require("fs").readFileSync(0, "utf8").split("\\n").filter(Boolean);
for (const line of lines) {
  const { secret, headers, body } = JSON.parse(line);
  try { new Webhook(secret).verify(body, headers); console.log("good"); } catch (error) { console.log("bad: " + error.message); }
}
"""


class Library:
    """`standardwebhooks` of npm in `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(self.folder), PACKAGE],
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"npm cannot install {PACKAGE}: {done.stderr[-500:]}")

    def verdicts(self, messages):
        """What it says about each (secret, headers, body)."""
        text = "".join(json.dumps({"secret": s, "headers": h, "body": b}) + "\n" for s, h, b in messages)
        done = subprocess.run(["node", "-e", CHECK], input=text, capture_output=True, text=True, cwd=self.folder, timeout=60, check=True)
        return done.stdout.splitlines()


def own_verdict(secret, headers, body):
    """The same by the words of the standard, without that package."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split(" ")


class Receiver:
    """Answers POSTs on a free port of this machine, at `host`. `answer(message)` gives (status, headers, body), or None to hang until the end."""

    def __init__(self, answer=None, certificate=None, port=0, host="127.0.0.1"):
        self.messages, self.changed, self.over = [], threading.Condition(), threading.Event()
        self.answer = answer or (lambda message: (204, {}, b""))
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                message = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body, "data": json.loads(body)}
                with receiver.changed:
                    receiver.messages.append(message)
                    receiver.changed.notify_all()
                reply = receiver.answer(message)
                if reply is None:
                    receiver.over.wait(60)
                    return
                status, headers, content = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.server.daemon_threads = True
        self.host = host
        self.port = self.server.server_address[1]
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def url(self, path="/hook"):
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    def wait(self, condition, seconds=30):
        """Until `condition(messages)`; gives the messages then."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self.messages), seconds):
                raise AssertionError(f"no such message: {[m['data']['type'] for m in self.messages]}")
            return list(self.messages)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def make_certificates(folder):
    """An authority and a certificate for 127.0.0.1: (ca file, (certificate, key))."""
    folder = pathlib.Path(folder)

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem", "-days", "2", "-extfile", "names")
    return folder / "ca.pem", (folder / "cert.pem", folder / "key.pem")
