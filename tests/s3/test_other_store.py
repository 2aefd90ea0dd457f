"""The conformance suite of blobs on s3rver, an S3 store from npm that others wrote."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import wait_for

HERE = pathlib.Path(__file__).parent
BLOBS_TEST = os.environ["AGENTROUTER_BLOBS_TEST"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def accepts(port):
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


class OtherStore(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-s3rver-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, self.folder)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=self.folder, capture_output=True, text=True, timeout=180)
        self.assertEqual(done.returncode, 0, done.stderr[-500:])

    def test_conformance(self):
        port = free_port()
        with open(self.folder / "log", "wb") as log:
            # Its tokens of listings need a cipher that OpenSSL 3 has put aside.
            server = subprocess.Popen(["node", "--openssl-legacy-provider", "node_modules/s3rver/bin/s3rver.js", "--directory", str(self.folder / "objects"), "--port", str(port),
                                       "--address", "127.0.0.1", "--no-vhost-buckets", "--configure-bucket", "artifacts"],
                                      cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_for(lambda: accepts(port) or server.poll() is not None, 60, "s3rver to listen")
        self.assertIsNone(server.poll(), (self.folder / "log").read_text())
        done = subprocess.run([BLOBS_TEST, "--gtest_filter=S3/BlobConformance.*"], capture_output=True, text=True, timeout=200,
                              env={**os.environ, "AGENTROUTER_OTHER_S3": f"127.0.0.1:{port}"})
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertRegex(done.stdout, r"\[  PASSED  \] 1\d tests")


if __name__ == "__main__":
    unittest.main(verbosity=2)
