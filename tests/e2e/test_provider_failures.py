"""A provider that refuses, limits, breaks or is not there: each gives the documented code and cause, and the logs are kept. Real Codex."""
import gzip
import re
import socket
import subprocess

from harness import Case, PROGRAM, Server, main

PROVIDER_KEY = "sk-test-provider-key-0001"


class Upstream:
    """The simulated provider as a process of its own, which demands a key."""

    def __enter__(self):
        self.process = subprocess.Popen([str(PROGRAM), "sim", "--listen", "127.0.0.1:0", "--require-key", PROVIDER_KEY],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.url = re.search(r"http://\S+", self.process.stdout.readline().decode())[0]
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class Failures(Case):
    """Assertions that every failed run has to meet."""

    tasks, arguments = {}, ()

    @classmethod
    def setUpClass(cls):
        """Starts the server and all runs at once: most of them wait between attempts."""
        super().setUpClass()
        cls.server = Server(args=cls.arguments + ("--concurrency", "4")).start()
        cls.ids = {name: cls.server.create(task)["id"] for name, task in cls.tasks.items()}
        cls.where = dict.fromkeys(cls.ids, cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def fails(self, name, cause, seconds=120):
        server = self.where[name]
        run, events = server.finish(self.ids[name], seconds)
        self.assertEqual(run["status"], "failed", run)
        failure = run["failure"]
        self.assertEqual((failure["code"], failure.get("cause")), ("provider_runtime_failed", cause), failure)
        self.assertTrue(failure["reason"])
        self.assertEqual([e["sequence"] for e in events], list(range(1, run["lastEventSeq"] + 1)))
        kinds = [e["type"] for e in events]
        for kind in ("agent.error", "execution.failed", "provider.stdout", "provider.stderr", "sandbox.destroyed", "run.failed"):
            self.assertIn(kind, kinds)
        artifacts = server.artifacts(run["id"])
        log = gzip.decompress(server.download(run["id"], artifacts["stdout_log"]["id"])).decode()
        self.assertGreater(len(log.splitlines()), 1)
        gzip.decompress(server.download(run["id"], artifacts["stderr_log"]["id"]))
        return run, events

    def recovers(self, name, seconds=120):
        run, events = self.where[name].finish(self.ids[name], seconds)
        self.assertEqual(run["status"], "completed", run.get("failure"))
        return run, events


STEP = "sim: sh echo once >> count.txt; wc -l < count.txt\nsim: "


class Simulated(Failures):
    """Errors in the script, under `serve --sim`."""
    arguments = ("--sim",)
    tasks = {"500": "sim: error 500 always", "401": "sim: error 401 always", "429": "sim: error 429 rate_limit_exceeded always",
             "quota": "sim: error 429 insufficient_quota always", "400": "sim: error 400 always",
             "404": "sim: error 404 model_not_found always", "context": "sim: fail context_length_exceeded",
             "late": "sim: write kept.txt kept\\n\nsim: error 401 always",
             "once 500": STEP + "error 500\nsim: reply Recovered.", "once drop": STEP + "drop\nsim: reply Recovered."}

    def test_401(self):
        self.fails("401", "provider_auth_failed")

    def test_429(self):
        self.fails("429", "provider_rate_limited")

    def test_429_quota(self):
        self.fails("quota", "provider_quota_exhausted")

    def test_500(self):
        self.fails("500", "provider_unavailable")

    def test_400(self):
        self.fails("400", "provider_rejected_request")

    def test_404(self):
        self.fails("404", "model_not_found")

    def test_context_length(self):
        self.fails("context", "context_window_exceeded")

    def test_what_was_done_before_the_failure_is_kept(self):
        run, events = self.fails("late", "provider_auth_failed")
        self.assertIn("agent.tool_completed", [e["type"] for e in events])
        patch = self.server.download(run["id"], self.server.artifacts(run["id"])["workspace_patch"]["id"])
        self.assertIn(b"+kept", patch)

    def test_one_failure_is_tried_again_and_no_step_is_done_twice(self):
        for name in ("once 500", "once drop"):
            with self.subTest(name=name):
                _, events = self.recovers(name)
                answer = [e for e in events if e["type"] == "agent.response"][0]["payload"]
                self.assertEqual(answer["text"], "Recovered.")
                self.assertEqual(len([e for e in events if e["type"] == "agent.tool_completed"]), 1)


class Upstreams(Failures):
    """Providers behind the network, each with a server of its own; all runs at once, since Codex waits between its attempts."""
    WRONG = "sk-wrong-key-000000"
    TASKS = {"500": "sim: error 500 always", "fine": "sim: sh echo hi\nsim: reply Fine.", "cut": "sim: drop\nsim: reply Whole.",
             "quota": "sim: error 429 insufficient_quota always"}

    @classmethod
    def setUpClass(cls):
        Case.setUpClass.__func__(cls)
        cls.upstream = Upstream().__enter__()
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        cls.servers, cls.ids, cls.where = [], {}, {}
        cls.begin(cls.upstream.url, PROVIDER_KEY, cls.TASKS)
        cls.begin(nobody, PROVIDER_KEY, {"refused": "sim: reply Never."})
        cls.begin(cls.upstream.url, cls.WRONG, {"wrong key": "sim: reply Never."})
        cls.begin(cls.upstream.url, None, {"no key": "sim: reply Never."})

    @classmethod
    def begin(cls, url, key, tasks):
        server = Server(args=("--concurrency", "4"), env={"OPENAI_BASE_URL": url, **({"OPENAI_API_KEY": key} if key else {})}).start()
        cls.servers.append(server)
        for name, task in tasks.items():
            cls.ids[name], cls.where[name] = server.create(task)["id"], server

    @classmethod
    def tearDownClass(cls):
        cls.upstream.__exit__()
        for server in cls.servers:
            server.stop()
            server.remove_data()
        Case.tearDownClass.__func__(cls)

    def test_the_right_key_completes(self):
        self.recovers("fine")

    def test_a_cut_stream_is_tried_again(self):
        self.recovers("cut")

    def test_500(self):
        self.fails("500", "provider_unavailable")

    def test_quota(self):
        self.fails("quota", "provider_quota_exhausted")

    def test_a_refused_connection(self):
        self.fails("refused", "provider_unavailable")

    def test_a_wrong_key_is_refused_and_not_shown(self):
        run, events = self.fails("wrong key", "provider_auth_failed")
        self.assertNotIn(self.WRONG, str(run) + str(events))

    def test_no_key_says_what_to_set(self):
        server = self.where["no key"]
        run, events = server.finish(self.ids["no key"], 30)
        self.assertEqual((run["status"], run["failure"]["code"]), ("failed", "provider_unconfigured"))
        self.assertIn("OPENAI_API_KEY", run["failure"]["reason"])
        self.assertNotIn("execution.started", [e["type"] for e in events])


if __name__ == "__main__":
    main()
