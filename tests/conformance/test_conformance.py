"""The conformance command against our own server, and the mutants that show that its checks can fail. Scripted agent."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from agents import AgentsDir
from harness import Case, KEY, PROGRAM, ROOT, Server, main

TOOL = str(ROOT / "tools/conformance")
MUTANTS = ROOT / "tests/conformance/mutants"

# The areas that this server has in full. `tools/conformance` without --only also asks for what is still to come.
AREAS = ("^(health|auth|routes|head-limit|framing|reply|envelope|create|run|session|list|cancel|events|event|batch|live|agent|no-progress|failed|big|"
         "approval|deny|block|artifacts|problem|ready)/")

# Live mutants, and a check of few that must notice each.
LIVE = (("no-request-id", "^reply/request-id-ok$"), ("create-is-200", "^create/201$"), ("wrong-method-is-404", "^methods/delete-runs$"),
        ("last-event-ahead", "^run/last-event$"), ("streams-with-crlf", "^batch/lf-only$"), ("live-cut-short", "^live/ends$"),
        ("gzip-downloads", "^artifacts/never-encoded$"))


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

    def test_the_checks_hold_and_each_fails_against_a_mutant(self):
        recording = str(self.folder / "traffic.json")
        done = run(TOOL, self.server.url, KEY, "--only", AREAS, "--record", recording)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, [line for i, line in enumerate(lines) if "not ok" in line or "message:" in line] or done.stderr)
        passed = [line for line in lines if line.startswith("ok ")]
        self.assertGreaterEqual(len(passed), 250)
        print("\n  " + lines[-1].lstrip("# "), flush=True)
        matrix = run("node", str(MUTANTS / "matrix.mjs"), recording)
        self.assertEqual(matrix.returncode, 0, [line for line in matrix.stdout.splitlines() if line.startswith("problem")] or matrix.stderr)
        self.assertGreaterEqual(len(matrix.stdout.splitlines()) - 1, 30)
        print("  " + matrix.stdout.splitlines()[-1], flush=True)

    def test_mutants_as_servers_are_noticed(self):
        for mutant, check in LIVE:
            with self.subTest(mutant=mutant), subprocess.Popen(["node", str(MUTANTS / "proxy.mjs"), self.server.url, mutant],
                                                               stdout=subprocess.PIPE, text=True) as proxy:
                try:
                    url = proxy.stdout.readline().split()[-1]
                    done = run(TOOL, url, KEY, "--only", check, "--json")
                    self.assertEqual(done.returncode, 1, done.stdout)
                    results = json.loads(done.stdout)["results"]
                    self.assertEqual([(r["ok"], r.get("blocked", False)) for r in results], [(False, False)], results)
                finally:
                    proxy.kill()

    def test_a_proxy_that_breaks_nothing_is_not_noticed(self):
        with subprocess.Popen(["node", str(MUTANTS / "proxy.mjs"), self.server.url, "other-health-body"], stdout=subprocess.PIPE, text=True) as proxy:
            try:
                url = proxy.stdout.readline().split()[-1]
                done = run(TOOL, url, KEY, "--only", "^(batch|live|reply)/(?!held-open|json-health)")
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
        self.assertGreaterEqual(len(checks), 250)
        for check in checks:
            self.assertRegex(check["name"], r"^[a-z-]+/\S+$")
            self.assertRegex(check["sentence"], r"^\S.{10,}\.$", check["name"])
        without = json.loads(run(TOOL, "--list", "--json", "--no-sim").stdout)
        self.assertLess(len(without), len(checks))
        self.assertFalse([check for check in without if check["sim"]])


if __name__ == "__main__":
    main()
