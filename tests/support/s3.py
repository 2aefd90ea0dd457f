"""The strict S3 server (s3_server.py) beside a suite: started as a process of its own, steered, and judged at its end.

S3().settings() gives the [blobs] section of a server's configuration, S3().environment() the keys. With AGENTROUTER_TEST_BLOBS=s3 every suite
of harness.Server runs on a store of its own (harness.test_blobs).
"""
import json
import pathlib
import subprocess
import sys
import urllib.request

ACCESS, SECRET = "AKIDTEST", "test/secret+key0123456789"
SERVER = pathlib.Path(__file__).with_name("s3_server.py")


class S3:
    def __init__(self, prefix="server/", bucket="artifacts", port=0, more=()):
        self.prefix, self.bucket = prefix, bucket
        self.process = subprocess.Popen([sys.executable, "-B", str(SERVER), "--bucket", bucket, "--port", str(port), *more],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def settings(self, **more):
        """The section of agentrouter.toml; `more` are settings by name."""
        keys = {"url": f"s3://{self.bucket}/{self.prefix}", "endpoint": self.endpoint, "retry_seconds": 1, **more}
        return "[blobs]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items())

    @staticmethod
    def environment():
        return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}

    def _ask(self, order=None, query=""):
        request = urllib.request.Request(self.endpoint + "/_control" + query, None if order is None else json.dumps(order).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            return json.loads(reply.read())

    def control(self, **order):
        return self._ask(order)

    def state(self):
        return self._ask()

    def names(self):
        """Of all objects, which costs less than all that state() says of them."""
        return self._ask(query="?names=1")

    def objects(self, prefix=""):
        """{name: facts}, names without the prefix of the settings."""
        whole = self.prefix + prefix
        return {k[len(self.prefix):]: v for k, v in self.state()["objects"].items() if k.startswith(whole)}

    def outage(self):
        """Nothing is answered until restore(); what is stored stays."""
        self.control(down=True)

    def restore(self):
        self.control(down=False)

    def close(self, expected=()):
        """Ends it. Complaints about requests whose code is not in `expected` fail."""
        if self.process.poll() is None:
            found = [c for c in self.state()["complaints"] if c[0] not in expected]
            self.process.stdin.close()
            self.process.wait(20)
            self.process.stdout.close()
            assert not found, f"requests that a strict store refuses: {found}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0]:
            self.process.kill()
            self.process.wait()
            return
        self.close()
