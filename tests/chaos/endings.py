"""Which end a run may have, with what was done to it: docs/life-of-a-run.md, docs/errors.md and docs/operating.md, as a checker needs it."""
import calendar
import time

# What a full disk may do to a run that goes on meanwhile. The real CLIs end themselves when they cannot write their own files.
FULL = {"storage_full", "disk_limit", "workspace_failed", "worker_failed", "checkpoint_unavailable", "attempt_lost", "agent_exited"}


def moment(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def allowed_endings(case, run_id):
    """None, or what is wrong with the end of this run."""
    run = case.runs[run_id]["run"]
    faults = faults_of(case, run_id, run)
    attempts = 1 + len(case.events(run_id, "run.attempt_started"))
    if attempts > 1 and not any(may_lose_an_attempt(fault) for fault in faults):
        return f"had {attempts} attempts; done to it: {[fault['kind'] for fault in faults]}"
    if attempts > MOST_ATTEMPTS:
        return f"had {attempts} attempts"
    if run["status"] == "cancelled":
        return None if stopped(case, run_id) else "was cancelled and nobody asked for it"
    may_end = set(case.op_of[run_id]["may_end"]) if run_id in case.op_of else {"completed"}
    if run["status"] == "completed":
        return None if "completed" in may_end else f"completed and may end as {sorted(may_end)} only"
    code = run.get("failure", {}).get("code", "")
    if code in NO_STATE and left_no_state(case, run_id):
        return None
    if code == "attempts_exhausted" and attempts == MOST_ATTEMPTS:
        return None  # each of them was excused
    if code in may_end or code in {ending for fault in faults for ending in MAY_CAUSE.get(fault["kind"], ())}:
        return None
    return f"failed with {run.get('failure')}; done to it: {[fault['kind'] for fault in faults]}"


MOST_ATTEMPTS = 6  # the server is told so: with three, a busy machine has hardly a run that gets through its launch
NO_STATE = {"checkpoint_unavailable", "session_not_found"}
MAY_CAUSE = {
    "keeper_kill": {"attempt_lost"},
    "init_kill": {"attempt_lost", "agent_exited", "worker_failed"},
    "warden_kill": {"attempt_lost"},
    "fill": FULL,
}


def may_lose_an_attempt(fault):
    """Its keeper or its sandbox was killed; or who was about to start them, before they were there."""
    return fault["kind"] in MAY_CAUSE or fault.get("server_died", False)


def faults_of(case, run_id, run):
    """Those during its time that can have touched it: of keepers and sandboxes its own (or one that is not known), of anything else all."""
    began, ended = moment(run["queuedAt"]), moment(run["completedAt"]) + 1
    found = [fault for fault in case.by_kind["fault"] if fault["began"] <= ended and fault["ended"] >= began]
    return [fault for fault in found if fault.get("run") in (run_id, None) or fault.get("server_died")]


def stopped(case, run_id):
    conversation = case.runs[run_id]["run"]["conversationId"]
    return any(fact["run"] in (run_id, conversation) for kind in ("cancelled", "closed") for fact in case.by_kind[kind])


def may_lose_state(fault):
    return fault["kind"] in ("fill", "init_kill")


def left_no_state(case, run_id):
    """A turn before could not keep its state, and said so, or its agent could not write down what it would remember."""
    conversation = case.runs[run_id]["run"]["conversationId"]
    turns = [turn["runId"] for turn in case.account["turns"].get(conversation, ())]
    before = turns[turns.index(run_id) - 1] if run_id in turns and turns.index(run_id) else None
    if not before:
        return False
    run = case.runs[before]["run"]
    said = run["status"] == "failed" or any("checkpointError" in event["payload"] for event in case.events(before, "sandbox.destroyed"))
    hit = any(may_lose_state(fault) for fault in faults_of(case, before, run))
    return (said and hit) or left_no_state(case, before)
