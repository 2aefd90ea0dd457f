#!/usr/bin/env python3
"""Judges a history and an account: judge.py FOLDER, or `violations(facts, account, evidence)`. It knows the promises, and nothing of the server.

`facts`: history.py. `account`: {site: reading.py}. `evidence`: {site: {calls: texts that were told outside of the sandbox, left: what the machine
still holds}}. Each rule gives sentences; none is what a server has to reach.
"""
import collections
import json
import pathlib
import re
import sys

from audit_rules import audit_rules
from endings import allowed_endings, faults_of, left_no_state, may_lose_an_attempt, may_lose_state
from reading import value_of

TERMINAL = {"run.completed": "completed", "run.failed": "failed", "run.cancelled": "cancelled"}
ENDED = set(TERMINAL.values())
TOLD = {"run.completed", "run.failed", "run.cancelled", "approval.decided"}  # what webhooks are asked to tell
ALWAYS = {"stdout_log", "stderr_log", "workspace_file_index", "workspace_patch", "session_events", "session_manifest"}


class Case:
    """One site's facts and account, with the look-ups that several rules need."""

    def __init__(self, site, facts, account, evidence):
        self.site, self.runs, self.account, self.evidence = site, account["runs"], account, evidence
        self.facts = [fact for fact in facts if fact["site"] == site]
        self.by_kind = collections.defaultdict(list)
        for fact in self.facts:
            self.by_kind[fact["what"]].append(fact)
        self.asked = {fact["op"]: fact for fact in self.by_kind["asked"]}
        self.answers = collections.defaultdict(list)
        for fact in self.by_kind["answered"]:
            self.answers[fact["op"]].append(fact)
        self.by_task = collections.defaultdict(list)
        for run_id, entry in self.runs.items():
            self.by_task[entry["run"]["input"]["task"]].append(run_id)
        self.op_of = {run: op for op in self.asked.values() for run in self.by_task[op["task"]]}

    def events(self, run_id, *kinds):
        return [event for event in self.runs[run_id]["events"] if event["type"] in kinds]

    def artifact(self, run_id, kind):
        return next((one for one in self.runs[run_id]["artifacts"] if one["kind"] == kind), None)


# What was acknowledged is there, once.
def requests(case):
    for op, asked in case.asked.items():
        made = set(case.by_task[asked["task"]])
        accepted = [a for a in case.answers[op] if a["status"] in (200, 201, 202)]
        for answer in accepted:
            if answer["run"] not in case.runs:
                yield f"{answer['run']} was acknowledged (request {op}) and is not there"
            elif answer["run"] not in made:
                yield f"{answer['run']} does not have the task of request {op}"
        if len(made) > 1:
            yield f"request {op} ({'with' if asked['key'] else 'without'} a key) made {len(made)} runs: {sorted(made)}"
        if len({a["run"] for a in accepted}) > 1:
            yield f"request {op} was answered with several runs: {sorted({a['run'] for a in accepted})}"
        if sum(a["status"] == 201 for a in accepted) > 1:
            yield f"request {op} was answered 201 more than once"
        for answer in case.answers[op]:
            if answer["status"] not in (200, 201, 202) and not refusable(case, asked, answer):
                yield f"request {op} ({asked['how']}) was refused: {answer['status']} {answer.get('code')}"
    for run_id in case.runs:
        if run_id not in case.op_of:
            yield f"{run_id} was never asked for"


def refusable(case, asked, answer):
    """A fork of a run that has left no checkpoint."""
    return asked["how"] == "fork" and answer.get("code") == "checkpoint_unavailable" and not case.events(asked["about"], "checkpoint.created")


def endings(case):
    for run_id, entry in case.runs.items():
        run = entry["run"]
        if run["status"] not in ENDED:
            yield f"{run_id} has not ended: {run['status']}"
            continue
        if run["status"] == "completed" and run.get("failure"):
            yield f"{run_id} is completed and has a failure"
        problem = allowed_endings(case, run_id)
        if problem:
            yield f"{run_id} {problem}"
    for item in case.account["questions"]:
        yield f"{item['runId']} has ended and still asks about {item['actionId']}"


