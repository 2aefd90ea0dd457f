"""A small internet in network namespaces of the suite's own: names that a resolver of ours knows, an HTTP and HTTPS server at all their addresses
with a certificate authority of ours, and at the addresses that nobody may reach. Public hosts are in a namespace behind a cable, as they are no
addresses of the machine that the runs are on. No packet leaves the machine.

`enter()` starts the suite again in such a namespace; World() fills it.
"""
import base64
import contextlib
import ctypes
import functools
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import socket
import socketserver
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile

from git_http import GitHttp

MARK = "AGENTROUTER_OWN_NETWORK"
PUBLIC, PRIVATE, METADATA, OTHER = "93.184.215.10", "10.77.0.9", "169.254.169.254", "93.184.215.66"
OWN = "93.184.216.77"  # public, and of the machine that the runs are on
NEAR, FAR = "10.78.0.1", "10.78.0.2"  # the ends of the cable
CLONE_NEWNET = 0x40000000


def enter():
    """Runs the suite again in a network and mount namespace of its own. Needs root."""
    if os.environ.get(MARK) or os.geteuid() != 0:
        return
    os.environ[MARK] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--", sys.executable, *sys.argv])


def libc(name, *arguments):
    if ctypes.CDLL(None, use_errno=True)[name](*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


class Outside:
    """Another network, in which the public hosts are."""

    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        libc("unshare", CLONE_NEWNET)
        self.network = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        libc("setns", self.home, CLONE_NEWNET)
        self.run("ip", "link", "add", "inside", "type", "veth", "peer", "name", "outside", "netns", str(os.getpid()))
        self.run("ip", "link", "set", "lo", "up")
        for address, device in ((f"{FAR}/30", "inside"), (f"{PUBLIC}/32", "lo"), (f"{OTHER}/32", "lo")):
            self.run("ip", "address", "add", address, "dev", device)
        self.run("ip", "link", "set", "inside", "up")

    def run(self, *words):
        subprocess.run(["nsenter", f"--net=/proc/self/fd/{self.network}", "--", *words], check=True, capture_output=True, pass_fds=[self.network])

    @contextlib.contextmanager
    def here(self):
        """Sockets that this thread makes meanwhile are there."""
        libc("setns", self.network, CLONE_NEWNET)
        try:
            yield
        finally:
            libc("setns", self.home, CLONE_NEWNET)

    def close(self):
        os.close(self.network)
        os.close(self.home)


class Names(socketserver.BaseRequestHandler):
    """A over UDP: each name has a list of addresses, one answer after the other, the last one for ever."""

    def handle(self):
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), int.from_bytes(data[at + 1:at + 3], "big")
        world = self.server.world
        world.asked.append(name)
        answers = world.names.get(name)
        head = data[:2] + (b"\x81\x80" if answers else b"\x81\x83") + b"\0\1" + (b"\0\1" if answers and kind == 1 else b"\0\0") + b"\0\0\0\0"
        reply = head + data[12:at + 5]
        if answers and kind == 1:
            address = answers.pop(0) if len(answers) > 1 else answers[0]
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address)
        sock.sendto(reply, self.client_address)


