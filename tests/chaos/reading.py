"""Reads all that a server's API says about its runs, once nothing dies any more: the account that the judge compares with what clients were told.

{runs: {id: {run, record, events, frames, artifacts, turns, status of the batches}}, budgets, audit, questions}; `frames` are digests as the watchers
make them, of the bytes that a stream of the ended run has; each artifact has the `found` sha256 and size of its bytes, and those that are judged their text.
"""
import gzip
import hashlib
import json
import re

from watchers import digest

KEPT = {"session_events", "session_manifest", "workspace_patch", "workspace_file_index"}
FRAME = re.compile(rb"id: (\d+)\n")


class Reader:
    def __init__(self, api):
        self.api = api

    def everything(self, progress=lambda text: None):
        runs = {run["id"]: {"run": run} for run in self.pages("/v1/runs?limit=100", "cursor", "nextCursor")}
        for number, (run_id, entry) in enumerate(runs.items()):
            self.read_run(run_id, entry)
            if number % 500 == 499:
                progress(f"{number + 1} of {len(runs)} runs read")
        conversations = {entry["run"]["conversationId"] for entry in runs.values()}
        return {"runs": runs, "turns": {one: self.get(f"/v1/runs/{one}/turns")["items"] for one in conversations},
                "budgets": self.get("/v1/budgets")["items"], "audit": self.audit(), "questions": self.get("/v1/approvals")["items"]}

    def get(self, path):
        return self.api.get(path).json()

    def pages(self, path, parameter, next_field):
        found, cursor = [], ""
        while True:
            page = self.get(f"{path}{cursor}")
            found += page["items"]
            if not page.get(next_field):
                return found
            cursor = f"&{parameter}={page[next_field]}"

    def audit(self):
        found = []
        while True:
            page = self.get(f"/v1/audit?after={len(found)}&limit=500")["items"]
            if not page:
                return found
            found += page

    def read_run(self, run_id, entry):
        path = f"/v1/runs/{run_id}"
        entry["run"] = self.get(path)
        entry["record"] = self.get(f"{path}/record")
        entry["events"] = self.events(path)
        entry["frames"] = self.frames(path)
        entry["artifacts"] = self.get(f"{path}/artifacts")["items"]
        for artifact in entry["artifacts"]:
            self.read_artifact(path, artifact)

    def events(self, path):
        found = []
        while True:
            page = self.get(f"{path}/events?afterSeq={found[-1]['sequence'] if found else 0}&limit=500")["items"]
            if not page:
                return found
            found += page

    def frames(self, path):
        """[[id, digest, value]...] in the order in which they come; `value`: a digest of the event that the frame holds."""
        found = []
        while True:
            data = self.api.get(f"{path}/stream?afterSeq={found[-1][0] if found else 0}").data
            frames = [frame for frame in data.split(b"\n\n") if FRAME.match(frame)]
            if not frames:
                return found
            found += [[int(FRAME.match(frame)[1]), digest(frame), value_of(json.loads(frame.partition(b"data:")[2]))] for frame in frames]

    def read_artifact(self, path, artifact):
        reply = self.api.send("GET", f"{path}/artifacts/{artifact['id']}/download")
        artifact["found"] = {"status": reply.status, "size": len(reply.data), "sha256": hashlib.sha256(reply.data).hexdigest()}
        if artifact["kind"] in KEPT:
            artifact["text"] = reply.data.decode(errors="replace")
        elif artifact["kind"].endswith("_log"):
            artifact["found"]["readable"] = readable(reply.data)


def value_of(event):
    return digest(json.dumps(event, sort_keys=True).encode())


def readable(data):
    try:
        gzip.decompress(data)
        return True
    except (OSError, EOFError):
        return False
