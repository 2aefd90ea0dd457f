"""The judge can fail: an honest history and account are accepted, and each way in which a server could break its word is reported by the rule for it."""
import copy
import hashlib
import json
import unittest

import judge
from audit_rules import CHAINED
from endings import moment
from harness import digest
from reading import value_of
from watchers import digest as frame_digest

SITE = "one"
START = "2026-01-05T09:30:00.000Z"
END = "2026-01-05T09:30:09.000Z"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class World:
    """What clients know and what the API says of some runs; consistent until somebody doctors it."""

    def __init__(self):
        self.facts, self.runs, self.turns, self.calls, self.told, self.left = [], {}, {}, [], None, {}

    def fact(self, what, **fields):
        self.facts.append({"what": what, "site": SITE, "time": 0, **fields})
        return self.facts[-1]

    def asked(self, run_id, task, words=(), may_end=("completed",), key="k", **more):
        op = len(self.facts)
        self.fact("asked", op=op, how="create", key=key, about=None, task=task, words=list(words), may_end=list(may_end), **more)
        self.fact("answered", op=op, status=201, run=run_id, code="")
        return op

    def add(self, run_id, task, drafts, status="completed", failure=None, patch="", conversation=None):
        conversation = conversation or run_id
        events = [{"runId": run_id, "sequence": n, "type": kind, "payload": {"eventId": f"evt_{run_id}_{n}", **payload}}
                  for n, (kind, payload) in enumerate([*drafts, (f"run.{status}", {})], 1)]
        run = {"id": run_id, "status": status, "input": {"task": task}, "lastEventSeq": len(events), "conversationId": conversation,
               "queuedAt": START, "completedAt": END}
        if failure:
            run["failure"] = {"code": failure}
        self.runs[run_id] = {"run": run, "events": events, "record": {"limits": {"used": {"tokens": 10}}, "conversation": {"state": "open"}},
                             "artifacts": self.artifacts(run_id, patch)}
        self.turns.setdefault(conversation, []).append({"runId": run_id, "turnNumber": len(self.turns.get(conversation, ())) + 1})
        self.seal(run_id)

    def artifacts(self, run_id, patch):
        texts = {kind: "" for kind in judge.ALWAYS} | {"workspace_patch": patch}
        return [{"id": f"artifact_{run_id}_{kind}", "kind": kind, "text": text, "metadata": {}} for kind, text in sorted(texts.items())]

    def seal(self, run_id):
        """Frames, archive and manifest of what the events say now."""
        entry = self.runs[run_id]
        entry["frames"] = [[e["sequence"], frame_digest(json.dumps(e).encode()), value_of(e)] for e in entry["events"]]
        for one in entry["artifacts"]:
            if one["kind"] == "session_events":
                one["text"] = "".join(json.dumps(event) + "\n" for event in entry["events"])
            if one["kind"] == "session_manifest":
                continue
            self.measure(one)
        manifest = next(one for one in entry["artifacts"] if one["kind"] == "session_manifest")
        manifest["text"] = json.dumps({"run": {"status": entry["run"]["status"], "lastEventSeq": len(entry["events"])},
                                       "artifacts": [{"id": o["id"], "sha256": o["sha256"]} for o in entry["artifacts"] if o is not manifest]})
        self.measure(manifest)

    @staticmethod
    def measure(one):
        one.update(sha256=sha(one["text"]), sizeBytes=len(one["text"]), found={"status": 200, "size": len(one["text"]), "sha256": sha(one["text"])})

    def watch(self, run_id, *cuts):
        """A subscriber whose connection broke behind each of the events in `cuts`."""
        frames, connections, after = self.runs[run_id]["frames"], [], 0
        for cut in (*cuts, len(frames)):
            piece = frames[after:cut]
            connections.append({"after": after, "ids": [n for n, _, _ in piece], "digests": "".join(d for _, d, _ in piece)})
            after = cut
        return self.fact("watched", run=run_id, connections=connections, ended=True, status=200, given_up=False)

    def chain(self):
        entries, previous = [], "sha256:" + 64 * "0"
        for run_id, entry in self.runs.items():
            for sequence, kind, payload in [(0, "run.created", {})] + [(e["sequence"], e["type"], e["payload"]) for e in entry["events"] if e["type"] in CHAINED]:
                one = {"number": len(entries) + 1, "runId": run_id, "sequence": sequence, "type": kind, "payloadDigest": digest(payload), "previous": previous}
                previous = one["hash"] = digest(one)
                entries.append(one)
        return entries

    def judged(self, account=None):
        account = account or self.account()
        return {rule for rule, _, _ in judge.violations(self.facts, {SITE: account}, {SITE: {"calls": self.calls, "told": self.messages() if self.told is None else self.told, "left": self.left}})}

    def messages(self):
        """Each twice, as a server may that was killed in between."""
        return 2 * [[e["type"], run_id, e["sequence"], f"msg_{run_id}_{e['sequence']}"]
                    for run_id, entry in self.runs.items() for e in entry["events"] if e["type"] in judge.TOLD]

    def account(self):
        spent = sum(entry["record"]["limits"]["used"]["tokens"] for entry in self.runs.values())
        budget = {"scope": "workspace", "window": "month", "spent": {"tokens": spent}, "reserved": {"tokens": 0, "costUsd": 0}}
        return {"runs": self.runs, "turns": self.turns, "budgets": [budget], "audit": self.chain(), "questions": []}


