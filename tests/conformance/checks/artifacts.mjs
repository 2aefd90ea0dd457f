// Artifacts (contract section 10).
import { gunzipSync } from "node:zlib";
import { check } from "../lib/session.mjs";
import { isoTime, sha256, uuid } from "../lib/context.mjs";

const kinds = {
  stdout_log: ["logs/stdout/000001.ndjson.gz", "application/x-ndjson"],
  stderr_log: ["logs/stderr/000001.ndjson.gz", "application/x-ndjson"],
  workspace_file_index: ["workspace/file-index.json", "application/json"],
  workspace_patch: ["workspace/changes.patch", "text/x-patch"],
  session_events: ["session/events.jsonl", "application/x-ndjson"],
  session_manifest: ["session/manifest.json", "application/json"],
};
const names = Object.keys(kinds).sort();

check("artifacts/six", "A successful run has exactly six artifacts, one of each kind.", async (t) => {
  const { artifacts } = await t.fixture("done");
  t.status(artifacts, 200);
  t.equal(artifacts.json.items.map((artifact) => artifact.kind).sort(), names, "kinds");
});
check("artifacts/oldest-first", "Artifacts are listed oldest first.", async (t) => {
  const times = (await t.fixture("done")).artifacts.json.items.map((artifact) => artifact.createdAt);
  for (const time of times) t.match(time, isoTime, "createdAt");
  t.equal(times, [...times].sort(), "createdAt");
});
check("artifacts/ids", "The id of an artifact is artifact_<uuid>, its runId the run's.", async (t) => {
  const { id, artifacts } = await t.fixture("done");
  for (const artifact of artifacts.json.items) {
    t.match(artifact.id, new RegExp(`^artifact_${uuid}$`), "id");
    t.equal(artifact.runId, id, "runId");
  }
  t.equal(new Set(artifacts.json.items.map((artifact) => artifact.id)).size, 6, "different ids");
});
check("artifacts/sizes", "Every artifact of a successful run that changed something has a size over 0.", async (t) => {
  for (const artifact of (await t.fixture("done")).artifacts.json.items) t.ok(Number.isInteger(artifact.sizeBytes) && artifact.sizeBytes > 0, `${artifact.kind}: ${artifact.sizeBytes}`);
});
check("artifacts/sha256-form", "sha256 is 64 lower-case hex digits without a prefix.", async (t) => {
  for (const artifact of (await t.fixture("done")).artifacts.json.items) t.match(artifact.sha256, /^[0-9a-f]{64}$/, "sha256");
});
check("artifacts/metadata", "metadata is an object.", async (t) => {
  for (const artifact of (await t.fixture("done")).artifacts.json.items) t.ok(artifact.metadata && typeof artifact.metadata === "object" && !Array.isArray(artifact.metadata), `metadata of ${artifact.kind}`);
});
for (const [kind, [suffix, type]] of Object.entries(kinds)) {
  check(`artifacts/key-${kind}`, `The key of ${kind} ends in <runId>/${suffix}.`, async (t) => {
    const { id, byKind } = await t.fixture("done");
    t.ok(byKind[kind]?.r2Key.endsWith(`${id}/${suffix}`), `key ${byKind[kind]?.r2Key}`);
  });
  check(`artifacts/type-${kind}`, `The contentType of ${kind} is ${type}, and its download says so.`, async (t) => {
    const { byKind, downloads } = await t.fixture("done");
    t.equal(byKind[kind]?.contentType, type, "contentType");
    t.equal(downloads[kind].header("content-type"), type, "content-type");
  });
  check(`artifacts/bytes-${kind}`, `The download of ${kind} gives the stored bytes: sizeBytes and sha256 describe them, Content-Length is their number.`, async (t) => {
    const { byKind, downloads } = await t.fixture("done");
    t.status(downloads[kind], 200);
    t.equal(downloads[kind].body.length, byKind[kind].sizeBytes, "sizeBytes");
    t.equal(sha256(downloads[kind].body), byKind[kind].sha256, "sha256");
    t.equal(Number(downloads[kind].header("content-length")), byKind[kind].sizeBytes, "content-length");
  });
}
check("artifacts/never-encoded", "A download never has a Content-Encoding, whatever the client accepts.", async (t) => {
  const { id, byKind } = await t.fixture("done");
  const { id: artifact, sizeBytes } = byKind.stdout_log;
  const reply = await t.get(`/v1/runs/${id}/artifacts/${artifact}/download`, { headers: { "Accept-Encoding": "gzip, deflate, br" } });
  t.equal(reply.header("content-encoding"), undefined, "content-encoding");
  t.equal(reply.body.length, sizeBytes, "size");
});
check("artifacts/stdout-log", "stdout_log is gzip of one JSON line per line of the provider.", async (t) => {
  const lines = gunzipSync((await t.fixture("done")).downloads.stdout_log.body).toString("utf8").trimEnd().split("\n");
  t.ok(lines.length > 3, `only ${lines.length} lines`);
  for (const line of lines) t.ok(typeof JSON.parse(line) === "object", "a line is no JSON object");
  t.ok(lines.join("\n").includes("made by a command"), "the command is not in it");
});
check("artifacts/stderr-log", "stderr_log is gzip.", async (t) => t.ok(gunzipSync((await t.fixture("done")).downloads.stderr_log.body).length >= 0, "no gzip"));
check("artifacts/log-metadata", "The metadata of the logs has eventSequenceStart, eventSequenceEnd and redactionStatus.", async (t) => {
  const { byKind, events } = await t.fixture("done");
  for (const kind of ["stdout_log", "stderr_log"]) {
    const { metadata } = byKind[kind];
    const [start, end] = [Number(metadata.eventSequenceStart), Number(metadata.eventSequenceEnd)];
    t.ok(start >= 1 && start <= end && end <= events.length, `sequences ${start} to ${end}`);
    t.ok(typeof metadata.redactionStatus === "string" && metadata.redactionStatus, "redactionStatus");
  }
});
check("artifacts/other-metadata", "The metadata of the others has sha256 and sizeBytes as text; that of the index the fileCount too.", async (t) => {
  const { byKind } = await t.fixture("done");
  for (const kind of names.filter((name) => !name.endsWith("_log"))) {
    t.equal([byKind[kind].metadata.sha256, byKind[kind].metadata.sizeBytes], [byKind[kind].sha256, String(byKind[kind].sizeBytes)], `metadata of ${kind}`);
  }
  t.equal(String(byKind.workspace_file_index.metadata.fileCount), "2", "fileCount");
});
check("artifacts/file-index", "The index is {\"files\":[{status, path}]} with git's porcelain codes, every untracked file listed.", async (t) => {
  const { files } = (await t.fixture("done")).downloads.workspace_file_index.json;
  t.equal(files.map(({ status, path }) => `${status} ${path}`).sort(), ["?? made.txt", "?? notes/new.md"], "files");
});
check("artifacts/index-event", "workspace.file_index_collected has fileCount and the artifactRef of the index.", async (t) => {
  const { events, byKind } = await t.fixture("done");
  const event = events.find((one) => one.type === "workspace.file_index_collected");
  t.equal(event?.payload.fileCount, 2, "fileCount");
  t.equal(event.artifactRef, { artifactId: byKind.workspace_file_index.id, r2Key: byKind.workspace_file_index.r2Key }, "artifactRef");
});
check("artifacts/patch-event", "workspace.patch_collected has the bytes and the artifactRef of the patch.", async (t) => {
  const { events, byKind } = await t.fixture("done");
  const event = events.find((one) => one.type === "workspace.patch_collected");
  t.equal(event?.payload.bytes, byKind.workspace_patch.sizeBytes, "bytes");
  t.equal(event.artifactRef, { artifactId: byKind.workspace_patch.id, r2Key: byKind.workspace_patch.r2Key }, "artifactRef");
});
for (const [type, kind] of [["provider.stdout", "stdout_log"], ["provider.stderr", "stderr_log"]]) {
  check(`artifacts/ref-${type}`, `${type} refers to the ${kind} artifact.`, async (t) => {
    const { events, byKind } = await t.fixture("done");
    t.equal(events.find((one) => one.type === type)?.artifactRef, { artifactId: byKind[kind].id, r2Key: byKind[kind].r2Key }, "artifactRef");
  });
}
check("artifacts/patch", "The patch is what git diff --binary gives, untracked files included.", async (t) => {
  const { text } = (await t.fixture("done")).downloads.workspace_patch;
  for (const part of ["diff --git a/made.txt b/made.txt\nnew file mode 100644\n", "+made by a command\n", "diff --git a/notes/new.md b/notes/new.md\nnew file mode 100644\n", "+# New\n"]) {
    t.ok(text.includes(part), `the patch lacks ${JSON.stringify(part)}`);
  }
});
check("artifacts/patch-readme", "The workspace is a git repository with one commit that holds a README, which is no change.", async (t) => {
  const { text } = (await t.fixture("done")).downloads.workspace_patch;
  t.ok(text.startsWith("diff --git "), "no patch");
  t.ok(!/README/.test(text), "the README is in the patch");
});
check("artifacts/no-change", "Where nothing was changed, workspace_patch has 0 bytes and is still listed; the index is empty.", async (t) => {
  const { byKind, downloads } = await t.fixture("quiet");
  t.equal(byKind.workspace_patch?.sizeBytes, 0, "sizeBytes");
  t.equal([downloads.workspace_patch.status, downloads.workspace_patch.body.length], [200, 0], "download");
  t.equal(downloads.workspace_file_index.json.files, [], "files");
});
check("artifacts/archive", "session_events holds every event, one per line, the terminal one included, equal to /events in every field.", async (t) => {
  const { downloads, events } = await t.fixture("done");
  t.equal(downloads.session_events.text.trimEnd().split("\n").map((line) => JSON.parse(line)), events, "events");
});
check("artifacts/manifest-run", "The manifest's run has id, status, runtimeKind, runtimeMode and lastEventSeq, the terminal event's sequence.", async (t) => {
  const { id, downloads, events } = await t.fixture("done");
  const { run } = downloads.session_manifest.json;
  t.equal([run.id, run.status, run.runtimeKind, run.runtimeMode, run.lastEventSeq], [id, "completed", "codex", "default", events.length], "run");
});
check("artifacts/manifest-events", "The manifest lists sequence, type and artifactRef of every event.", async (t) => {
  const { downloads, events } = await t.fixture("done");
  const wanted = events.map(({ sequence, type, artifactRef }) => (artifactRef ? { sequence, type, artifactRef } : { sequence, type }));
  t.equal(downloads.session_manifest.json.events, wanted, "events");
});
check("artifacts/manifest-artifacts", "The manifest lists id, kind, r2Key, sha256 and sizeBytes of the other five, not itself.", async (t) => {
  const { downloads, artifacts } = await t.fixture("done");
  const wanted = artifacts.json.items.filter((one) => one.kind !== "session_manifest").map(({ id, kind, r2Key, sha256: sum, sizeBytes }) => ({ id, kind, r2Key, sha256: sum, sizeBytes }));
  const byKind = (a, b) => (a.kind < b.kind ? -1 : 1);
  t.equal([...downloads.session_manifest.json.artifacts].sort(byKind), wanted.sort(byKind), "artifacts");
});
check("artifacts/manifest-failure", "The manifest of a failed run has its failure.", async (t) => {
  const { id, byKind, run } = await t.fixture("denied");
  const { json } = await t.get(`/v1/runs/${id}/artifacts/${byKind.session_manifest?.id}/download`);
  t.equal(json.run.failure?.code, run.json.failure.code, "failure.code");
});
check("artifacts/unknown", "An unknown artifact is 404 artifact_not_found with details {}.", async (t) => {
  const { id } = await t.fixture("done");
  t.equal(t.error(await t.get(`/v1/runs/${id}/artifacts/artifact_00000000-0000-4000-8000-000000000000/download`), 404, "artifact_not_found").details, {}, "details");
});
check("artifacts/other-run", "An artifact of another run is 404 artifact_not_found.", async (t) => {
  const { byKind } = await t.fixture("done");
  const { id } = await t.fixture("quiet");
  t.error(await t.get(`/v1/runs/${id}/artifacts/${byKind.session_manifest.id}/download`), 404, "artifact_not_found");
});
check("artifacts/needs-the-key", "A download needs the key.", async (t) => {
  const { id, byKind } = await t.fixture("done");
  t.error(await t.get(`/v1/runs/${id}/artifacts/${byKind.session_manifest.id}/download`, { key: null }), 401, "unauthorized");
});
check("artifacts/only-get", "The download route has no other method than GET and HEAD.", async (t) => {
  const { id, byKind } = await t.fixture("done");
  t.error(await t.request("DELETE", `/v1/runs/${id}/artifacts/${byKind.session_manifest.id}/download`), 405, "method_not_allowed");
});
