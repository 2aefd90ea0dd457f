"""One key, many first uses at the same time: exactly one of them acts, all others are told what it did."""
import collections
import http.client
import json
import threading

from agents import AgentsDir
from harness import Case, KEY, Server, main

CLIENTS = 300


def at_once(server, path, body, key):
    """Sends the same POST from CLIENTS connections that are all open before the first one sends; gives (status, replayed, value)."""
    ready, replies, text = threading.Barrier(CLIENTS), [None] * CLIENTS, json.dumps(body)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Idempotency-Key": key}

    def client(number):
        connection = http.client.HTTPConnection(server.host, int(server.port), timeout=60)
        try:
            connection.connect()
            ready.wait(60)
            connection.request("POST", path, text, headers)
            reply = connection.getresponse()
            replies[number] = (reply.status, reply.getheader("Idempotent-Replayed"), json.loads(reply.read()))
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


class Idempotency(Case):
    def judge(self, replies, first, again):
        kinds = collections.Counter((reply[0], reply[1]) for reply in replies if reply)
        self.assertEqual(kinds, {(first, None): 1, (again, "true"): CLIENTS - 1})
        return [reply[2] for reply in replies]

    def test_one_run_and_one_next_turn(self):
        with Server(args=("--sim", "--role", "api")) as server:
            runs = self.judge(at_once(server, "/v1/runs", {"task": "once"}, "one"), 201, 200)
            self.assertEqual({run["id"] for run in runs}, {runs[0]["id"]})
            self.assertEqual([run["id"] for run in server.call("GET", "/v1/runs")["items"]], [runs[0]["id"]])
            path = f"/v1/runs/{runs[0]['id']}"
            server.call("POST", f"{path}/cancel", {})
            server.finish(runs[0]["id"], 30)
            turns = self.judge(at_once(server, f"{path}/messages", {"message": "next"}, "one"), 202, 202)
            self.assertEqual({json.dumps(turn) for turn in turns}, {json.dumps(turns[0])})
            self.assertEqual([turn["turnNumber"] for turn in server.call("GET", f"{path}/turns")["items"]], [1, 2])
            server.call("POST", f"/v1/runs/{turns[0]['runId']}/cancel", {})
            self.assertNotIn("internal_error", server.log_text())

    def test_keys_outlive_a_crash_of_the_server(self):
        with Server(args=("--sim", "--role", "api")) as server:
            header = {"Idempotency-Key": "kept"}
            status, _, first = server.request("POST", "/v1/runs", {"task": "once"}, headers=header)
            self.assertEqual(status, 201)
            server.kill()
            server.start()
            status, headers, again = server.request("POST", "/v1/runs", {"task": "once"}, headers=header)
            self.assertEqual((status, headers["idempotent-replayed"], json.loads(again)["id"]), (200, "true", json.loads(first)["id"]))
            server.call("POST", f"/v1/runs/{json.loads(first)['id']}/cancel", {})

    def test_one_decision(self):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server:
            run = server.create("sim: reply Hi.", approvalMode="manual")["id"]
            asked = server.wait_until(run, lambda e: e["type"] == "approval.requested", 30)[-1]["payload"]
            path = f"/v1/runs/{run}/actions/{asked['actionId']}/approve"
            events = self.judge(at_once(server, path, {"actionDigest": asked["actionDigest"], "reason": "yes"}, "one"), 200, 200)
            self.assertEqual({event["sequence"] for event in events}, {events[0]["sequence"]})
            ended, all_events = server.finish(run)
            self.assertEqual(ended["status"], "completed")
            self.assertEqual(sum(event["type"] == "approval.decided" for event in all_events), 1)


if __name__ == "__main__":
    main()