def sequences(case):
    seen = {}
    for run_id, entry in case.runs.items():
        events, run = entry["events"], entry["run"]
        numbers = [event["sequence"] for event in events]
        if numbers != list(range(1, len(events) + 1)):
            yield f"{run_id}: sequences are not 1, 2, 3...: {numbers}"
        if run["lastEventSeq"] != len(events):
            yield f"{run_id}: lastEventSeq is {run['lastEventSeq']} and there are {len(events)} events"
        terminal = [event for event in events if event["type"] in TERMINAL]
        if run["status"] in ENDED and [event["type"] for event in terminal] != [f"run.{run['status']}"]:
            yield f"{run_id} is {run['status']} and has the terminal events {[event['type'] for event in terminal]}"
        if terminal and events[-1]["type"] not in TERMINAL:
            yield f"{run_id}: {events[-1]['type']} comes after the terminal event"
        for event in events:
            event_id = event["payload"].get("eventId")
            if event_id and seen.setdefault(event_id, (run_id, event["sequence"])) != (run_id, event["sequence"]):
                yield f"{event_id} is the id of {seen[event_id]} and of {(run_id, event['sequence'])}"
        own = {event["payload"].get("eventId") for event in events}
        for event in events:
            if event["payload"].get("priorEventId") not in own | {None}:
                yield f"{run_id} event {event['sequence']} has a cause that is not there"


# What a subscriber saw is what is stored.
def watchers(case):
    for seen in case.by_kind["watched"]:
        run_id = seen["run"]
        if run_id not in case.runs:
            yield f"a subscriber followed {run_id}, which is not there"
            continue
        stored = {number: bytes_of for number, bytes_of, _ in case.runs[run_id]["frames"]}
        if seen.get("given_up"):
            yield f"a subscriber of {run_id} did not come to an end (status {seen['status']}, {'the end was seen' if seen['ended'] else 'no end'})"
        elif not seen["ended"]:
            yield f"a subscriber of {run_id} was answered {seen['status']}"
        expected = 1
        for connection in seen["connections"]:
            for place, number in enumerate(connection["ids"]):
                if number != expected:
                    yield f"a subscriber of {run_id} that had event {expected - 1} got event {number}"
                expected = number + 1
                if stored.get(number) != connection["digests"][16 * place:16 * place + 16]:
                    yield f"a subscriber of {run_id} got event {number} otherwise than it is stored"
        if seen["ended"] and expected != len(stored) + 1:
            yield f"a subscriber of {run_id} saw its end and {expected - 1} of {len(stored)} events"
    for run_id, entry in case.runs.items():
        if [[number, value] for number, _, value in entry["frames"]] != [[event["sequence"], value_of(event)] for event in entry["events"]]:
            yield f"{run_id}: its stream and its list have different events"


# What people said was obeyed.
def decisions(case):
    for fact in case.by_kind["decided"]:
        if fact["run"] not in case.runs:
            yield f"{fact['run']}: a decision was acknowledged and the run is not there"
            continue
        found = [e for e in case.events(fact["run"], "approval.decided") if e["payload"]["actionId"] == fact["action"]]
        wanted = {"approve": "approved", "deny": "denied"}[fact["word"]]
        if [(e["sequence"], e["payload"]["decision"]) for e in found] != [(fact["sequence"], wanted)]:
            yield (f"{fact['run']}: event {fact['sequence']} was acknowledged as {wanted} of {fact['action']}, and there is "
                   f"{[(e['sequence'], e['payload']['decision']) for e in found]}")
    for run_id in case.runs:
        yield from gates(case, run_id)


