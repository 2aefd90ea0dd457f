"""The commands as a person types them: a server that starts by itself, exit codes, --json, Ctrl-C. Scripted agent, simulated provider."""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile

from agents import AgentsDir
from harness import Case, Deadline, KEY, PROGRAM, Server, main, wait_for

EVENT = re.compile(r"^\d+\s+\d\d:\d\d:\d\d\.\d{3}\s+(\S+)")


class Cli(Case):
    """One data folder of its own; its server is started by the first command and ended with the class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        cls.data = cls.folder / "data"
        cls.agents = AgentsDir()
        cls.environment = {"PATH": os.environ["PATH"], "HOME": str(cls.folder), "LANG": "C.UTF-8", "AGENTROUTER_AGENTS_DIR": str(cls.agents.path)}

    @classmethod
    def tearDownClass(cls):
        file = cls.data / "server.json"
        if file.exists():
            os.kill(json.loads(file.read_text())["pid"], signal.SIGTERM)
            wait_for(lambda: not file.exists(), 10, "the server to end")
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.agents.remove()
        super().tearDownClass()

    def command(self, verb, *args):
        return [str(PROGRAM), verb, "--data", str(self.data), *args]

    def call(self, verb, *args, expect=0, stdin=subprocess.DEVNULL, text=True, **more):
        done = subprocess.run(self.command(verb, *args), stdin=None if "input" in more else stdin, capture_output=True, text=text, timeout=60,
                              env=self.environment, **more)
        self.assertEqual(done.returncode, expect, (done.stdout[-2000:], done.stderr[-2000:]))
        return done

    def sim(self, task, *args, expect=0):
        return self.call("run", "--sim", *args, task, expect=expect)

    def json_run(self, task, *args, expect=0):
        """`run --json`: (events, session)."""
        lines = [json.loads(line) for line in self.sim(task, "--json", *args, expect=expect).stdout.splitlines()]
        return lines[:-1], lines[-1]

    def start(self, *args):
        """`run --json` in the background, and its run id as soon as it is known."""
        process = subprocess.Popen(self.command("run", "--sim", "--json", *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def until(self, process, kind):
        deadline, text = Deadline(30), b""
        while True:
            for line in text.split(b"\n")[:-1]:
                event = json.loads(line)
                if event.get("type") == kind:
                    return event
            self.assertTrue(select.select([process.stdout], [], [], deadline.left(kind))[0])
            got = os.read(process.stdout.fileno(), 65536)
            self.assertTrue(got, process.stderr.read() if not got else "")
            text += got

    def test_a_run_with_a_server_that_starts_by_itself(self):
        done = self.sim("sim: say Looking.\nsim: sh echo made > made.txt\nsim: reply All done.")
        self.assertIn("All done.", done.stdout)
        run = re.search(r"run_[0-9a-f-]{36}", done.stderr)[0]
        self.assertIn("completed", done.stderr)
        server = json.loads((self.data / "server.json").read_text())
        self.assertTrue(server["sim"])
        os.kill(server["pid"], 0)
        again = self.sim("sim: reply Again.")
        self.assertIn("Again.", again.stdout)
        self.assertEqual(json.loads((self.data / "server.json").read_text())["pid"], server["pid"])
        self.assertIn(run, self.call("runs").stdout)

    def test_exit_codes(self):
        self.sim("sim: reply Good.", expect=0)
        failed = self.sim("sim: exit 3", expect=1)
        self.assertIn("agent_exited", failed.stderr + failed.stdout)
        self.sim("sim: reply Never.", "--approve", "block", expect=4)
        self.call("run", expect=2)
        self.call("run", "--surprise", "task", expect=2)
        self.call("run", "--workspace", str(self.folder / "missing"), "task", expect=2)
        self.call("show", expect=2)
        self.call("runs", "--limit", "0", expect=2)
        unknown = self.call("show", "run_00000000-0000-4000-8000-000000000000", expect=1)
        self.assertIn("no run", unknown.stderr)
        self.assertEqual(unknown.stdout, "")
        done = subprocess.run([str(PROGRAM), "nonsense"], capture_output=True, text=True, env=self.environment, timeout=20)
        self.assertEqual(done.returncode, 2)

    def test_json(self):
        events, session = self.json_run("sim: reply As JSON.")
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1]["type"], "run.completed")
        self.assertEqual(session["response"]["text"], "As JSON.")
        run = session["run"]["id"]
        shown = json.loads(self.call("show", "--json", run).stdout)
        shown.pop("record")
        self.assertEqual(shown, session)
        self.assertIn(run, [r["id"] for r in json.loads(self.call("runs", "--json").stdout)["items"]])
        self.assertEqual([json.loads(line) for line in self.call("events", "--json", run).stdout.splitlines()], events)
        self.assertEqual(json.loads(self.call("artifacts", "--json", run).stdout)["items"], session["artifacts"]["items"])

    def test_show_runs_and_events(self):
        _, session = self.json_run("sim: say Hello.\nsim: reply Shown.")
        run = session["run"]["id"]
        shown = self.call("show", run).stdout
        for word in (run, "completed", "codex", "Shown."):
            self.assertIn(word, shown)
        self.assertIn(run, self.call("runs", "--status", "completed").stdout)
        self.assertNotIn(run, self.call("runs", "--status", "failed").stdout)
        types = [EVENT.match(line)[1] for line in self.call("events", run).stdout.splitlines()]
        self.assertEqual((types[0], types[-1]), ("run.claimed", "run.completed"))
        self.assertEqual([EVENT.match(line)[1] for line in self.call("events", "-f", run).stdout.splitlines()], types)
        self.assertEqual(len(self.call("events", "--after", "3", run).stdout.splitlines()), len(types) - 3)

    def test_events_follow_until_the_end_and_cancel(self):
        process = self.start("sim: hang")
        run = self.until(process, "agent.started")["runId"]
        follower = subprocess.Popen(self.command("events", "-f", run), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=self.environment)
        try:
            self.assertIn("run.claimed", follower.stdout.readline())
            self.call("cancel", run)
            rest, _ = follower.communicate(timeout=30)
        finally:
            follower.kill()
            follower.wait()
        self.assertEqual(follower.returncode, 0)
        self.assertIn("run.cancelled", rest.splitlines()[-1])
        self.assertEqual(process.wait(30), 3)
        self.assertEqual(json.loads(self.call("cancel", "--json", run).stdout)["status"], "cancelled")

    def test_ctrl_c_cancels(self):
        process = self.start("sim: hang")
        run = self.until(process, "agent.started")["runId"]
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 3)
        self.assertEqual(json.loads(self.call("show", "--json", run).stdout)["run"]["status"], "cancelled")

    def test_approve_and_deny(self):
        for verb, code, status in (("approve", 0, "completed"), ("deny", 4, "failed")):
            with self.subTest(verb=verb):
                process = self.start("--approve", "manual", "sim: reply Allowed.")
                run = self.until(process, "approval.requested")["runId"]
                self.call(verb, run)
                self.assertEqual(process.wait(30), code)
                self.assertEqual(json.loads(self.call("show", "--json", run).stdout)["run"]["status"], status)

    def test_a_person_at_the_terminal_is_asked(self):
        for answer, code in (("d\ny fine\n", 0), ("n not now\n", 4)):
            with self.subTest(answer=answer):
                ours, theirs = pty.openpty()
                self.addCleanup(os.close, ours)
                process = subprocess.Popen(self.command("run", "--sim", "--approve", "manual", "sim: reply Allowed."), stdin=theirs,
                                           stdout=theirs, stderr=theirs, env={**self.environment, "TERM": "xterm"})
                os.close(theirs)
                self.addCleanup(process.kill)
                seen = self.read_until(ours, b"[d]etails: ")
                for line in answer.splitlines(keepends=True):
                    os.write(ours, line.encode())
                    seen = self.read_until(ours, b"[d]etails: " if line.startswith("d") else b"Run run_")
                    if line.startswith("d"):
                        self.assertIn(b"sha256:", seen)
                        self.assertIn(b"cwd", seen)
                self.read_to_end(ours)
                self.assertEqual(process.wait(30), code)

    def read_until(self, terminal, text):
        deadline, seen = Deadline(30), b""
        while text not in seen:
            self.assertTrue(select.select([terminal], [], [], deadline.left(text.decode()))[0])
            seen += os.read(terminal, 65536)
        return seen

    def read_to_end(self, terminal):
        deadline = Deadline(30)
        with contextlib.suppress(OSError):  # the last writer has closed it
            while select.select([terminal], [], [], deadline.left("the end of the output"))[0] and os.read(terminal, 65536):
                pass

    def test_a_conversation(self):
        _, first = self.json_run("sim: write a.txt one\\n\nsim: reply First.")
        run = first["run"]["id"]
        events, second = self.json_run("sim: sh cat a.txt >> b.txt\nsim: reply Second.", "--continue", run)
        self.assertEqual(second["run"]["conversationId"], run)
        self.assertNotEqual(second["run"]["id"], run)
        self.assertEqual(events[0]["sequence"], 1)
        patch = self.call("download", second["run"]["id"], "workspace_patch", "-o", "-").stdout
        self.assertIn("+one\n", patch.split("diff --git a/b.txt b/b.txt\n")[1], "turn 2 copied what turn 1 had written")
        self.assertIn("sandbox.resumed", [event["type"] for event in events])
        turns = json.loads(self.call("turns", "--json", run).stdout)
        self.assertEqual([turn["runId"] for turn in turns["items"]], [run, second["run"]["id"]])
        listed = self.call("turns", second["run"]["id"]).stdout.splitlines()
        self.assertEqual([line.split()[:2] for line in listed], [["1", run], ["2", second["run"]["id"]]])
        self.call("run", "--sim", "--continue", run, "--model", "m", "sim: reply Never.", expect=2)
        self.assertEqual(json.loads(self.call("close", "--json", run).stdout), {"closed": True, "conversationId": run, "reclaimed": True})
        self.assertIn(run, self.call("close", run).stdout)
        refused = self.sim("sim: reply Never.", "--continue", run, expect=1)
        self.assertIn("session_closed", refused.stderr)

    def test_tags_and_filters(self):
        mine = [self.json_run(f"sim: reply Marmalade {n}.", "--tag", "team=blue", "--tag", f"number={n}")[1]["run"]["id"] for n in range(3)]
        self.json_run("sim: reply Untagged.")
        def ids(*args):
            return [item["id"] for item in json.loads(self.call("runs", "--json", *args).stdout)["items"]]
        self.assertEqual(ids("--tag", "team=blue"), mine[::-1])
        self.assertEqual(ids("--tag", "team=blue", "--tag", "number=1"), [mine[1]])
        self.assertEqual(ids("--query", "marmalade", "--runtime", "codex", "--status", "completed"), mine[::-1])
        self.assertEqual(ids("--runtime", "claude_code", "--tag", "team=blue"), [])
        page = json.loads(self.call("runs", "--json", "--tag", "team=blue", "--limit", "2").stdout)
        self.assertEqual(ids("--tag", "team=blue", "--cursor", page["nextCursor"]), mine[:1])
        self.assertIn("--cursor", self.call("runs", "--tag", "team=blue", "--limit", "1").stderr)
        self.assertEqual(ids("--all", "--tag", "team=blue"), mine[::-1])
        self.assertIn(mine[0], self.call("runs", "--all").stdout)
        self.assertEqual(json.loads(self.call("show", "--json", mine[0]).stdout)["record"]["run"]["id"], mine[0])

    def test_artifacts_and_download(self):
        _, session = self.json_run("sim: write a.txt text\\n\nsim: reply Written.")
        run = session["run"]["id"]
        listed = self.call("artifacts", run).stdout
        for artifact in session["artifacts"]["items"]:
            self.assertIn(artifact["kind"], listed)
        patch = self.call("download", run, "workspace_patch", "-o", "-", text=False).stdout
        self.assertIn(b"+text", patch)
        target = self.folder / "one.patch"
        self.call("download", run, "workspace_patch", "-o", str(target))
        self.assertEqual(target.read_bytes(), patch)
        self.call("download", run, "nothing_like_it", expect=2)
        self.call("download", run, "-o", str(self.folder / "all"))
        digests = {hashlib.sha256(f.read_bytes()).hexdigest() for f in (self.folder / "all").iterdir()}
        self.assertEqual(digests, {a["sha256"] for a in session["artifacts"]["items"]})

    def test_a_workspace_is_used_and_never_changed(self):
        work = self.folder / "work"
        work.mkdir()
        (work / "a.txt").write_text("before\n")
        subprocess.run(["git", "init", "-q", str(work)], check=True)
        def tree():
            return {str(p): (p.stat().st_mode, p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in work.rglob("*")}
        before = tree()
        _, session = self.json_run("sim: edit a.txt before => after\nsim: write b.txt new\\n\nsim: reply Edited.", "--workspace", str(work))
        self.assertEqual(tree(), before)
        patch = self.call("download", session["run"]["id"], "workspace_patch", "-o", "-").stdout
        subprocess.run(["git", "-C", str(work), "apply"], input=patch, text=True, check=True)
        self.assertEqual(((work / "a.txt").read_text(), (work / "b.txt").read_text()), ("after\n", "new\n"))

    def test_a_task_from_standard_input(self):
        done = self.call("run", "--sim", "-", input="sim: reply From a pipe.\n")
        self.assertIn("From a pipe.", done.stdout)

    def test_a_mix_up_of_providers_is_refused(self):
        self.sim("sim: reply Up.")
        done = self.call("run", "sim: reply Never.", expect=2)
        self.assertIn("--sim", done.stderr)

    def test_a_server_at_an_address_of_ipv6(self):
        with Server(listen="[::1]:0", agents_dir=self.agents.path) as server:
            self.assertRegex(server.url, r"^http://\[::1\]:[1-9]\d*$")
            self.assertEqual(json.loads((server.data / "server.json").read_text())["url"], server.url)
            done = subprocess.run([str(PROGRAM), "run", "--sim", "--data", str(server.data), "sim: reply Here."], capture_output=True, text=True, timeout=60,
                                  stdin=subprocess.DEVNULL, env={**self.environment, "AGENTROUTER_API_KEY": KEY})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("Here.", done.stdout)

    def test_a_run_is_recorded_and_replayed(self):
        with tempfile.TemporaryDirectory(prefix="agentrouter-test-") as folder:
            environment = {**self.environment, "HOME": folder}
            tapes, task = pathlib.Path(folder, "tapes"), "sim: reply Kept."

            def call(data, *words, expect=0):
                done = subprocess.run([str(PROGRAM), "run", "--data", f"{folder}/{data}", *words, "--tag", "cassette=kept", task], capture_output=True, text=True,
                                      timeout=60, stdin=subprocess.DEVNULL, env=environment, cwd=folder)
                self.assertEqual(done.returncode, expect, (done.stdout, done.stderr))
                return done

            def end(data):
                file = pathlib.Path(folder, data, "server.json")
                os.kill(json.loads(file.read_text())["pid"], signal.SIGTERM)
                wait_for(lambda: not file.exists(), 10, "the server to end")
            call("one", "--sim", "--record", "tapes")
            self.assertEqual(json.loads(pathlib.Path(folder, "one/server.json").read_text())["record"], str(tapes))
            self.assertIn("does not record to", call("one", "--sim", "--record", "others", expect=2).stderr)
            end("one")
            self.assertTrue((tapes / "kept.jsonl").exists())
            self.assertIn("Kept.", call("two", "--replay", "tapes").stdout)
            self.assertIn("add --replay", call("two", expect=2).stderr)
            end("two")

    def test_help_and_completion(self):
        def plain(*args):
            return subprocess.run([str(PROGRAM), *args], capture_output=True, text=True, timeout=20, env=self.environment, check=True).stdout
        commands = ("run", "runs", "show", "events", "approve", "deny", "cancel", "turns", "close", "artifacts", "download", "completion", "serve", "agents", "doctor", "sim")
        overview = plain("--help")
        for command in commands:
            self.assertRegex(overview, rf"(?m)^  {command} ")
            self.assertIn("Example", plain(command, "--help"), command)
        script = plain("completion", "bash")
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        words = subprocess.run(["bash", "--norc", "-c", script + '\nCOMP_WORDS=(agentrouter ca); COMP_CWORD=1\n'
                                "f=$(complete -p agentrouter | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f agentrouter ca agentrouter; echo ${COMPREPLY[*]}"],
                               capture_output=True, text=True, check=True).stdout
        self.assertIn("cancel", words)


if __name__ == "__main__":
    main()
