"""Stands between any client and a server and judges every exchange by the wire document; the bytes pass unchanged.

    python3 tests/support/recorder.py http://127.0.0.1:8787 [PORT]

Prints `recorder: listening on http://127.0.0.1:PORT` and ends on SIGTERM or SIGINT: with 1 and every violation on stderr when there was one,
or when nothing passed. For suites that are not written in Python, and for clients that the suites only start.
"""
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
        self.exchanges, self.violations, self.unread = 0, [], 0

    async def serve(self, reader, writer):
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        sent, got = bytearray(), bytearray()
        forward = asyncio.create_task(self._copy(reader, upstream_writer, sent))
        try:
            await self._copy(upstream_reader, writer, got)
        finally:
            forward.cancel()
            for one in (writer, upstream_writer):
                one.close()
        self._judge(bytes(sent), bytes(got))

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

    def _judge(self, sent, got):
        if len(got) > MOST or len(sent) > MOST:
            self.unread += 1
            return
        for exchange in exchanges_of(sent, got):
            self.exchanges += 1
            self.violations += contract().violations(exchange)


async def main():
    host, port = re.fullmatch(r"http://([^:/]+):(\d+)/?", sys.argv[1]).groups()
    recorder = Recorder(host, int(port))
    contract()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0, backlog=1024)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(f"recorder: listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    for violation in recorder.violations:
        print(violation, file=sys.stderr)
    print(f"recorder: {recorder.exchanges} exchanges, {len(recorder.violations)} violations, {recorder.unread} connections too long to judge", file=sys.stderr)
    return 1 if recorder.violations or not recorder.exchanges else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
