"""A strict S3 server for tests: verifies every signature by code of its own, the digest of every body and the age of every request, and can be
told to misbehave.

It keeps everything in memory, shows at once what was written, and knows what src/blobs/s3 asks for and nothing else: PUT, GET (also presigned),
HEAD and DELETE of objects, ListObjectsV2, multipart uploads and their listing. Whatever is wrong with a request is refused and remembered in
`complaints`: a suite that ends with a complaint it did not expect has found a defect.

    python3 s3_server.py --access-key A --secret-key S [--token T] [--bucket B] [--region R] [--virtual-host NAME] [--tls CERT KEY]

prints its port as its first line. POST /_control with a JSON object steers it, GET /_control tells its state:

    {"faults": [{"method": "PUT", "match": "keys/", "times": 2, "do": "status", "status": 503, "code": "SlowDown", "headers": {}}]}
        do: status | reset (no answer) | cut (half of the body, then the end) | spoil (another byte in the body) | slow (waits `seconds`)
            | lose (does what was asked and does not answer)
    {"skew": 1200}          its clock is so many seconds ahead
    {"credentials": [access, secret, token]}
    {"down": true}          every connection is closed without an answer
    {"age": {"prefix": "uses/", "seconds": 90000}}   objects and uploads become older
    {"spoil": "name"}       the stored bytes of an object change
    {"forget": true}        requests and complaints are forgotten
"""
import argparse
import datetime
import hashlib
import hmac
import http.server
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse
from xml.etree import ElementTree
from xml.sax.saxutils import escape

EMPTY = hashlib.sha256(b"").hexdigest()
SKEW_ALLOWED = 900
LEAST_PART = 5 << 20
HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


class Refusal(Exception):
    def __init__(self, status, code, message="", headers=()):
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers)


