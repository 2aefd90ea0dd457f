"""The conformance command against our own server, and the mutants that show that its checks can fail. Scripted agent."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from agents import AgentsDir
from contract import contract
from harness import Case, KEY, PROGRAM, ROOT, Server, main
from http_bytes import exchanges_of

TOOL = str(ROOT / "tools/conformance")
MUTANTS = ROOT / "tests/conformance/mutants"

# Mutants that run as servers, and a check of each that must notice it.
LIVE = json.loads((MUTANTS / "live.json").read_text())
# All of them take minutes, and then it is also asked whether each check has a mutant: AGENTROUTER_MUTANT_EVERY=1.
EVERY = int(os.environ.get("AGENTROUTER_MUTANT_EVERY", "5"))


def run(*command, seconds=300):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")})


class Conformance(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        cls.server = Server(agents_dir=cls.agents.path).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.abandon()
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def test_the_checks_hold_and_fail_against_mutants(self):
        recording = str(self.folder / "traffic.json")
        done = run(TOOL, self.server.url, KEY, "--record", recording)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, [line for i, line in enumerate(lines) if "not ok" in line or "message:" in line] or done.stderr)
        passed = [line for line in lines if line.startswith("ok ")]
        self.assertGreaterEqual(len(passed), 600)
        print("\n  " + lines[-1].lstrip("# "), flush=True)
        self.every_exchange_is_in_the_document(json.loads(pathlib.Path(recording).read_text())["recording"])
        matrix = run("node", str(MUTANTS / "matrix.mjs"), recording, "--every", str(EVERY))
        self.assertEqual(matrix.returncode, 0, [line for line in matrix.stdout.splitlines() if line.startswith("problem")] or matrix.stderr)
        self.assertGreaterEqual(len(matrix.stdout.splitlines()) - 1, 300 // EVERY)
        print("  " + matrix.stdout.splitlines()[-1], flush=True)

    def every_exchange_is_in_the_document(self, recording):
        judged, violations = 0, []
        for asker, connections in recording:
            for one in connections:
                answered = b"".join(base64.b64decode(piece) for piece, _ in one["pieces"])
                for exchange in exchanges_of(base64.b64decode(one["request"]), answered, cut=not one["ended"]):
                    judged += 1
                    violations += [f"{asker.splitlines()[0]}: {text}" for text in contract().violations(exchange)]
        self.assertEqual(violations, [])
        # How often a check polls depends on the machine: most exchanges are polls.
        self.assertGreater(judged, 500)
        print(f"  {judged} exchanges as the document says", flush=True)

    def against(self, mutant, check):
        """What a check says of a mutant that runs as a server."""
        with subprocess.Popen(["node", str(MUTANTS / "proxy.mjs"), self.server.url, mutant], stdout=subprocess.PIPE, text=True) as proxy:
            try:
                return run(TOOL, proxy.stdout.readline().split()[-1], KEY, "--only", f"^{check}$", "--json", "--seconds", "5")
            finally:
                proxy.kill()

    def test_mutants_as_servers_are_noticed(self):
        with ThreadPoolExecutor(4) as pool:
            for mutant, done in zip(LIVE, pool.map(self.against, LIVE, LIVE.values())):
                with self.subTest(mutant=mutant):
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertEqual([result["ok"] for result in json.loads(done.stdout)["results"]], [False], done.stdout)

    def test_a_proxy_that_breaks_nothing_is_not_noticed(self):
        with subprocess.Popen(["node", str(MUTANTS / "proxy.mjs"), self.server.url, "other-health-body"], stdout=subprocess.PIPE, text=True) as proxy:
            try:
                url = proxy.stdout.readline().split()[-1]
                done = run(TOOL, url, KEY, "--only", "^((batch|live|reply)/(?!held-open|json-health)|(" + "|".join(LIVE.values()) + ")$)")
                self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            finally:
                proxy.kill()

    def test_a_wrong_key_fails_checks(self):
        done = run(TOOL, self.server.url, "wrong", "--only", "^auth/trimmed$")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not ok 1 - auth/trimmed", done.stdout)

    def test_a_server_that_is_away_fails_checks(self):
        done = run(TOOL, "http://127.0.0.1:1", KEY, "--only", "^health/")
        self.assertEqual(done.returncode, 1)
        self.assertIn("0 of 3 checks hold", done.stdout)

    def test_the_port_of_the_environment_is_opened_on_this_machine_only(self):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AGENTROUTER_API_KEY": KEY, "AGENTROUTER_PORT": "0"}
        with subprocess.Popen([str(PROGRAM), "serve", "--sim", "--role", "api", "--data", str(self.folder / "data")], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True) as server:
            try:
                self.assertRegex(server.stdout.readline(), r"^agentrouter: listening on http://127\.0\.0\.1:\d+\n$")
            finally:
                server.terminate()
        self.assertEqual(server.returncode, 0)

    def test_usage(self):
        for args in ((), (self.server.url,), (self.server.url, KEY, "more"), ("--surprise",), (self.server.url, KEY, "--only"), ("no-url", KEY),
                     (self.server.url, KEY, "--concurrency", "0")):
            done = run(TOOL, *args)
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)
            self.assertIn("usage: tools/conformance URL KEY", done.stderr)
        self.assertEqual(run(TOOL, "--help").returncode, 0)
        self.assertEqual(run(TOOL, self.server.url, KEY, "--only", "^nothing-of-that-name$").returncode, 1)

    def test_the_list_names_every_check_with_its_sentence(self):
        checks = json.loads(run(TOOL, "--list", "--json").stdout)
        self.assertGreaterEqual(len(checks), 600)
        for check in checks:
            self.assertRegex(check["name"], r"^[a-z-]+/\S+$")
            self.assertRegex(check["sentence"], r"^\S.{10,}\.$", check["name"])
        without = json.loads(run(TOOL, "--list", "--json", "--no-sim").stdout)
        self.assertLess(len(without), len(checks))
        self.assertFalse([check for check in without if check["sim"]])


if __name__ == "__main__":
    main()
