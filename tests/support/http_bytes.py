"""Exchanges from the bytes of one connection. Reads what a well-formed server sends; a request that is no HTTP has no method."""
import dataclasses


@dataclasses.dataclass
class Exchange:
    """One request and the whole reply to it. `method` None: a request that could not be read."""
    method: str | None
    target: str
    headers: list
    body: bytes
    status: int
    reply_headers: list
    reply: bytes
    cut: bool = False  # the reader did not wait for the end of the reply

    def header(self, name, otherwise=None):
        return next((v for k, v in self.headers if k.lower() == name), otherwise)

    def reply_header(self, name, otherwise=None):
        return next((v for k, v in self.reply_headers if k.lower() == name), otherwise)


class Cut(Exception):
    """The bytes end within a message."""


def split_head(data):
    head, mark, rest = data.partition(b"\r\n\r\n")
    if not mark:
        raise Cut
    lines = head.decode("latin-1").split("\r\n")
    return lines[0], [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line], rest


def unchunk(data):
    """(body, rest, whether the end was seen)."""
    body = b""
    while True:
        size, mark, rest = data.partition(b"\r\n")
        if not mark:
            return body, b"", False
        length = int(size.split(b";")[0], 16)
        if len(rest) < length + 2:
            return body + rest[:length], b"", False
        body, data = body + rest[:length], rest[length + 2:]
        if length == 0:
            return body, data, True


def length_of(headers):
    return next((int(v) for k, v in headers if k.lower() == "content-length" and v.isdigit()), None)


def chunked(headers):
    return any(k.lower() == "transfer-encoding" and v.lower() == "chunked" for k, v in headers)


def read_request(data):
    """(method, target, headers, body, rest). Raises Cut or ValueError."""
    line, headers, rest = split_head(data)
    method, target, version = line.split(" ")
    if not version.startswith("HTTP/1.") or not method.isalpha():
        raise ValueError(line)
    if chunked(headers):
        body, rest, _ = unchunk(rest)
        return method, target, headers, body, rest
    length = length_of(headers) or 0
    return method, target, headers, rest[:length], rest[length:]


def read_response(data, method):
    """(status, headers, body, rest, cut)."""
    line, headers, rest = split_head(data)
    status = int(line.split(" ")[1])
    if 100 <= status < 200:
        return read_response(rest, method)
    if method == "HEAD" or status in (204, 304):
        return status, headers, b"", rest, False
    if chunked(headers):
        body, rest, whole = unchunk(rest)
        return status, headers, body, rest, not whole
    length = length_of(headers)
    if length is None:
        return status, headers, rest, b"", False
    return status, headers, rest[:length], rest[length:], len(rest) < length


def exchanges_of(requests, responses, cut=False):
    """Pairs requests and responses of a connection in order; a reply without a readable request stands alone."""
    while responses:
        try:
            method, target, headers, body, requests = read_request(requests)
        except (Cut, ValueError):
            method, target, headers, body, requests = None, "", [], b"", b""
        try:
            status, reply_headers, reply, responses, short = read_response(responses, method)
        except Cut:
            return
        yield Exchange(method, target, headers, body, status, reply_headers, reply, cut or short)
