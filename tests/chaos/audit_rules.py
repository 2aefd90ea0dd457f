"""The audit chain, as docs/formats/audit.md says that any program can verify it."""
from harness import digest

CHAINED = {"action.proposed", "policy.evaluated", "approval.requested", "approval.decided", "approval.expired", "approval.withdrawn", "approval.rule_given",
           "approval.rule_withdrawn", "action.edited", "execution.started", "execution.completed", "execution.failed", "limit.exceeded",
           "policy.tightened", "run.completed", "run.failed", "run.cancelled"}


def audit_rules(case):
    previous, told = "sha256:" + 64 * "0", {}
    for number, entry in enumerate(case.account["audit"], 1):
        if entry["number"] != number:
            yield f"entry {entry['number']} stands where {number} should"
        if entry["previous"] != previous:
            yield f"entry {number} does not follow the one before"
        if digest({k: v for k, v in entry.items() if k != "hash"}) != entry["hash"]:
            yield f"entry {number} does not have the hash that it says"
        previous = entry["hash"]
        if told.setdefault((entry["runId"], entry["sequence"]), entry) is not entry:
            yield f"{entry['runId']}: event {entry['sequence']} is in the chain twice"
    for run_id, run in case.runs.items():
        expected = {event["sequence"]: event for event in run["events"] if event["type"] in CHAINED}
        mine = {sequence for run, sequence in told if run == run_id}
        if mine != {0, *expected}:
            yield f"{run_id}: the chain has its events {sorted(mine)} and not {sorted({0, *expected})}"
        for sequence in mine & set(expected):
            entry, event = told[run_id, sequence], expected[sequence]
            if (entry["type"], entry["payloadDigest"]) != (event["type"], digest(event["payload"])):
                yield f"{run_id}: the chain says something else about event {sequence}"
    for run_id in {run for run, _ in told} - set(case.runs):
        yield f"{run_id} is in the chain and not there"
