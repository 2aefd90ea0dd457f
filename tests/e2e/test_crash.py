"""kill -9 of the server at chosen points of a run: nothing is lost, nothing comes twice, every run completes. Real Codex.

The points are chosen by looking, not by time: the server is stopped (SIGSTOP), the journal's length, the store's offset and sequence and the blobs
are read, and it is killed when they show the wanted state; otherwise it goes on for a moment. An SSE client is attached throughout.
"""
import json
import os
import re
import select
import signal
import sqlite3
import threading

from harness import Case, Deadline, Server, TERMINAL, main, wait_for

TASK = r"""Work in steps.
sim: say Starting.
sim: sh echo one > one.txt && echo one
sim: write two.txt two\n
sim: sleep 1
sim: sh for i in 1 2 3; do echo step $i; done
sim: edit two.txt two => three
sim: sh exit 4
sim: reply Finished all steps.
"""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VARYING = {"createdAt", "durationMs", "bytes", "bytesIn", "bytesOut", "sequence", "eventSequenceStart", "eventSequenceEnd", "callId",
           "promptSha256", "workerId", "inputTokens", "cachedInputTokens", "outputTokens", "reasoningOutputTokens", "totalTokens"}


def normal(value, key=None):
    if isinstance(value, dict):
        return {k: normal(v, k) for k, v in value.items() if k not in VARYING}
    if isinstance(value, list):
        return [normal(v) for v in value]
    if isinstance(value, str):
        text = UUID.sub("<id>", value)
        text = re.sub(r"sha256:[0-9a-f]{64}", "<digest>", text)
        return re.sub(r"\b(call|fc|msg|rs)_[0-9a-z]+", "<call>", text)
    return value


def comparable(events):
    """Events without ids and times; provider requests apart, since they run beside the agent's own events."""
    own, requests = [], []
    for event in events:
        if event["type"] in ("provider.stdout", "provider.stderr"):
            event = {**event, "payload": {k: v for k, v in event["payload"].items() if not k.startswith("text")}}
        if event["type"] == "checkpoint.created":  # the agent's own files hold times and ids
            event = {**event, "payload": {k: v for k, v in event["payload"].items() if k != "sha256"}}
        if event["type"] == "credential_boundary.verified":  # how much was looked at in its time depends on the machine
            event = {**event, "payload": {k: v for k, v in event["payload"].items() if k != "files" and not k.lower().endswith("complete")}}
        (requests if event["type"] == "egress.request" else own).append(json.dumps(normal(event), sort_keys=True))
    return own, sorted(requests)


# Killed there, no keeper may have been started yet: the run then gets a second attempt, which is announced.
EARLY = {"before the first event", "claimed, no journal yet", "journal ahead of the store, early"}


def of_last_attempt(events):
    """The claim and what the last attempt did, without the announcement of a new attempt."""
    starts = [i for i, e in enumerate(events) if e["type"] == "run.attempt_started"]
    return events[:1] + events[starts[-1] + 1:] if starts else events


class View:
    """What the disk says about a run while the server stands still."""

    def __init__(self, server, run_id):
        self.data, self.run_id = server.data, run_id
        self.journal = 0
        for path in self.data.glob("attempts/*/journal"):
            # Preallocated space behind the last record is not length: count whole lines.
            data = path.read_bytes()
            self.journal = max(self.journal, data.rfind(b"\n", 0, len(data.rstrip(b"\0"))) + 1)
        database = sqlite3.connect(f"file:{self.data}/agentrouter.db?mode=ro", uri=True)
        try:
            self.sequence, self.status = database.execute("select last_event_seq, status from runs where id = ?", (run_id,)).fetchone()
            row = database.execute("select journal_offset, closing from attempts where run_id = ? order by number desc", (run_id,)).fetchone()
            self.offset, self.closing = row or (0, "")
        finally:
            database.close()
        self.blobs = {p.name for p in self.data.glob(f"blobs/runs/{run_id}/**/*") if p.is_file()}