def gates(case, run_id):
    """Whatever was asked about is let go at most once, after a yes, and has one outcome."""
    asked, let_go, ended, void = {}, {}, {}, set()
    for event in case.runs[run_id]["events"]:
        payload, kind = event["payload"], event["type"]
        action = payload.get("actionId")
        if not action:
            continue
        if kind == "approval.requested":
            if action in asked:
                yield f"{run_id}: {action} was asked about twice"
            asked[action] = None
        elif kind == "approval.decided":
            asked[action] = payload["decision"]
        elif kind in ("approval.expired", "approval.withdrawn"):
            void.add(action)
        elif kind == "execution.started":
            if action in let_go:
                yield f"{run_id}: {action} was let go twice"
            let_go[action] = event["sequence"]
            if action in asked and asked[action] != "approved":
                yield f"{run_id}: {action} was let go and the answer was {asked[action]}"
            if action in void:
                yield f"{run_id}: {action} was let go and was void"
        elif kind in ("execution.completed", "execution.failed"):
            if action not in let_go or action in ended:
                yield f"{run_id}: {action} has an outcome {'twice' if action in ended else 'and was never let go'}"
            ended[action] = event["sequence"]
    for action in set(let_go) - set(ended):
        yield f"{run_id}: {action} was let go and has no outcome"
    for action, decision in asked.items():
        if decision is None and action not in void and case.runs[run_id]["run"]["status"] in ENDED:
            yield f"{run_id}: {action} was asked about, never decided and never made void"


# What the workspace says about what was done.
def workspaces(case):
    for run_id, entry in case.runs.items():
        patch = case.artifact(run_id, "workspace_patch")
        if not patch or "text" not in patch or run_id not in case.op_of:
            continue
        before = lineage(case, run_id)
        permitted = {word for one in (*before, run_id) for word in words_of(case, one)}
        counted = collections.Counter(re.findall(r"^\+((?:free|yes|no|never|both)-[0-9a-f]{12})$", patch["text"], re.MULTILINE))
        for word, times in counted.items():
            if times > 1:
                yield f"{run_id}: {word} was done {times} times"
            if word not in permitted:
                yield f"{run_id}: {word} is in its workspace and belongs to no turn before it"
            if word.startswith(("no-", "never-")):
                yield f"{run_id}: {word} was done and nobody allowed it"
        if entry["run"]["status"] == "completed" and not cut(case, run_id, patch):
            for one in (*before, run_id):
                for word in must_have(case, one):
                    if word not in counted:
                        yield f"{run_id}: {word} was done in {one} and is not in the workspace"


def cut(case, run_id, patch):
    """It says so, and the disk was full or the sandbox killed when it was made."""
    return patch["metadata"].get("truncated") and any(may_lose_state(fault) for fault in faults_of(case, run_id, case.runs[run_id]["run"]))


def words_of(case, run_id):
    return case.op_of[run_id]["words"] if run_id in case.op_of else ()


def must_have(case, run_id):
    """Words of commands whose success was told, in a run that completed."""
    if case.runs[run_id]["run"]["status"] != "completed":
        return
    done = {e["payload"].get("callId") for e in case.events(run_id, "agent.tool_completed") if e["payload"].get("status") == "completed"}
    for event in case.events(run_id, "agent.tool_started"):
        if event["payload"].get("tool") == "shell" and event["payload"].get("callId") in done:
            text = json.dumps(event["payload"])
            yield from (word for word in words_of(case, run_id) if f"echo {word} >>" in text)


def lineage(case, run_id):
    """The runs whose work this one stands on, oldest first."""
    run = case.runs[run_id]["run"]
    turns = [turn["runId"] for turn in case.account["turns"].get(run["conversationId"], ())]
    before = turns[:turns.index(run_id)] if run_id in turns else []
    first = case.runs.get(turns[0] if turns else run_id, {}).get("run", {})
    origin = first.get("forkedFrom")
    if origin and origin["runId"] in case.runs:
        before = [*lineage(case, origin["runId"]), origin["runId"], *before]
    return before


def told_outside(case):
    """Words that reached a server outside of the sandbox."""
    counted = collections.Counter(case.evidence.get("calls", ()))
    for word, times in counted.items():
        if times > 1:
            yield f"{word} was told {times} times"
        if word.startswith(("no-", "never-")):
            yield f"{word} was told and nobody allowed it"
    for run_id in case.runs:
        for event in case.events(run_id, "agent.tool_started"):
            call = event["payload"]
            if call.get("tool") != "mcp":
                continue
            done = [e for e in case.events(run_id, "agent.tool_completed") if e["payload"].get("callId") == call.get("callId")]
            for word in words_of(case, run_id):
                if word in json.dumps(call) and done and done[0]["payload"].get("status") == "completed" and not counted[word]:
                    yield f"{run_id}: {word} was told, says its event, and never arrived"


