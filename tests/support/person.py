"""Who decides about the actions of a run, and what a run's events say about them."""
import http.client
import json
import select
import threading

# The server is being killed or started.
AWAY = (OSError, ValueError, http.client.HTTPException)


def of(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


def tool_actions(events):
    """The actions behind the launch, each with its events by type."""
    actions = {}
    for event in events:
        payload = event["payload"]
        if payload.get("actionId"):
            actions.setdefault(payload["actionId"], {})[event["type"]] = payload
    return [action for action in actions.values() if action["action.proposed"]["action"]["type"] == "tool_call"]


def allows(event):
    """Yes to everything that has no "no-" in it."""
    action = event["payload"]["action"]
    return action["type"] != "tool_call" or "no-" not in json.dumps(action["args"]["input"])


class Person(threading.Thread):
    """Waits for questions of one run without polling and decides as `decide(question event)` says: True, False, or None for not now."""

    def __init__(self, server, run_id, decide=allows):
        super().__init__(daemon=True)
        self.server, self.run_id, self.decide = server, run_id, decide
        self.decided, self.over = [], threading.Event()

    def run(self):
        after = 0
        while not self.over.is_set():
            try:
                page = self.server.call("GET", f"/v1/approvals?runId={self.run_id}&after={after}&waitSeconds=2")
                for item in page["items"]:
                    self.answer(item)
                after = page["nextAfter"]
            except AWAY:
                select.select([], [], [], 0.02)

    def answer(self, item):
        word = self.decide(item["event"])
        if word is None:
            return
        body = {"actionDigest": item["actionDigest"], "reason": "as the test says"}
        verb = "approve" if word else "deny"
        # A reply that was lost is asked for again: deciding twice is deciding once.
        while not self.over.is_set():
            try:
                self.server.call("POST", f"/v1/runs/{self.run_id}/actions/{item['actionId']}/{verb}", body, expect=(200, 409))
                self.decided.append((item["actionId"], word))
                return
            except AWAY:
                select.select([], [], [], 0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.join(30)
