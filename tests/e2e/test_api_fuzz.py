"""At least 20,000 requests made from the wire document against a server: none fails, hangs, is served or refused wrongly, or is answered as
the document does not say; and the server is well afterwards.

python3 tests/e2e/test_api_fuzz.py [--seed S] [--requests N] [--only INDEX]: a violation is shown with its seed and index and as a curl command;
`--only` sends that one case again.
"""
import argparse
import concurrent.futures
import multiprocessing
import sys
import unittest

from agents import AgentsDir, status_kib
from api_fuzz import fuzz
from harness import KEY, Case, Server, wait_for

OPTIONS = argparse.Namespace(seed=1, requests=20_000, only=None)
PROCESSES = 2
MOST_KIB = 400 * 1024


def new_things():
    return {"key": KEY, "runId": [], "actionId": ["action_00000000-0000-4000-8000-000000000000"], "artifactId": [], "digests": []}


def add_run(things, server, run_id):
    """Puts what a run has where the fuzz finds it."""
    things["runId"].append(run_id)
    for event in server.events(run_id):
        if event["type"] == "action.proposed":
            things["actionId"].append(event["payload"]["actionId"])
            things["digests"].append(event["payload"]["actionDigest"])
    things["artifactId"] += [a["id"] for a in server.artifacts(run_id).values()]


def make_runs(server, things):
    """A completed, a failed and a denied run."""
    completed, _ = server.finish(server.create("sim: write a.txt hello\nsim: reply done")["id"])
    failed, _ = server.finish(server.create("sim: exit 3")["id"])
    denied = server.create("sim: reply x", approvalMode="manual")["id"]
    asked = server.wait_until(denied, lambda e: e["type"] == "approval.requested")[-1]["payload"]
    server.call("POST", f"/v1/runs/{denied}/actions/{asked['actionId']}/deny", {"actionDigest": asked["actionDigest"]})
    server.finish(denied)
    for run in (completed["id"], failed["id"], denied):
        add_run(things, server, run)


def spread(server, things, seed, total):
    """Several connections at once, in processes of their own: judging costs more than answering."""
    indexes = range(total) if OPTIONS.only is None else [OPTIONS.only]
    shares = [list(indexes)[i::PROCESSES] for i in range(PROCESSES)]
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("fork")) as pool:
        results = list(pool.map(fuzz, *zip(*[(server.host, server.port, things, seed, share) for share in shares])))
    statuses = {}
    for _, counts, _ in results:
        for status, count in counts.items():
            statuses[status] = statuses.get(status, 0) + count
    return sum(r[0] for r in results), statuses, [line for r in results for line in r[2]]


class Fuzz(Case):
    def setUp(self):
        self.agents = AgentsDir()
        self.addCleanup(self.agents.remove)

    def well(self, server):
        self.assertEqual(server.request("GET", "/healthz", key=None)[0], 200)
        self.assertEqual(server.request("POST", "/v1/runs", {"task": "x"})[0], 201)
        self.assertLess(status_kib(server.pid, "VmRSS"), MOST_KIB)
        self.assertNotIn("internal_error", server.log_text())

    def test_requests_made_from_the_document(self):
        things = new_things()
        server = Server(agents_dir=self.agents.path).start()
        try:
            make_runs(server, things)
            server.stop()
            # Runs stay queued: what is tried here is the API.
            server.args = ["--sim", "--role", "api"]
            server.start()
            things["runId"] += [server.create("stays queued", metadata={"n": i})["id"] for i in range(3)]
            things["query:conversationId"] = things["runId"]
            count, statuses, found = spread(server, things, OPTIONS.seed, OPTIONS.requests)
            print(f"{count} requests, seed {OPTIONS.seed}: {dict(sorted(statuses.items()))}", file=sys.stderr)
            self.assertEqual(found, [], "\n" + "\n".join(found))
            if OPTIONS.only is None:
                self.assertGreaterEqual(count, OPTIONS.requests)
                # A fuzz of which everything is refused would show little.
                self.assertGreater(sum(n for s, n in statuses.items() if s < 300), count // 5)
                self.assertLessEqual({200, 201, 204, 400, 401, 404, 405, 409, 413, 415}, set(statuses))
            self.well(server)
        finally:
            server.stop()
            server.remove_data()

    def test_requests_while_agents_run(self):
        things = new_things()
        with Server(agents_dir=self.agents.path, args=("--sim", "--concurrency", "4")) as server:
            for mode in ("auto", "manual", "manual"):
                run = server.create("sim: sh true\nsim: reply x", approvalMode=mode)["id"]
                server.wait_until(run, lambda e, m=mode: e["type"] == ("run.completed" if m == "auto" else "approval.requested"))
                add_run(things, server, run)
            _, _, found = fuzz(server.host, server.port, things, f"{OPTIONS.seed}-live", range(300))
            self.assertEqual(found, [], "\n" + "\n".join(found))
            self.well(server)
            server.abandon()
            self.assertEqual(server.call("GET", "/v1/runs?status=active")["items"], [])
            wait_for(lambda: not list((server.data / "attempts").iterdir()), 30, "every sandbox to be gone")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--only", type=int)
    parser.parse_args(namespace=OPTIONS)
    unittest.main(verbosity=2, argv=sys.argv[:1])
