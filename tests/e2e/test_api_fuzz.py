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
WAITING = 8
# What changes a run, of which at least a hundredth has to be accepted.
CHANGES = ("cancel", "close", "messages", "actions/{actionId}/approve", "actions/{actionId}/deny")
MOST_KIB = 400 * 1024


def new_things():
    return {"key": KEY, "runId": [], "actionId": ["action_00000000-0000-4000-8000-000000000000"], "artifactId": [], "path": ["a.txt"], "log": ["stdout", "stderr"], "webhookId": [], "deliveryId": [], "ruleId": [], "keyId": [], "nodeId": [], "workspaceId": ["default"], "provider": ["openai", "anthropic"],
            "questions": [], "makes_subjects": False}


def add_run(things, server, run_id):
    """Puts what a run has where the fuzz finds it."""
    things["runId"].append(run_id)
    for event in server.events(run_id):
        if event["type"] == "action.proposed":
            things["actionId"].append(event["payload"]["actionId"])
            things["questions"].append((run_id, event["payload"]["actionId"], event["payload"]["actionDigest"]))
    things["artifactId"] += [a["id"] for a in server.artifacts(run_id).values()]


def add_webhook(things, server):
    """One whose messages reach nobody."""
    webhook = server.call("POST", "/v1/webhooks", {"url": "https://hooks.invalid/x", "events": ["test"]})["id"]
    things["webhookId"].append(webhook)
    things["deliveryId"].append(server.call("POST", f"/v1/webhooks/{webhook}/test", expect=(202,))["id"])


def make_runs(server, things):
    """A completed, a failed and a denied run, and some that wait for an answer."""
    completed, _ = server.finish(server.create("sim: write a.txt hello\nsim: reply done")["id"])
    failed, _ = server.finish(server.create("sim: exit 3")["id"])
    denied = server.create("sim: reply x", approvalMode="manual")["id"]
    asked = server.wait_until(denied, lambda e: e["type"] == "approval.requested")[-1]["payload"]
    server.call("POST", f"/v1/runs/{denied}/actions/{asked['actionId']}/deny", {"actionDigest": asked["actionDigest"]})
    server.finish(denied)
    waiting = [server.create("sim: reply x", approvalMode="manual")["id"] for _ in range(WAITING)]
    add_webhook(things, server)
    rule = {"decision": "denied", "rule": {"command": "rm"}}
    things["ruleId"].append(server.call("POST", f"/v1/runs/{waiting[0]}/approval-rules", rule)["id"])
    for run in waiting:
        server.wait_until(run, lambda e: e["type"] == "approval.requested")
        add_run(things, server, run)
        things["runId"].remove(run)  # only decisions find it: a cancel would end its question
    for run in (completed["id"], failed["id"], denied):
        add_run(things, server, run)


def spread(server, things, seed, total):
    """Several connections at once, in processes of their own: judging costs more than answering."""
    indexes = range(total) if OPTIONS.only is None else [OPTIONS.only]
    shares = [list(indexes)[i::PROCESSES] for i in range(PROCESSES)]
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("fork")) as pool:
        results = list(pool.map(fuzz, *zip(*[(server.host, server.port, things, seed, share) for share in shares])))
    statuses, accepted = {}, {}
    for counts, _, tally in results:
        for status, count in counts.items():
            statuses[status] = statuses.get(status, 0) + count
        for name, pair in tally.items():
            accepted[name] = [a + b for a, b in zip(accepted.get(name, (0, 0)), pair)]
    return statuses, [line for r in results for line in r[1]], accepted


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
        server = Server(agents_dir=self.agents.path, args=("--sim", "--concurrency", str(WAITING + 1))).start()
        try:
            make_runs(server, things)
            server.stop()
            # Runs stay queued: what is tried here is the API.
            server.args = ["--sim", "--role", "api"]
            server.start()
            things["runId"] += [server.create("stays queued", metadata={"n": i})["id"] for i in range(3)]
            things["query:conversationId"] = things["runId"]
            things["makes_subjects"] = True
            statuses, found, accepted = spread(server, things, OPTIONS.seed, OPTIONS.requests)
            count = sum(statuses.values())
            print(f"{count} requests, seed {OPTIONS.seed}: {dict(sorted(statuses.items()))}", file=sys.stderr)
            self.assertEqual(found, [], "\n" + "\n".join(found))
            if OPTIONS.only is None:
                self.assertGreaterEqual(count, OPTIONS.requests)
                # A fuzz of which everything is refused would show little.
                self.assertGreater(sum(n for s, n in statuses.items() if s < 300), count // 5)
                self.assertLessEqual({200, 201, 204, 400, 401, 404, 405, 409, 413, 415}, set(statuses))
                changes = {name: accepted["POST /v1/runs/{runId}/" + name] for name in CHANGES}
                print(f"accepted: {changes}", file=sys.stderr)
                for name, (sent, taken) in changes.items():
                    self.assertGreaterEqual(taken, sent / 100, name)
            self.well(server)
        finally:
            self.end_everything(server)
            server.stop()
            server.remove_data()

    def end_everything(self, server):
        """What is queued is cancelled before a worker could take it; a worker then ends what waits for an answer."""
        def only_cancelling():
            active = server.call("GET", "/v1/runs?status=active&limit=100")["items"]
            for run in active:
                server.call("POST", f"/v1/runs/{run['id']}/cancel")
            return all(run["status"] == "cancelling" for run in active)
        wait_for(only_cancelling, 60, "queued runs to be cancelled")
        server.stop()
        server.args = ["--sim"]
        server.start()
        server.abandon()

    def test_requests_while_agents_run(self):
        things = new_things()
        with Server(agents_dir=self.agents.path, args=("--sim", "--concurrency", "4")) as server:
            for mode in ("auto", "manual", "manual"):
                run = server.create("sim: sh true\nsim: reply x", approvalMode=mode)["id"]
                server.wait_until(run, lambda e, m=mode: e["type"] == ("run.completed" if m == "auto" else "approval.requested"))
                add_run(things, server, run)
            _, found, _ = fuzz(server.host, server.port, things, f"{OPTIONS.seed}-live", range(300))
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