def tools(case):
    for run_id in case.runs:
        calls = {kind: collections.Counter(e["payload"]["callId"] for e in case.events(run_id, kind)) for kind in ("agent.tool_started", "agent.tool_completed")}
        started, completed = calls.values()
        if max([0, *started.values(), *completed.values()]) > 1:
            yield f"{run_id}: a call of a tool began or ended twice"
        lost = case.runs[run_id]["run"]["status"] in ENDED and any(may_lose_an_attempt(fault) for fault in faults_of(case, run_id, case.runs[run_id]["run"]))
        if completed - started or (started - completed and not lost):
            yield f"{run_id}: calls of tools without an end: {sorted(started - completed)}, without a beginning: {sorted(completed - started)}"


# Cancels and closes.
def cancels(case):
    for fact in case.by_kind["cancelled"]:
        entry = case.runs.get(fact["run"])
        if fact["status"] != 200 or not entry:
            yield f"{fact['run']}: a cancel was answered {fact['status']}"
            continue
        status = entry["run"]["status"]
        if fact["state"] in ENDED and status != fact["state"]:
            yield f"{fact['run']} was {fact['state']} when it was cancelled and is {status}"
        if fact["state"] == "cancelling" and status != "cancelled":
            yield f"{fact['run']} was to be cancelled and is {status}"
    for fact in case.by_kind["closed"]:
        record = case.runs.get(fact["run"], {}).get("record")
        if record and record["conversation"]["state"] == "open":
            yield f"{fact['run']} was closed and its conversation is open"


# Bytes.
def artifacts(case):
    for run_id, entry in case.runs.items():
        kinds = collections.Counter(one["kind"] for one in entry["artifacts"])
        for one in entry["artifacts"]:
            found = one["found"]
            if (found["status"], found["size"], found["sha256"]) != (200, one["sizeBytes"], one["sha256"]):
                yield f"{run_id}: {one['kind']} has other bytes than its record: {found}, {one['sizeBytes']} {one['sha256']}"
            if found.get("readable") is False:
                yield f"{run_id}: {one['kind']} cannot be unpacked"
        if entry["run"]["status"] not in ENDED or not case.events(run_id, "sandbox.created", "sandbox.resumed"):
            continue  # cancelled or refused before its agent had a sandbox
        for kind in ALWAYS:
            if kinds[kind] != 1:
                yield f"{run_id} has {kinds[kind]} artifacts of kind {kind}"
        yield from archives(case, run_id)


def archives(case, run_id):
    archive, manifest = (case.artifact(run_id, kind) for kind in ("session_events", "session_manifest"))
    if not archive or not manifest:
        return
    lines = [json.loads(line) for line in archive["text"].splitlines()]
    if lines != case.runs[run_id]["events"]:
        yield f"{run_id}: its archive has other events than the API"
    said = json.loads(manifest["text"])
    if (said["run"]["status"], said["run"]["lastEventSeq"]) != (case.runs[run_id]["run"]["status"], len(lines)):
        yield f"{run_id}: its manifest says {said['run']['status']}, {said['run']['lastEventSeq']}"
    others = {one["id"]: one["sha256"] for one in case.runs[run_id]["artifacts"] if one["kind"] != "session_manifest"}
    if {one["id"]: one["sha256"] for one in said["artifacts"]} != others:
        yield f"{run_id}: its manifest lists other artifacts than the API"


# What a turn leaves to the next one.
def states(case):
    for run_id in case.runs:
        kinds = collections.Counter(event["type"] for event in case.runs[run_id]["events"])
        for event in case.events(run_id, "sandbox.destroyed"):
            kept, said = kinds["checkpoint.created"], "checkpointError" in event["payload"]
            lost = "checkpointLost" in event["payload"]
            if kept + said + lost > 1:
                yield f"{run_id}: its state was kept {kept} times, {'could not be kept' if said else 'that was well'}, {'and is lost' if lost else ''}"
            if kinds["agent.started"] and not kept and not said and not lost:
                yield f"{run_id}: its agent was started, and there is neither a checkpoint nor the reason why"
            if lost and not may_be_lost(case, run_id):
                yield f"{run_id}: its state is lost and its keeper had no reason to go"
        if kinds["sandbox.destroyed"] > 1:
            yield f"{run_id}: its sandbox was destroyed twice"