def quote(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-_.~")


def signing_key(secret, date, region):
    key = ("AWS4" + secret).encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(method, raw_path, query, headers, signed, payload, secret, date, region):
    """Of a request as it came: `raw_path` as on the wire, `query` decoded pairs, `headers` in lower case."""
    path = quote(urllib.parse.unquote(raw_path), "/")
    pairs = "&".join(f"{a}={b}" for a, b in sorted((quote(a), quote(b)) for a, b in query))
    lines = "".join(f"{name}:{re.sub(' +', ' ', headers[name].strip())}" + "\n" for name in signed)
    canonical = "\n".join([method, path, pairs, lines, ";".join(signed), payload])
    scope = f"{date[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(signing_key(secret, date[:8], region), text.encode(), hashlib.sha256).hexdigest()


class Object:
    def __init__(self, body, fields, changed):
        self.body, self.fields, self.changed = body, fields, changed
        self.etag = '"' + hashlib.md5(body).hexdigest() + '"'


class State:
    def __init__(self, options):
        self.access, self.secret, self.token = options.access_key, options.secret_key, options.token
        self.bucket, self.region, self.host = options.bucket, options.region, options.virtual_host
        self.lock = threading.RLock()
        self.objects, self.uploads = {}, {}
        self.faults, self.requests, self.complaints = [], [], []
        self.skew, self.down, self.next, self.connections = 0, False, 1, 0

    def now(self):
        return time.time() + self.skew

    def control(self, order):
        with self.lock:
            self.faults = order.get("faults", self.faults)
            self.skew = order.get("skew", self.skew)
            self.down = order.get("down", self.down)
            if "credentials" in order:
                self.access, self.secret, self.token = order["credentials"]
            if "age" in order:
                for table in (self.objects, self.uploads):
                    for key, one in table.items():
                        name = one["key"] if isinstance(one, dict) else key
                        if order["age"]["prefix"] in name:
                            if isinstance(one, dict):
                                one["begun"] -= order["age"]["seconds"]
                            else:
                                one.changed -= order["age"]["seconds"]
            if "spoil" in order:
                one = self.objects[order["spoil"]]
                one.body = one.body[:-1] + bytes([one.body[-1] ^ 1])
            if order.get("forget"):
                self.requests, self.complaints = [], []

    def names(self):
        with self.lock:
            return sorted(self.objects)

    def report(self):
        with self.lock:
            return {"objects": {k: {"size": len(o.body), "sha256": hashlib.sha256(o.body).hexdigest(), "fields": o.fields}
                                for k, o in self.objects.items()},
                    "uploads": [u["key"] for u in self.uploads.values()],
                    "requests": self.requests, "complaints": self.complaints, "connections": self.connections}

    def fault_for(self, method, target):
        with self.lock:
            for fault in self.faults:
                if fault.get("times", 1) > 0 and fault.get("method", method) == method and fault.get("match", "") in target:
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None

    def log_message(self, *ignored):
        pass

    def setup(self):
        super().setup()
        with self.state.lock:
            self.state.connections += 1

    def date_time_string(self, timestamp=None):
        return time.strftime(HTTP_DATE, time.gmtime(self.state.now()))

    # What was asked.
    def read_request(self):
        parts = urllib.parse.urlsplit(self.path)
        self.raw_path = parts.path
        self.query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        self.fields = {k.lower(): v for k, v in self.headers.items()}
        self.body = self.rfile.read(int(self.fields.get("content-length", 0)))

    def check_signature(self):
        state, query = self.state, dict(self.query)
        if "X-Amz-Signature" in query:
            return self.check_presigned(query)
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
                             self.fields.get("authorization", ""))
        if not match:
            raise Refusal(403, "AccessDenied", "the request is not signed")
        access, day, region, signed, proof = match.groups()
        signed = signed.split(";")
        date = self.fields.get("x-amz-date", "")
        if signed != sorted(signed) or "host" not in signed:
            raise Refusal(400, "AuthorizationHeaderMalformed", "signed headers")
        for name in self.fields:
            if name.startswith("x-amz-") and name not in signed or name == "content-type" and name not in signed:
                raise Refusal(403, "AccessDenied", f"{name} is not signed")
        if region != state.region:
            raise Refusal(400, "AuthorizationHeaderMalformed", f"the region '{region}' is wrong; expecting '{state.region}'")
        payload = self.fields.get("x-amz-content-sha256")
        if not payload or not date.startswith(day):
            raise Refusal(400, "InvalidRequest", "x-amz-content-sha256 or x-amz-date is missing")
        self.check_keys(access, self.fields.get("x-amz-security-token"))
        expected = signature(self.command, self.raw_path, self.query, self.fields, signed, payload, state.secret, date, region)
        if not hmac.compare_digest(expected, proof):
            raise Refusal(403, "SignatureDoesNotMatch")
        self.check_age(date, SKEW_ALLOWED)
        if payload != hashlib.sha256(self.body).hexdigest():
            raise Refusal(400, "XAmzContentSHA256Mismatch")

    def check_presigned(self, query):
        state = self.state
        access, day, region, *rest = query["X-Amz-Credential"].split("/")
        self.check_keys(access, query.get("X-Amz-Security-Token"))
        pairs = [(k, v) for k, v in self.query if k != "X-Amz-Signature"]
        expected = signature(self.command, self.raw_path, pairs, self.fields, query["X-Amz-SignedHeaders"].split(";"), "UNSIGNED-PAYLOAD",
                             state.secret, query["X-Amz-Date"], region)
        if region != state.region or not hmac.compare_digest(expected, query["X-Amz-Signature"]):
            raise Refusal(403, "SignatureDoesNotMatch")
        at = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if self.state.now() > at + int(query["X-Amz-Expires"]):
            raise Refusal(403, "AccessDenied", "Request has expired")

    def check_keys(self, access, token):
        if access != self.state.access:
            raise Refusal(403, "InvalidAccessKeyId")
        if (token or "") != (self.state.token or ""):
            raise Refusal(400, "ExpiredToken" if token else "InvalidToken")

    def check_age(self, date, allowed):
        at = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if abs(self.state.now() - at) > allowed:
            raise Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")

    def find_place(self):
        state, host = self.state, self.fields.get("host", "")
        path = urllib.parse.unquote(self.raw_path)
        if state.host:
            if host.rsplit(":", 1)[0] != f"{state.bucket}.{state.host}":
                raise Refusal(404, "NoSuchBucket", f"host {host}")
            return path[1:]
        bucket, _, key = path[1:].partition("/")
        if bucket != state.bucket:
            raise Refusal(404, "NoSuchBucket")
        return key

    # Answers.
    def answer(self, status, body=b"", fields=(), kind="application/xml"):
        self.send_response(status)
        for name, value in dict(fields).items():
            self.send_header(name, value)
        if "Content-Length" not in dict(fields) and status != 204:
            self.send_header("Content-Length", str(len(body)))
        if body or self.command != "HEAD":
            self.send_header("Content-Type", kind)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, refusal):
        fields = dict(refusal.headers)
        body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>'
                f"<RequestId>1</RequestId></Error>").encode()
        if self.command == "HEAD":
            fields["Content-Length"], body = "0", b""
        self.answer(refusal.status, body, fields)

    def handle_any(self):
        self.read_request()
        if self.raw_path == "/_control":
            if self.command == "POST":
                self.state.control(json.loads(self.body))
            told = self.state.names() if ("names", "1") in self.query else self.state.report()
            return self.answer(200, json.dumps(told).encode(), kind="application/json")
        if self.state.down:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        target = urllib.parse.unquote(self.path)
        with self.state.lock:
            self.state.requests.append([self.command, target, self.fields, len(self.body)])
        fault = self.state.fault_for(self.command, target)
        self.spoils, self.cuts = fault.get("do") == "spoil", fault.get("do") == "cut"
        if fault.get("do") == "status":
            return self.refuse(Refusal(fault["status"], fault.get("code", "InternalError"), "a fault of the test", fault.get("headers", {})))
        if fault.get("do") == "reset":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault.get("do") == "slow":
            time.sleep(fault["seconds"])
        try:
            self.check_signature()
            key = self.find_place()
            with self.state.lock:
                serve = self.decide(key)
            if fault.get("do") == "lose":
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            serve()
        except Refusal as refusal:
            if refusal.status not in (404, 412):
                with self.state.lock:
                    self.state.complaints.append([refusal.code, refusal.message, self.command, target])
            self.refuse(refusal)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    # What is done, under the lock; the answer is sent without it.
    def decide(self, key):
        query = dict(self.query)
        if not key:
            if "uploads" in query:
                return self.list_uploads(query)
            return self.list_objects(query)
        if self.command == "PUT" and "uploadId" in query:
            return self.put_part(key, query)
        if self.command == "PUT":
            return self.put(key)
        if self.command == "POST" and "uploads" in query:
            return self.begin_upload(key)
        if self.command == "POST" and "uploadId" in query:
            return self.complete(key, query["uploadId"])
        if self.command == "DELETE" and "uploadId" in query:
            self.upload_of(key, query["uploadId"])
            del self.state.uploads[query["uploadId"]]
            return lambda: self.answer(204)
        if self.command == "DELETE":
            self.state.objects.pop(key, None)
            return lambda: self.answer(204)
        if self.command in ("GET", "HEAD"):
            return self.get(key, query)
        raise Refusal(405, "MethodNotAllowed")

    def kept_fields(self):
        return {k: v for k, v in self.fields.items() if k.startswith(("x-amz-meta-", "x-amz-server-side-")) or k == "content-type"}

    def put(self, key):
        if self.fields.get("if-none-match") == "*" and key in self.state.objects:
            raise Refusal(412, "PreconditionFailed")
        made = self.state.objects[key] = Object(self.body, self.kept_fields(), self.state.now())
        return lambda: self.answer(200, fields={"ETag": made.etag})

    def get(self, key, query):
        found = self.state.objects.get(key)
        if found is None:
            raise Refusal(404, "NoSuchKey")
        fields = {k: v for k, v in found.fields.items() if k != "content-type"}
        fields |= {"ETag": found.etag, "Content-Length": str(len(found.body))}
        if "response-content-disposition" in query:
            fields["Content-Disposition"] = query["response-content-disposition"]
        kind = query.get("response-content-type", found.fields.get("content-type", "binary/octet-stream"))
        body = found.body
        if self.spoils and body:
            body = body[:-1] + bytes([body[-1] ^ 1])

        def serve():
            if self.cuts:
                self.answer(200, body[:len(body) // 2], fields, kind)
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            self.answer(200, body, fields, kind)
        return serve

    def list_objects(self, query):
        if query.get("list-type") != "2" or self.command != "GET":
            raise Refusal(400, "InvalidRequest", "only ListObjectsV2 is known")
        prefix, after, most = query.get("prefix", ""), query.get("continuation-token", ""), min(int(query.get("max-keys", 1000)), 1000)
        names = sorted(k for k in self.state.objects if k.startswith(prefix) and k > after)
        page = names[:most]
        xml = f"<Name>{self.state.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        xml += f"<IsTruncated>{str(len(names) > most).lower()}</IsTruncated>"
        if len(names) > most:
            xml += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        for name in page:
            one = self.state.objects[name]
            xml += (f"<Contents><Key>{escape(name)}</Key><LastModified>{iso(one.changed)}</LastModified><ETag>{escape(one.etag)}</ETag>"
                    f"<Size>{len(one.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>")
        return lambda: self.answer(200, document("ListBucketResult", xml))

    def begin_upload(self, key):
        upload = f"upload+{self.state.next}/="
        self.state.next += 1
        self.state.uploads[upload] = {"key": key, "parts": {}, "fields": self.kept_fields(), "begun": self.state.now()}
        xml = f"<Bucket>{self.state.bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
        return lambda: self.answer(200, document("InitiateMultipartUploadResult", xml))

    def upload_of(self, key, upload):
        found = self.state.uploads.get(upload)
        if not found or found["key"] != key:
            raise Refusal(404, "NoSuchUpload")
        return found

    def put_part(self, key, query):
        number = int(query["partNumber"])
        if not 1 <= number <= 10000:
            raise Refusal(400, "InvalidArgument", "partNumber")
        etag = '"' + hashlib.md5(self.body).hexdigest() + '"'
        self.upload_of(key, query["uploadId"])["parts"][number] = (etag, self.body)
        return lambda: self.answer(200, fields={"ETag": etag})

    def complete(self, key, upload):
        found = self.upload_of(key, upload)
        space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
        wanted = [(int(p.findtext(space + "PartNumber")), p.findtext(space + "ETag"))
                  for p in ElementTree.fromstring(self.body).findall(space + "Part")]
        if not wanted or [n for n, _ in wanted] != sorted({n for n, _ in wanted}):
            raise Refusal(400, "InvalidPartOrder")
        for number, etag in wanted:
            if number not in found["parts"] or found["parts"][number][0] != etag:
                raise Refusal(400, "InvalidPart", f"part {number}")
            if number != wanted[-1][0] and len(found["parts"][number][1]) < LEAST_PART:
                raise Refusal(400, "EntityTooSmall", f"part {number}")
        body = b"".join(found["parts"][n][1] for n, _ in wanted)
        made = self.state.objects[key] = Object(body, found["fields"], self.state.now())
        del self.state.uploads[upload]
        return lambda: self.answer(200, document("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key><ETag>{escape(made.etag)}</ETag>"))

    def list_uploads(self, query):
        prefix, marker = query.get("prefix", ""), query.get("upload-id-marker", "")
        found = sorted((u["key"], i, u["begun"]) for i, u in self.state.uploads.items() if u["key"].startswith(prefix))
        if query.get("key-marker"):
            found = [f for f in found if (f[0], f[1]) > (query["key-marker"], marker)]
        page = found[:2]  # small, so that paging is tested
        xml = f"<IsTruncated>{str(len(found) > len(page)).lower()}</IsTruncated>"
        if len(found) > len(page):
            xml += f"<NextKeyMarker>{escape(page[-1][0])}</NextKeyMarker><NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
        for key, upload, begun in page:
            xml += f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId><Initiated>{iso(begun)}</Initiated></Upload>"
        return lambda: self.answer(200, document("ListMultipartUploadsResult", xml))


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def document(root, xml):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{xml}</{root}>'.encode()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, OSError)):
            super().handle_error(request, client_address)


def make_server(options):
    handler = type("BoundHandler", (Handler,), {"state": State(options)})
    server = Server((options.listen, options.port), handler)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def arguments(words=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--access-key", default="AKIDTEST")
    parser.add_argument("--secret-key", default="test/secret+key0123456789")
    parser.add_argument("--token", default="")
    parser.add_argument("--bucket", default="artifacts")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--virtual-host", default="")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2)
    return parser.parse_args(words)


def main():
    server = make_server(arguments())
    print(server.server_address[1], flush=True)
    # Ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever(0.05)


if __name__ == "__main__":
    main()