class World:
    def __init__(self, repositories, secret):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-world-"))
        self.names = {name: [PUBLIC] for name in ("registry.npmjs.org", "pypi.org", "files.pythonhosted.org", "git.example.com", "api.example.com",
                                                  "plain.example.com")}
        self.names |= {"metadata.example.com": [METADATA], "intern.example.com": [PRIVATE], "tools.example.com": [PRIVATE], "evil.example.com": [OTHER],
                       "local.example.com": ["127.0.0.1"], "own.example.com": [OWN]}
        self.asked, self.seen, self.secret = [], [], secret
        run = lambda *words: subprocess.run(words, check=True, capture_output=True)
        run("ip", "link", "set", "lo", "up")
        for address in (PRIVATE, METADATA, OWN):
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
        self.outside = Outside()
        run("ip", "address", "add", f"{NEAR}/30", "dev", "outside")
        run("ip", "link", "set", "outside", "up")
        run("ip", "route", "add", "93.184.215.0/24", "via", FAR)
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        run("mount", "--bind", str(self.folder / "resolv.conf"), str(pathlib.Path("/etc/resolv.conf").resolve()))
        self.certify()
        self.git = GitHttp(repositories)
        resolver = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Names)
        resolver.world = self
        self.servers = [resolver, self.serve(80, None), self.serve(443, self.context)]
        with self.outside.here():
            self.servers += [self.serve(80, None), self.serve(443, self.context)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.git.close()
        self.outside.close()

    def certify(self):
        openssl = lambda *words: subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority of this suite",
                "-addext", "keyUsage=critical,keyCertSign", "-addext", "basicConstraints=critical,CA:true")
        openssl("req", *curve, "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=hosts")
        names = ",".join(f"DNS:{name}" for name in self.names if name != "evil.example.com")
        (self.folder / "extension").write_text(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extension",
                "-out", "host.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.folder / "host.pem", self.folder / "host.key")
        self.ca_file = self.folder / "ca.pem"

    def reached(self, address):
        """Requests that came to an address."""
        return [entry for entry in self.seen if entry["address"] == address]

    def to(self, host):
        return [entry for entry in self.seen if entry["host"] == host]

    def serve(self, port, context):
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def say(self, status, body=b"", kind="text/plain", **fields):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                whole = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def answer(self):
                body, host = self.body(), self.headers.get("Host", "").split(":")[0]
                world.seen.append({"host": host, "method": self.command, "path": self.path, "authorization": self.headers.get("Authorization", ""),
                                   "address": self.connection.getsockname()[0], "body": body})
                maker = {"registry.npmjs.org": world.npm, "pypi.org": world.pypi, "files.pythonhosted.org": world.wheel, "git.example.com": world.repository,
                         "api.example.com": world.api}.get(host)
                if maker:
                    maker(self, body)
                else:
                    self.say(200, f"this is {host}\n".encode())

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address):
                if not context:
                    return super().finish_request(request, client_address)
                request.settimeout(20)
                with context.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)

            def handle_error(self, request, client_address):
                pass

        return Listener(("0.0.0.0", port), Handler)

    # What the hosts have.
    @staticmethod
    @functools.cache
    def npm_package(name):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for path, text in (("package/package.json", json.dumps({"name": name, "version": "1.0.0", "main": "index.js"})),
                               ("package/index.js", "module.exports = text => 'padded ' + text\n")):
                entry = tarfile.TarInfo(path)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return out.getvalue()

    def npm(self, request, _):
        path = request.path.replace("%2f", "/").replace("%2F", "/")
        name, _, file = path[1:].partition("/-/")
        if name not in ("padding", "@team/padding"):
            return request.say(404, b"{}", "application/json")
        package = self.npm_package(name)
        if file:
            return request.say(200, package, "application/octet-stream")
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
        version = {"name": name, "version": "1.0.0", "dist": {"tarball": f"https://registry.npmjs.org/{name}/-/padding-1.0.0.tgz", "integrity": integrity}}
        request.say(200, json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode(), "application/json")

    WHEEL = "sumsum-1.0-py3-none-any.whl"

    def pypi(self, request, _):
        if request.path != "/simple/sumsum/":
            return request.say(404)
        request.say(200, f'<a href="https://files.pythonhosted.org/packages/{self.WHEEL}">{self.WHEEL}</a>'.encode(), "text/html")

    def wheel(self, request, _):
        out, info = io.BytesIO(), "sumsum-1.0.dist-info"
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("sumsum.py", "def add(a, b):\n    return a + b\n")
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sumsum\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: suite\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"sumsum.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        request.say(200, out.getvalue(), "application/octet-stream")

    def repository(self, request, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.git.port, timeout=20)
        fields = {name: value for name, value in request.headers.items() if name.lower() in ("content-type", "content-encoding", "git-protocol", "accept")}
        connection.request(request.command, request.path, body or None, fields)
        reply = connection.getresponse()
        content = reply.read()
        request.say(reply.status, content, reply.getheader("Content-Type", "text/plain"))
        connection.close()

    def api(self, request, _):
        if request.path == "/echo":
            request.say(200, b"a word before; " + request.headers.get("Authorization", "").encode() + b"; and behind")
        elif request.path == "/encoded":
            request.say(200, base64.b64encode(b"x" + request.headers.get("Authorization", "").encode()))
        elif request.path == "/away":
            request.say(302, Location="https://evil.example.com/")
        elif request.path == "/big":
            request.say(200, b"x" * 1_000_000)
        else:
            request.say(200, b"known" if self.secret in request.headers.get("Authorization", "") else b"unknown")
