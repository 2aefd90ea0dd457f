"""Stands between any client and a server and judges every exchange by the wire document; the bytes pass unchanged.

    python3 tests/support/recorder.py [--valid [--but PATTERN]...] http://127.0.0.1:8787 [PORT]

Prints `recorder: listening on http://127.0.0.1:PORT`. On SIGTERM or SIGINT it judges what has passed and ends: with 1 and every violation on
stderr when there was one, or when nothing passed. With --valid a request that the document does not allow is a violation too; those that are
wrong on purpose are named by --but, a regular expression over what is said of them, and must have been sent. For suites that are not written in
Python, and for clients that the suites only start: `with Recorded(server.url) as url` in recorded.py.
"""
import argparse
import asyncio
import re
import signal
import sys

from contract import contract
from http_bytes import exchanges_of

MOST = 64 << 20  # bytes of one connection that are kept for judging


class Recorder:
    def __init__(self, host, port):
        self.host, self.port = host, port
        self.connections = []

    async def serve(self, reader, writer):
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        sent, got = bytearray(), bytearray()
        self.connections.append((sent, got))
        forward = asyncio.create_task(self._copy(reader, upstream_writer, sent))
        try:
            await self._copy(upstream_reader, writer, got)
        finally:
            forward.cancel()
            for one in (writer, upstream_writer):
                one.close()

    async def _copy(self, source, target, kept):
        try:
            while data := await source.read(65536):
                if len(kept) <= MOST:
                    kept += data
                target.write(data)
                await target.drain()
            target.write_eof()
        except (ConnectionError, OSError):
            # The other side learns of it as it would without a recorder between.
            target.transport.abort()

    def judge(self, valid, wrong):
        """(exchanges, violations, connections that were too long)."""
        exchanges, violations, unread = 0, [], 0
        missed = set(wrong)
        for sent, got in self.connections:
            if max(len(sent), len(got)) > MOST:
                unread += 1
                continue
            for exchange in exchanges_of(bytes(sent), bytes(got)):
                exchanges += 1
                violations += contract().violations(exchange)
                for problem in contract().wrong_request(exchange) if valid else ():
                    meant = [pattern for pattern in wrong if re.search(pattern, problem)]
                    missed.difference_update(meant)
                    violations += [] if meant else [problem]
        return exchanges, violations + [f"never sent: {pattern}" for pattern in missed], unread


async def record(recorder, port):
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", port, backlog=1024)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(f"recorder: listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--valid", action="store_true")
    parser.add_argument("--but", action="append", default=[])
    options = parser.parse_args()
    host, port = re.fullmatch(r"http://([^:/]+):(\d+)/?", options.url).groups()
    recorder = Recorder(host, int(port))
    asyncio.run(record(recorder, options.port))
    exchanges, violations, unread = recorder.judge(options.valid, options.but)
    for violation in violations:
        print(violation, file=sys.stderr)
    print(f"recorder: {exchanges} exchanges, {len(violations)} violations, {unread} connections too long to judge", file=sys.stderr)
    return 1 if violations or unread or not exchanges else 0


if __name__ == "__main__":
    sys.exit(main())
