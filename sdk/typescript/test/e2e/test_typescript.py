"""The TypeScript SDK against the real server on the simulated provider: samples and examples with the real Codex, the rest
with the scripted agent."""
import os
import pathlib
import subprocess
import unittest

from agents import AgentsDir
from harness import KEY, Case, Server, main
from recorded import Recorded

HERE = pathlib.Path(__file__).parent
NODE = os.environ.get("AGENTROUTER_NODE", "node")


class TypeScript(Case):
    def node_test(self, name, server, wrong):
        with Recorded(server.url, wrong) as url:
            done = subprocess.run([NODE, "--test", str(HERE / f"{name}.test.mjs")], capture_output=True, text=True, timeout=600,
                                  env={**os.environ, "AGENTROUTER_API_BASE_URL": url, "AGENTROUTER_API_KEY": KEY})
            if done.returncode != 0:
                self.fail(done.stdout[-60000:] + done.stderr[-4000:] + server.log_text()[-2000:])

    def test_samples_and_examples(self):
        with Server() as server:
            self.node_test("programs", server, ["task: ' ' is shorter than 1"])

    def test_the_sdk_and_a_client_like_the_published_one(self):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server:
            self.node_test("server", server, [f"'{key}' was unexpected" for key in ("tools", "repoUrl", "surprise")])

    def test_a_stream_outlives_the_server(self):
        """kill -9 in the middle of a run: the reader is not told, and has every event once when the next server has gone on."""
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server, Recorded(server.url) as url:
            reader = subprocess.Popen([NODE, str(HERE / "follow.mjs")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      env={**os.environ, "AGENTROUTER_API_BASE_URL": url, "AGENTROUTER_API_KEY": KEY})
            self.addCleanup(reader.stdout.close)
            self.addCleanup(reader.stderr.close)
            self.addCleanup(reader.kill)
            while not (line := reader.stdout.readline()).endswith("agent.started\n"):
                self.assertTrue(line, "the reader ended early")
            server.kill()
            server.listen = f"{server.host}:{server.port}"
            server.start()
            rest, errors = reader.communicate(timeout=60)
            self.assertEqual((reader.returncode, errors), (0, ""))
            self.assertEqual(rest.splitlines()[-2:], ["run.completed", "completed: Survived. in order: true, polled: false"])


if __name__ == "__main__":
    main()