# name -> condition on the view. Each is a different moment in the life of a run.
POINTS = {
    "before the first event": lambda v: v.sequence == 0,
    "claimed, no journal yet": lambda v: v.sequence >= 1 and v.journal == 0,
    "journal ahead of the store, early": lambda v: v.journal > v.offset and v.sequence < 6,
    "sandbox created": lambda v: v.sequence >= 2,
    "action proposed": lambda v: v.sequence >= 4,
    "execution started": lambda v: v.sequence >= 6,
    "agent started": lambda v: v.sequence >= 8,
    "journal ahead of the store, running": lambda v: v.journal > v.offset and v.sequence >= 8,
    "provider stream open": lambda v: v.sequence >= 14 and v.journal == v.offset and v.status == "running",
    "late in the turn": lambda v: v.sequence >= 22,
    "journal ahead of the store, late": lambda v: v.journal > v.offset and v.sequence >= 22,
    "artifacts being uploaded": lambda v: "000001.ndjson.gz" in v.blobs and not v.closing,
    "closing begun": lambda v: bool(v.closing) and v.status not in ("completed", "failed"),
    "archive written": lambda v: "events.jsonl" in v.blobs and v.status not in ("completed", "failed"),
    "run ended, attempt still open": lambda v: v.status == "completed",
}
# One round is the bounded form for CI; four make 60 kills.
ROUNDS = int(os.environ.get("AGENTROUTER_CRASH_ROUNDS", "1"))
# Some moments are so short that a run can pass them between two looks: then another run is tried.
TRIES = 20


class Follower(threading.Thread):
    """An SSE client that reconnects with the last id it saw, for as long as it takes."""

    def __init__(self, server, run_id):
        super().__init__(daemon=True)
        self.server, self.run_id, self.events, self.connections = server, run_id, [], 0

    def run(self):
        deadline, last = Deadline(180), 0
        while not (self.events and self.events[-1]["type"] in TERMINAL):
            deadline.left("the run's end on the stream")
            try:
                with self.server.follow(self.run_id, last) as stream:
                    self.connections += 1
                    for event in stream.read(60):
                        self.events.append(event)
                        last = event["sequence"]
            except (OSError, ValueError, AssertionError):
                select.select([], [], [], 0.02)


class Crash(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with Server() as server:
            _, cls.undisturbed = server.finish(server.create(TASK)["id"])
        cls.expected = comparable(cls.undisturbed)
        cls.kills = []

    def kill_at(self, server, run_id, condition, patience=20):
        """Kills the server when the disk shows `condition`; False when the run passed it by."""
        deadline = Deadline(patience)
        while True:
            os.kill(server.pid, signal.SIGSTOP)
            try:
                view = View(server, run_id)
            except (sqlite3.Error, FileNotFoundError, TypeError):
                view = None
            if view and condition(view):
                server.kill()
                return True
            if view and view.status in ("completed", "failed", "cancelled"):
                os.kill(server.pid, signal.SIGCONT)
                return False
            os.kill(server.pid, signal.SIGCONT)
            deadline.left("the wanted moment")
            select.select([], [], [], 0.0005)

    def restart(self, server):
        # The same address, so that the follower finds it again.
        server.listen = f"{server.host}:{server.port}"
        wait_for(lambda: self.try_start(server), 20, "the port to be free again")

    @staticmethod
    def try_start(server):
        try:
            server.start()
            return True
        except AssertionError:
            return False

    def check(self, server, run_id, follower, name):
        follower.join(180)
        run = server.run(run_id)
        self.assertEqual(run["status"], "completed", f"{name}: {run.get('failure')}")
        events = server.events(run_id)
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)), name)
        self.assertEqual(follower.events, events, f"{name}: the follower saw each event exactly once")
        own, requests = comparable(of_last_attempt(events) if name in EARLY else events)
        self.assertEqual(own, self.expected[0], name)
        self.assertEqual(requests, self.expected[1], name)
        self.assertEqual(len(server.artifacts(run_id)), 6, name)
        server.tidy()

    def crash_once(self, server, name, points, down=0.0):
        run_id = server.create(TASK)["id"]
        follower = Follower(server, run_id)
        follower.start()
        for condition in points:
            if self.kill_at(server, run_id, condition):
                self.kills.append(name)
                if down:
                    select.select([], [], [], down)
                self.restart(server)
        self.check(server, run_id, follower, name)

    def test_every_point_many_times(self):
        with Server() as server:
            for round_ in range(1, ROUNDS + 1):
                for name, condition in POINTS.items():
                    with self.subTest(name):
                        for _ in range(TRIES):
                            if self.kills.count(name) < round_:
                                self.crash_once(server, name, [condition])
        missed = set(POINTS) - set(self.kills)
        self.assertFalse(missed, "points that were never hit")
        print(f"\n{len(self.kills)} kills at {len(set(self.kills))} distinct points", flush=True)
        self.assertGreaterEqual(len(self.kills), ROUNDS * len(POINTS) * 9 // 10)

    def test_two_kills_in_one_run(self):
        with Server() as server:
            self.crash_once(server, "two kills", [POINTS["execution started"], POINTS["late in the turn"]])

    def test_twenty_seconds_without_a_server(self):
        with Server() as server:
            self.crash_once(server, "20 s down", [POINTS["agent started"]], down=20)


if __name__ == "__main__":
    main()
