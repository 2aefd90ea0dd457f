"""The C++ SDK as its users have it: the examples against a server, and an installed copy in somebody else's project. Scripted agent."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from agents import AgentsDir
from harness import KEY, PROGRAM, ROOT, Case, Server, main
from recorded import Recorded

BUILD = pathlib.Path(os.environ.get("AGENTROUTER_BUILD", PROGRAM.parent.parent))
EXAMPLES = BUILD / "examples/cpp"
SOURCES = ROOT / "sdk/cpp"
RUN = r"run_[0-9a-f-]{36}"


class SdkCpp(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        cls.agents = AgentsDir()
        cls.server = Server(agents_dir=cls.agents.path).start()
        cls.recorder = Recorded(cls.server.url)
        cls.tried = set()

    @classmethod
    def tearDownClass(cls):
        cls.server.abandon()  # an example leaves a run to the server
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.recorder.stop()
        super().tearDownClass()

    def example(self, name, *args, environment=None):
        self.tried.add(name)
        env = {"PATH": os.environ["PATH"], "AGENTROUTER_API_BASE_URL": self.recorder.url, "AGENTROUTER_API_KEY": KEY, **(environment or {})}
        done = subprocess.run([EXAMPLES / name, *args], env=env, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr))
        return done.stdout.splitlines(), done.stderr

    def test_quickstart(self):
        lines, _ = self.example("quickstart", "sim: reply All is tested.")
        self.assertRegex(lines[0], RUN)
        self.assertEqual(lines[1:4], ["completed", "All is tested.", "6 artifacts"])
        self.assertGreater(int(lines[4].removeprefix("last event ")), 5)

    def test_streaming(self):
        lines, _ = self.example("streaming", "sim: say Looking.\nsim: reply There.")
        self.assertIn("process: Sandbox ready", lines)
        self.assertLess(lines.index("agent: Looking."), lines.index("There."))
        self.assertEqual(lines[-1], "completed")

    def test_a_failure_is_the_last_part(self):
        lines, errors = self.example("streaming", "sim: exit 3")
        self.assertEqual(lines[-1], "failed")
        self.assertTrue(errors)

    def test_callbacks(self):
        lines, errors = self.example("callbacks", "sim: reply Called.")
        self.assertIn("text: Called.", lines)
        self.assertEqual(lines[lines.index("text: Called.") + 1], "answer: Called.")
        self.assertEqual(lines[-2:], ["done: ", "completed"])
        self.assertEqual([int(n) for n in errors.split()], list(range(1, len(errors.split()) + 1)))

    def test_text_only(self):
        self.assertEqual(self.example("text_only", "sim: say Not this.\nsim: reply Only this.")[0], ["Only this."])

    def test_raw_events(self):
        lines, _ = self.example("raw_events", "sim: reply Raw.")
        self.assertEqual([int(line.split()[0]) for line in lines], list(range(1, len(lines) + 1)))
        self.assertTrue(lines[0].endswith("run.claimed worker internal"))
        self.assertEqual(sum(" -> artifact_" in line for line in lines), 4)
        self.assertIn("run.completed", lines[-1])

    def test_no_progress(self):
        lines, _ = self.example("no_progress", "sim: reply Fine.")
        self.assertEqual(lines, ["completed"])
        lines, errors = self.example("no_progress", "sim: repeat 3 sh false\nsim: hang")
        self.assertIn("the agent may be stuck: repeated_command", errors)
        self.assertEqual(lines, ["cancelled"])

    def test_manual_approval(self):
        lines, _ = self.example("manual_approval", "sim: reply Allowed.")
        self.assertEqual(lines, ["Approval requested for codex.launch", "execution started", "execution completed", "completed"])

    def test_low_level_client(self):
        lines, _ = self.example("low_level_client", "sim: write a.txt text\\n\nsim: reply Low.")
        self.assertIn("Low.", lines)
        size, pieces = re.fullmatch(r"patch of (\d+) bytes, (\d+) in pieces", next(line for line in lines if line.startswith("patch"))).groups()
        self.assertEqual(size, pieces)
        self.assertGreater(int(size), 50)
        run = re.fullmatch(f"record of ({RUN})", lines[-1])[1]
        self.assertTrue(any(line.startswith(run) for line in lines))

    def test_runtime_options(self):
        lines, _ = self.example("runtime_options", "sim: reply READY")
        self.assertEqual(lines, ["default completed", "read_only completed", "full_access completed"])

    def test_custom_headers(self):
        self.assertEqual(self.example("custom_headers", "sim: reply READY")[0], ["READY"])

    def test_error_handling(self):
        lines, _ = self.example("error_handling", "sim: reply Late.")
        self.assertRegex(lines[0], r'^wait_timeout 0 {"runId":"%s","status":"(queued|starting|running)"}$' % RUN)
        self.assertEqual(lines[1:], ["run_not_found 404", "cancelled"])

    def test_continue_conversation(self):
        lines, _ = self.example("continue_conversation", "sim: write src/fib.ts x\\n\nsim: reply Written.")
        self.assertRegex(lines[0], f"^turn 2 of {RUN}$")
        self.assertIn("+++ b/src/fib.ts", lines)  # of the first turn, in the second one's patch
        self.assertIn("+x", lines)
        self.assertEqual(lines[-1], "closed")
        self.assertEqual([line[:2] for line in lines if re.match(r"\d:", line)], ["1:", "2:"])

    def test_continue_and_wait(self):
        lines, _ = self.example("continue_and_wait", "sim: reply First.")
        self.assertEqual(lines[-1], "completed")

    def test_claude_code(self):
        # The agents of the machine: the scripted one is no Claude Code.
        with Server() as real, Recorded(real.url) as url:
            lines, _ = self.example("claude_code", environment={"AGENTROUTER_API_BASE_URL": url})
            self.assertEqual(lines[0], "completed")
            for runtime in ("codex", "claude_code"):
                lines, _ = self.example("continue_conversation", "sim: write src/fib.ts x\\n\nsim: reply Written.", runtime,
                                        environment={"AGENTROUTER_API_BASE_URL": url})
                self.assertRegex(lines[0], f"^turn 2 of {RUN}$", runtime)
                self.assertIn("+++ b/src/fib.ts", lines, runtime)
                self.assertEqual(lines[-1], "closed", runtime)

    def install(self):
        prefix = self.folder / "prefix"
        if not prefix.exists():
            subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, "--component", "sdk"], check=True, capture_output=True)
        return prefix

    def consume(self, program, environment=None):
        done = subprocess.run([program, self.recorder.url, KEY, "sim: reply From outside."], capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], **(environment or {})})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "done: From outside.\nrun_not_found 404\n")

    def run_tool(self, *command, **more):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_an_outside_project_finds_the_package(self):
        prefix, build = self.install(), self.folder / "by_cmake"
        self.run_tool("cmake", "-S", SOURCES / "tests/consumer", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_CXX_COMPILER=clang++-19")
        self.run_tool("cmake", "--build", build)
        self.consume(build / "consumer")
        wrong = subprocess.run(["cmake", "-S", SOURCES / "tests/consumer", "-B", self.folder / "none", "-DCMAKE_CXX_COMPILER=clang++-19"], capture_output=True)
        self.assertNotEqual(wrong.returncode, 0, "the project was configured without an installed SDK")

    def test_an_outside_project_uses_pkg_config_and_the_tree_may_move(self):
        moved = self.folder / "moved"
        shutil.copytree(self.install(), moved, symlinks=True)
        env = {"PATH": os.environ["PATH"], "PKG_CONFIG_PATH": str(moved / "lib/pkgconfig")}
        flags = self.run_tool("pkg-config", "--cflags", "--libs", "agentrouter", env=env).split()
        sources = [SOURCES / "tests/consumer" / name for name in ("main.cpp", "second.cpp")]
        program = self.folder / "by_pkg_config"
        self.run_tool("g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", *sources, "-o", program, *flags)
        self.consume(program, {"LD_LIBRARY_PATH": str(moved / "lib")})

    def test_the_library_shows_only_its_own_names(self):
        library = self.install() / "lib/libagentrouter.so"
        self.assertEqual(os.readlink(library), "libagentrouter.so.0.1")
        symbols = self.run_tool("nm", "-D", "--defined-only", "--demangle", library).splitlines()
        names = [re.sub(r"^[0-9a-f]* *[A-Za-z] ", "", line).split("@@")[0] for line in symbols]
        names.remove("AGENTROUTER_0")  # the version of all of them
        self.assertGreater(len(names), 80)
        for name in names:
            self.assertIn("agentrouter::", name)
            self.assertNotRegex(name, r"^(\w+ for )?agentrouter::(detail|\w+::(State|Node|Fields))\b|boost|curl")

    def test_public_headers_name_no_third_party(self):
        allowed = set()
        for header in sorted((self.install() / "include/agentrouter").iterdir()):
            allowed.update(re.findall(r"#include <([^>]+)>", header.read_text()))
            self.assertNotRegex(header.read_text(), r"boost|curl|#include \"")
        self.assertTrue(all(name.startswith("agentrouter/") or "/" not in name for name in allowed), allowed)

    def test_z_every_example_is_tried(self):
        self.assertEqual({path.stem for path in (SOURCES / "examples").glob("*.cpp")}, self.tried)


if __name__ == "__main__":
    main()
