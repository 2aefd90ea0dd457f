"""A server behind the recorder, for clients whose exchanges the harness does not see."""
import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).with_name("recorder.py")


class Recorded:
    """`url` is what clients take; stop() fails when the wire document does not allow what has passed, or when nothing has. `wrong`: patterns of
    the requests that break it on purpose, as recorder.py says of them. Leaving by an exception does not judge."""

    def __init__(self, url, wrong=()):
        self.process = subprocess.Popen([sys.executable, "-B", TOOL, "--valid", *(f"--but={pattern}" for pattern in wrong), url], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the recorder did not start: {self.process.communicate()[1]}")
        self.url = line.split()[-1]

    def stop(self):
        """The exchanges that were judged."""
        self.process.terminate()
        try:
            _, said = self.process.communicate(timeout=120)
        finally:
            self.process.kill()
        if self.process.returncode != 0:
            raise AssertionError(f"not as openapi/openapi.yaml says:\n{said[-20000:]}")
        return int(said.split("recorder: ")[-1].split()[0])

    def __enter__(self):
        return self.url

    def __exit__(self, *exc):
        if not exc[0]:
            self.stop()
            return
        self.process.kill()
        self.process.communicate()
