"""The other side of a takeover, for tests that play it."""
import json
import pathlib
import subprocess
import sys

PEER = pathlib.Path(__file__).with_name("takeover_peer.py")


class Peer:
    """One side of a takeover in a process of its own, as the other side may kill it."""

    def __init__(self, role, data, *steps, prefix=()):
        # As text: another user may not see where it lies.
        self.process = subprocess.Popen([*prefix, sys.executable, "-c", PEER.read_text(), role, str(data), *steps], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def get(self):
        """What it has received; None when the other side is gone."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def until(self, kind):
        while (message := self.get()) and message["type"] != kind:
            pass
        return message

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.end()