def shell(number, word):
    call = {"callId": f"call_{number}", "tool": "shell"}
    return [("agent.tool_started", {**call, "args": {"command": f"/bin/sh -c 'echo {word} >> evidence.txt'"}}),
            ("agent.tool_completed", {**call, "status": "completed", "exitCode": 0})]


def question(action, decision=None):
    events = [("action.proposed", {"actionId": action}), ("approval.requested", {"actionId": action})]
    if decision:
        events.append(("approval.decided", {"actionId": action, "decision": decision}))
    return events


def let_go(action):
    return [("execution.started", {"actionId": action}), ("execution.completed", {"actionId": action})]


BEGIN = [("run.claimed", {}), ("sandbox.created", {})]
FREE, YES, NO = "free-000000000001", "yes-000000000002", "no-000000000003"


def honest():
    world = World()
    world.asked("run_a", "a", [FREE])
    world.add("run_a", "a", [*BEGIN, *shell(1, FREE)], patch=f"+{FREE}\n")
    world.asked("run_b", "b", [YES, NO])
    world.add("run_b", "b", [*BEGIN, *question("action_y", "approved"), *let_go("action_y"), *shell(2, YES), *question("action_n", "denied")], patch=f"+{YES}\n")
    for action, word, sequence in (("action_y", "approve", 5), ("action_n", "deny", 12)):
        world.fact("decided", run="run_b", action=action, digest="d", word=word, sequence=sequence)
    world.asked("run_c", "c", may_end=("cancelled",))
    world.add("run_c", "c", BEGIN, status="cancelled")
    world.fact("cancelled", run="run_c", state="cancelling", status=200)
    world.asked("run_d", "d", [])
    world.add("run_d", "d", BEGIN, status="failed", failure="attempt_lost")
    world.fact("fault", kind="keeper_kill", run="run_d", began=moment(START) + 1, ended=moment(START) + 1)
    world.asked("run_e", "e", ["free-000000000009"], last=True)
    world.add("run_e", "e", [*BEGIN, *shell(3, "free-000000000009")], patch=f"+{FREE}\n+free-000000000009\n", conversation="run_a")
    world.watch("run_a", 2, 4)
    world.watch("run_b")
    return world


