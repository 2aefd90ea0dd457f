"""What a failed run says about its provider: one cause for each way to fail, the same for both real agents on the simulated provider."""
from harness import Case, Server, main

CAUSES = {
    "sim: error 401 always": "provider_auth_failed",
    "sim: error 403 always": "provider_auth_failed",
    "sim: error 429 rate_limit_exceeded always": "provider_rate_limited",
    "sim: error 429 rate_limit_exceeded retry-after=3600 always": "provider_rate_limited",
    "sim: error 500 always": "provider_unavailable",
    "sim: error 404 model_not_found always": "model_not_found",
    "sim: error 400 always": "provider_rejected_request",
    "sim: fail max_tokens always": "output_tokens_exceeded",
    "sim: drop always": "provider_unavailable",
}
OF_CODEX = {
    "sim: error 429 insufficient_quota always": "provider_quota_exhausted",
    "sim: fail context_length_exceeded always": "context_window_exceeded",
    "sim: fail content_filter always": "provider_refused",
    "sim: fail rate_limit_exceeded always": "provider_rate_limited",
}
OF_CLAUDE = {
    "sim: error 400 insufficient_quota always": "provider_quota_exhausted",
    "sim: error 400 context_length_exceeded always": "context_window_exceeded",
    "sim: fail refusal always": "provider_refused",
    "sim: error 529 overloaded always": "provider_unavailable",
}


class Failures(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(args=("--sim", "--concurrency", "6")).start()
        cls.runs = {(kind, script): cls.server.create(f"{cls.done_first(script)}{script}\nsim: reply Never.", runtime={"kind": kind})["id"]
                    for kind, own in (("codex", OF_CODEX), ("claude_code", OF_CLAUDE)) for script in {**CAUSES, **own}}

    @staticmethod
    def done_first(script):
        """A step that was done before. Claude Code makes a long history short and goes on: there only a first request fails."""
        return "" if script == "sim: error 400 context_length_exceeded always" else "sim: write kept.txt kept\n"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        super().tearDownClass()

    def causes(self, kind, expected):
        for script, cause in expected.items():
            with self.subTest(f"{kind} {script}"):
                run = self.runs[kind, script]
                record, events = self.server.finish(run, 90)
                self.assertEqual(record["status"], "failed", record)
                failure = record["failure"]
                self.assertEqual((failure["code"], failure.get("cause")), ("provider_runtime_failed", cause), failure)
                self.assertTrue(failure["reason"])
                self.assertIn("agent.error", [event["type"] for event in events])
                patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()
                self.assertEqual("+kept" in patch, bool(self.done_first(script)), patch)

    def test_codex(self):
        self.causes("codex", {**CAUSES, **OF_CODEX})

    def test_claude_code(self):
        self.causes("claude_code", {**CAUSES, **OF_CLAUDE})


if __name__ == "__main__":
    main()
