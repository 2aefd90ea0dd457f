#!/usr/bin/env python3
"""What a key costs, and whether time tells what another workspace has. Usage: python3 bench/tenancy.py [REQUESTS] (4000)

Requests for runs of another workspace and for runs that never were come in turn, in random order, over one connection; the difference of their
medians is compared with what chance alone gives (labels exchanged at random 2,000 times)."""
import http.client
import json
import pathlib
import random
import statistics
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import KEY, Server  # noqa: E402


def timed(connection, path, key):
    begin = time.perf_counter_ns()
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    reply = connection.getresponse()
    reply.read()
    return (time.perf_counter_ns() - begin) / 1000, reply.status


def median_of(connection, path, key, count):
    return statistics.median(timed(connection, path, key)[0] for _ in range(count))


def chance(labelled, rounds=2000):
    """The share of random labellings whose medians differ at least as much."""
    def difference(pairs):
        return abs(statistics.median(t for t, theirs in pairs if theirs) - statistics.median(t for t, theirs in pairs if not theirs))
    seen = difference(labelled)
    times, labels = [t for t, _ in labelled], [l for _, l in labelled]
    more = 0
    for _ in range(rounds):
        random.shuffle(labels)
        more += difference(list(zip(times, labels))) >= seen
    return seen, more / rounds


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    with Server(args=("--sim", "--role", "api")) as server:
        for team in ("team-a", "team-b"):
            server.call("POST", "/v1/workspaces", {"id": team})
        a, b = (server.call("POST", "/v1/keys", {"name": t, "scopes": ["runs:read", "runs:write"], "workspaces": [t]})["key"] for t in ("team-a", "team-b"))
        theirs = [server.call("POST", "/v1/runs", {"task": f"task {n}"}, key=a)["id"] for n in range(500)]
        own = server.call("POST", "/v1/runs", {"task": "own"}, key=b)["id"]
        usual = server.call("POST", "/v1/runs", {"task": "own"})["id"]
        connection = http.client.HTTPConnection(server.host, int(server.port))
        for path, key in ((f"/v1/runs/{usual}", KEY), (f"/v1/runs/{own}", b)):
            median_of(connection, path, key, 500)
        print(f"GET /v1/runs/ID: the server's own key {median_of(connection, f'/v1/runs/{usual}', KEY, count):.1f} us, "
              f"a stored key {median_of(connection, f'/v1/runs/{own}', b, count):.1f} us (median of {count})")
        for what in ("", "/events", "/session"):
            order = [n % 2 == 0 for n in range(count)]
            random.shuffle(order)
            pairs = []
            for is_theirs in order:
                run = random.choice(theirs) if is_theirs else f"run_{uuid.uuid4()}"
                took, status = timed(connection, f"/v1/runs/{run}{what}", b)
                assert status == 404
                pairs.append((took, is_theirs))
            seen, share = chance(pairs)
            print(f"GET /v1/runs/ID{what}: theirs and never was differ by {seen:.2f} us in the median; by chance alone at least so in {share:.0%}")


main()