class Judge(unittest.TestCase):
    def setUp(self):
        self.world = honest()

    def caught(self, *rules):
        self.assertEqual(self.world.judged(), set(rules))

    def events(self, run):
        return self.world.runs[run]["events"]

    def drop(self, run, place):
        """As a server would that has forgotten: everything else fits."""
        events = self.events(run)
        del events[place]
        for number, event in enumerate(events, 1):
            event["sequence"] = number
        self.world.runs[run]["run"]["lastEventSeq"] = len(events)
        self.world.seal(run)

    def insert(self, run, place, kind, **payload):
        events = self.events(run)
        events.insert(place, {"runId": run, "sequence": 0, "type": kind, "payload": payload})
        for number, event in enumerate(events, 1):
            event["sequence"] = number
        self.world.runs[run]["run"]["lastEventSeq"] = len(events)
        self.world.seal(run)

    def artifact(self, run, kind):
        return next(one for one in self.world.runs[run]["artifacts"] if one["kind"] == kind)

    def patch(self, run, text):
        self.artifact(run, "workspace_patch")["text"] = text
        self.world.seal(run)

    def test_what_is_honest_is_accepted(self):
        self.caught()

    # Requests.
    def test_an_acknowledged_run_that_is_gone(self):
        self.world.asked("run_x", "x")
        self.caught("requests")

    def test_two_runs_of_one_key(self):
        self.world.add("run_a2", "a", BEGIN)
        self.caught("requests")

    def test_a_retry_that_is_told_of_another_run(self):
        self.world.fact("answered", op=0, status=200, run="run_b", code="")
        self.caught("requests")

    def test_a_retry_that_is_told_of_a_second_first_time(self):
        self.world.fact("answered", op=0, status=201, run="run_a", code="")
        self.caught("requests")

    def test_a_run_that_nobody_asked_for(self):
        self.world.add("run_y", "y", BEGIN)
        self.caught("requests")

    def test_a_turn_that_is_refused(self):
        self.world.fact("asked", op=99, how="message", key=None, about="run_a", task="more", words=[], may_end=["completed"])
        self.world.fact("answered", op=99, status=409, run=None, code="run_busy")
        self.caught("requests")

    # Ends.
    def test_a_run_that_does_not_end(self):
        run = self.world.runs["run_a"]
        run["run"]["status"] = "running"
        self.drop("run_a", -1)
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.assertIn("endings", self.world.judged())

    def test_a_failure_without_a_cause(self):
        self.world.facts = [f for f in self.world.facts if f["what"] != "fault"]
        self.caught("endings")

    def test_a_failure_whose_fault_was_before_it(self):
        fault = next(f for f in self.world.facts if f["what"] == "fault")
        fault["began"] = fault["ended"] = moment(START) - 60
        self.caught("endings")

    def test_a_failure_whose_fault_was_another_runs(self):
        next(f for f in self.world.facts if f["what"] == "fault")["run"] = "run_a"
        self.caught("endings")

    def test_a_second_attempt_for_no_reason(self):
        self.insert("run_b", 1, "run.attempt_started", attempt=2)
        self.world.facts = [f for f in self.world.facts if f["what"] not in ("watched", "decided")]
        self.caught("endings")

    def test_a_cancel_that_nobody_asked_for(self):
        self.world.facts = [f for f in self.world.facts if f["what"] != "cancelled"]
        self.caught("endings")

    def test_a_run_that_ended_and_still_asks(self):
        account = self.world.account()
        account["questions"] = [{"runId": "run_b", "actionId": "action_y"}]
        self.assertEqual(self.world.judged(account), {"endings"})

    # Events.
    def test_a_gap(self):
        del self.events("run_d")[0]
        self.world.seal("run_d")
        self.assertIn("sequences", self.world.judged())

    def test_a_duplicate(self):
        self.events("run_d").insert(1, copy.deepcopy(self.events("run_d")[0]))
        self.world.seal("run_d")
        self.assertIn("sequences", self.world.judged())

    def test_the_same_event_twice_under_two_numbers(self):
        self.insert("run_d", 1, "run.claimed", eventId="evt_run_d_1")
        self.caught("sequences")

    def test_a_second_terminal_event(self):
        self.insert("run_c", 3, "run.cancelled")
        self.assertIn("sequences", self.world.judged())

    def test_another_terminal_event_than_the_status(self):
        self.world.runs["run_c"]["run"]["status"] = "completed"
        self.assertIn("sequences", self.world.judged())

    def test_an_event_behind_the_end(self):
        self.insert("run_d", 3, "agent.message")
        self.caught("sequences")

    def test_a_last_number_that_nobody_can_reach(self):
        self.world.runs["run_d"]["run"]["lastEventSeq"] += 1
        self.assertIn("sequences", self.world.judged())

    def test_a_cause_that_is_not_there(self):
        self.insert("run_d", 2, "agent.message", priorEventId="evt_lost")
        self.caught("sequences")

    # Subscribers.
    def test_an_event_that_was_seen_and_is_gone(self):
        self.drop("run_a", 2)
        self.assertIn("watchers", self.world.judged())

    def test_an_event_that_was_seen_otherwise(self):
        self.events("run_a")[2]["payload"]["args"]["command"] += " "
        self.world.seal("run_a")
        self.assertIn("watchers", self.world.judged())

    def test_a_stream_that_says_something_else_than_the_list(self):
        self.world.runs["run_d"]["frames"][1][2] = "0000000000000000"
        self.caught("watchers")

    def seen(self):
        return next(f for f in self.world.facts if f["what"] == "watched")["connections"]

    def test_a_subscriber_that_misses_an_event(self):
        first = self.seen()[1]
        first["ids"], first["digests"] = first["ids"][1:], first["digests"][16:]
        self.caught("watchers")

    def test_a_subscriber_that_sees_one_twice(self):
        self.seen()[1]["ids"].insert(0, 2)
        self.seen()[1]["digests"] = self.seen()[0]["digests"][16:] + self.seen()[1]["digests"]
        self.caught("watchers")

    def test_a_subscriber_that_sees_them_out_of_order(self):
        one = self.seen()[1]
        one["ids"].reverse()
        one["digests"] = one["digests"][16:] + one["digests"][:16]
        self.caught("watchers")

    def test_a_subscriber_whose_stream_ends_too_early(self):
        self.seen().pop()
        self.caught("watchers")

    def test_a_subscriber_that_never_comes_to_an_end(self):
        next(f for f in self.world.facts if f["what"] == "watched")["given_up"] = True
        self.caught("watchers")

    def test_a_subscriber_of_a_run_that_is_unknown(self):
        self.world.fact("watched", run="run_z", connections=[], ended=False, status=404)
        self.caught("watchers")

    # Decisions.
    def test_a_decision_that_was_forgotten(self):
        self.drop("run_b", 4)
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.assertIn("decisions", self.world.judged())

    def test_a_decision_that_became_the_opposite(self):
        next(e for e in self.events("run_b") if e["payload"].get("decision") == "denied")["payload"]["decision"] = "approved"
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.world.seal("run_b")
        self.caught("decisions")

    def after_question(self, *events):
        for kind, action in events:
            self.insert("run_b", len(self.events("run_b")) - 1, kind, actionId=action)
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]

    def test_an_action_after_its_denial(self):
        self.after_question(("execution.started", "action_n"), ("execution.completed", "action_n"))
        self.caught("decisions")

    def test_an_action_that_is_let_go_twice(self):
        self.after_question(("execution.started", "action_y"))
        self.caught("decisions")

    def test_an_action_with_two_outcomes(self):
        self.after_question(("execution.failed", "action_y"))
        self.caught("decisions")

    def test_an_action_without_an_outcome(self):
        self.after_question(("action.proposed", "action_z"), ("execution.started", "action_z"))
        self.caught("decisions")

    def test_a_question_that_is_never_settled(self):
        self.after_question(("approval.requested", "action_z"))
        self.caught("decisions")

    def test_an_action_that_was_void(self):
        self.after_question(("approval.withdrawn", "action_z"), ("execution.started", "action_z"), ("execution.completed", "action_z"))
        self.caught("decisions")

    def test_a_denied_command_that_ran(self):
        self.patch("run_b", f"+{YES}\n+{NO}\n")
        self.caught("workspaces")

    def test_a_command_that_ran_twice(self):
        self.patch("run_b", f"+{YES}\n+{YES}\n")
        self.caught("workspaces")

    def test_a_command_that_succeeded_and_left_nothing(self):
        self.patch("run_b", "")
        self.caught("workspaces")

    def test_a_turn_without_what_the_turn_before_did(self):
        self.patch("run_e", "+free-000000000009\n")
        self.caught("workspaces")

    def test_work_of_another_conversation(self):
        self.patch("run_b", f"+{YES}\n+{FREE}\n")
        self.caught("workspaces")

    def test_a_denied_call_that_left_the_sandbox(self):
        self.world.calls = [NO]
        self.caught("told_outside")

    def test_a_call_that_left_the_sandbox_twice(self):
        self.world.calls = [YES, YES]
        self.caught("told_outside")

    # Tools.
    def test_a_call_of_a_tool_without_an_end(self):
        self.drop("run_a", 3)
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.caught("tools")

    def test_a_call_of_a_tool_without_a_beginning(self):
        self.drop("run_a", 2)
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.caught("tools")

    def test_a_call_of_a_tool_that_ends_twice(self):
        self.insert("run_a", 4, "agent.tool_completed", callId="call_1", status="completed")
        self.world.facts = [f for f in self.world.facts if f["what"] != "watched"]
        self.caught("tools")

    # Cancels.
    def test_a_cancel_that_was_acknowledged_and_not_obeyed(self):
        self.world.fact("cancelled", run="run_a", state="cancelling", status=200)
        self.caught("cancels")

    def test_a_cancel_that_changes_an_ended_run(self):
        self.world.fact("cancelled", run="run_c", state="completed", status=200)
        self.caught("cancels")

    def test_a_close_that_was_forgotten(self):
        self.world.fact("closed", run="run_a")
        self.caught("cancels")

    # Bytes.
    def test_an_artifact_with_other_bytes(self):
        self.artifact("run_a", "stdout_log")["found"]["sha256"] = sha("other")
        self.caught("artifacts")

    def test_an_artifact_of_another_size(self):
        self.artifact("run_a", "stdout_log")["found"]["size"] = 7
        self.caught("artifacts")

    def test_an_artifact_whose_bytes_are_gone(self):
        self.artifact("run_a", "stdout_log")["found"]["status"] = 404
        self.caught("artifacts")

    def test_a_log_that_cannot_be_unpacked(self):
        self.artifact("run_a", "stdout_log")["found"]["readable"] = False
        self.caught("artifacts")

    def test_an_artifact_that_is_missing(self):
        entry = self.world.runs["run_a"]
        entry["artifacts"] = [one for one in entry["artifacts"] if one["kind"] != "stdout_log"]
        self.world.seal("run_a")
        self.caught("artifacts")

    def test_an_archive_with_other_events(self):
        archive = self.artifact("run_a", "session_events")
        archive["text"] = "".join(archive["text"].splitlines(True)[1:])
        self.world.measure(archive)
        self.assertEqual(self.world.judged(), {"artifacts"})

    def test_a_manifest_of_other_artifacts(self):
        manifest = self.artifact("run_a", "session_manifest")
        manifest["text"] = manifest["text"].replace(self.artifact("run_a", "stdout_log")["id"], "artifact_other")
        self.world.measure(manifest)
        self.caught("artifacts")

    # States.
    def test_a_turn_that_leaves_neither_a_state_nor_a_reason(self):
        self.insert("run_d", 2, "agent.started")
        self.insert("run_d", 3, "sandbox.destroyed")
        self.world.runs["run_d"]["run"]["failure"]["code"] = "agent_exited"
        fault = next(f for f in self.world.facts if f["what"] == "fault")
        fault["kind"] = "init_kill"
        self.caught("states")
        self.events("run_d")[3]["payload"]["checkpointError"] = "no room"
        self.world.seal("run_d")
        self.caught()

    def test_a_state_that_was_kept_and_was_not(self):
        self.insert("run_d", 2, "checkpoint.created")
        self.insert("run_d", 3, "sandbox.destroyed", checkpointError="no room")
        self.caught("states")

    def test_a_state_that_its_keeper_took_along(self):
        self.insert("run_d", 2, "agent.started")
        self.insert("run_d", 3, "sandbox.destroyed", checkpointLost="its keeper ended")
        self.caught()
        self.world.runs["run_d"]["run"]["failure"]["code"] = "agent_exited"
        next(f for f in self.world.facts if f["what"] == "fault")["kind"] = "init_kill"
        self.caught("states")

    def test_an_attempt_that_is_lost_and_does_not_say_so(self):
        self.insert("run_d", 2, "agent.started")
        self.insert("run_d", 3, "sandbox.destroyed")
        self.caught("states")

    # The rest.
    def test_a_conversation_that_cannot_go_on(self):
        run = self.world.runs["run_e"]["run"]
        run["status"], run["failure"] = "failed", {"code": "worker_failed"}
        self.events("run_e")[-1]["type"] = "run.failed"
        self.world.seal("run_e")
        self.caught("conversations", "endings")

    def test_a_turn_number_that_is_left_out(self):
        self.world.turns["run_a"][1]["turnNumber"] = 3
        self.caught("conversations")

    def test_a_turn_that_is_no_run(self):
        self.world.turns["run_b"].append({"runId": "run_lost", "turnNumber": 2})
        self.caught("conversations")

    def test_money_that_was_not_counted(self):
        account = self.world.account()
        account["budgets"][0]["spent"]["tokens"] -= 1
        self.assertEqual(self.world.judged(account), {"budgets"})

    def test_money_that_stays_reserved(self):
        account = self.world.account()
        account["budgets"][0]["reserved"]["tokens"] = 5
        self.assertEqual(self.world.judged(account), {"budgets"})

    def test_a_chain_with_a_changed_entry(self):
        account = self.world.account()
        account["audit"][1]["payloadDigest"] = digest("other")
        self.assertEqual(self.world.judged(account), {"audit_rules"})

    def test_a_chain_without_an_entry(self):
        account = self.world.account()
        del account["audit"][2]
        self.assertEqual(self.world.judged(account), {"audit_rules"})

    def test_a_chain_that_is_whole_and_says_something_else(self):
        account = self.world.account()
        self.events("run_d")[2]["payload"]["more"] = 1
        self.world.seal("run_d")
        self.assertEqual(self.world.judged(account), {"audit_rules"})

    def test_a_chain_that_ends_too_early(self):
        account = self.world.account()
        account["audit"].pop()
        self.assertEqual(self.world.judged(account), {"audit_rules"})

    def test_an_end_that_nobody_is_told_of(self):
        self.world.told = [one for one in self.world.messages() if one[1] != "run_c"]
        self.caught("webhooks")

    def test_a_message_about_what_did_not_happen(self):
        self.world.told = [*self.world.messages(), ["run.failed", "run_a", 5, "msg_x"]]
        self.caught("webhooks")

    def test_a_message_that_comes_again_under_another_id(self):
        self.world.told = [*self.world.messages(), [*self.world.messages()[0][:3], "msg_x"]]
        self.caught("webhooks")

    def test_an_id_of_two_messages(self):
        self.world.told = [[*one[:3], "msg_x"] for one in self.world.messages()]
        self.assertIn("webhooks", self.world.judged())

    def test_a_reply_that_nobody_should_get(self):
        self.world.fact("odd_reply", request="GET /v1/runs", status=500, body="")
        self.caught("misbehaviour")

    def test_a_server_that_does_not_answer(self):
        self.world.fact("silence", request="GET /v1/runs", seconds=60)
        self.caught("misbehaviour")

    def test_a_server_that_ends_by_itself(self):
        self.world.fact("crash", code=-11, log="")
        self.caught("misbehaviour")

    def test_something_that_is_left_behind(self):
        self.world.left = {"mounts": {"new": ["/x"], "missing": []}}
        self.caught("misbehaviour")


if __name__ == "__main__":
    unittest.main()