def may_be_lost(case, run_id):
    """The keeper went without an end: by itself, which is attempt_lost, or killed because it did not hear a cancel."""
    run = case.runs[run_id]["run"]
    return run.get("failure", {}).get("code") == "attempt_lost" or run["status"] == "cancelled"


# Conversations.
def conversations(case):
    for conversation, turns in case.account["turns"].items():
        if [turn["turnNumber"] for turn in turns] != list(range(1, len(turns) + 1)):
            yield f"{conversation}: turns are {[turn['turnNumber'] for turn in turns]}"
        for turn in turns:
            if turn["runId"] not in case.runs or case.runs[turn["runId"]]["run"]["conversationId"] != conversation:
                yield f"{conversation}: turn {turn['turnNumber']} is no run of it"
    for run_id, entry in case.runs.items():
        if run_id not in [turn["runId"] for turn in case.account["turns"].get(entry["run"]["conversationId"], ())]:
            yield f"{run_id} is no turn of its conversation"
    for op, asked in case.asked.items():
        if asked.get("last"):
            run = next(iter(case.by_task[asked["task"]]), None)
            if not run or (case.runs[run]["run"]["status"] != "completed" and not left_no_state(case, run)):
                yield f"the conversation of {asked['about']} cannot be continued: {run and case.runs[run]['run'].get('failure')}, {case.answers[op]}"


# Money.
def budgets(case):
    spent = sum(entry["record"]["limits"].get("used", {}).get("tokens", 0) for entry in case.runs.values())
    for item in case.account["budgets"]:
        if item["scope"] == "workspace" and item["window"] == "month" and item["spent"]["tokens"] != spent:
            yield f"the budget says that {item['spent']['tokens']} tokens were spent, the runs {spent}"
        if any(item["reserved"].values()):
            yield f"nothing runs and {item['reserved']} is reserved ({item['scope']}, {item['window']})"


# Messages.
def webhooks(case):
    ids, told = {}, set()
    for kind, run_id, sequence, message in case.evidence.get("told", ()):
        told.add((kind, run_id, sequence))
        if ids.setdefault(message, (kind, run_id, sequence)) != (kind, run_id, sequence):
            yield f"{message} told about {ids[message]} and about {(kind, run_id, sequence)}"
    due = {(event["type"], run_id, event["sequence"]) for run_id in case.runs for event in case.events(run_id, *TOLD)}
    for one in due - told:
        yield f"nobody was told of {one}"
    for one in told - due:
        yield f"somebody was told of {one}, which did not happen"
    if len(ids) != len(set(ids.values())):
        yield "an event was told under several ids"


# What must never be seen.
def misbehaviour(case):
    for fact in case.by_kind["odd_reply"]:
        yield f"{fact['request']} was answered {fact['status']}: {fact['body']}"
    for fact in case.by_kind["silence"]:
        yield f"{fact['request']} was not answered within {fact['seconds']} s"
    for fact in case.by_kind["crash"]:
        yield f"the server ended by itself with {fact['code']}: {fact['log'][-500:]}"
    for kind, things in case.evidence.get("left", {}).items():
        yield f"left behind, {kind}: {things}"


RULES = (requests, endings, sequences, watchers, decisions, workspaces, told_outside, tools, cancels, artifacts, states, conversations, budgets, audit_rules, webhooks, misbehaviour)


def violations(facts, account, evidence):
    """[(rule, site, sentence)...]"""
    return [(rule.__name__, site, text) for site in account for case in [Case(site, facts, account[site], evidence.get(site, {}))]
            for rule in RULES for text in rule(case)]


def main():
    folder = pathlib.Path(sys.argv[1])
    facts = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    found = violations(facts, *(json.loads((folder / name).read_text()) for name in ("account.json", "evidence.json")))
    for rule, site, text in found:
        print(f"{rule} ({site}): {text}")
    print(f"{len(found)} violations")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
