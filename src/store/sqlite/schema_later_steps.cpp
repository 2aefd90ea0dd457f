#include "store/sqlite/schema_steps.h"

namespace agentrouter::store::schema_step {

const char* const seventh = R"sql(
CREATE TABLE run_spending (
  run_id TEXT PRIMARY KEY,
  api_key TEXT NOT NULL,
  tokens INTEGER NOT NULL,
  nano_usd INTEGER NOT NULL,
  used TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE budget_periods (
  period TEXT NOT NULL,
  scope TEXT NOT NULL,
  spent_tokens INTEGER NOT NULL,
  spent_nano_usd INTEGER NOT NULL,
  reserved_tokens INTEGER NOT NULL,
  reserved_nano_usd INTEGER NOT NULL,
  PRIMARY KEY (period, scope)
) STRICT, WITHOUT ROWID;
CREATE TABLE allowance_lots (
  run_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  day TEXT NOT NULL,
  granted_tokens INTEGER NOT NULL,
  granted_nano_usd INTEGER NOT NULL,
  spent_tokens INTEGER NOT NULL,
  spent_nano_usd INTEGER NOT NULL,
  PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
)sql";

// Who can reach an attempt's keeper, how often its lease was renewed, and whether it had a keeper at all.
const char* const eighth = R"sql(
ALTER TABLE attempts ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN launched INTEGER NOT NULL DEFAULT 1;
)sql";

// Shares of the queue, deletion and retention. What is counted is counted with each change.
const char* const ninth = R"sql(
ALTER TABLE runs ADD COLUMN share TEXT NOT NULL DEFAULT '';
UPDATE runs SET share = coalesce((SELECT api_key FROM run_spending s WHERE s.run_id = runs.id), '')
  WHERE status IN ('queued', 'starting', 'running', 'cancelling');
DROP INDEX runs_queued;
CREATE INDEX runs_queued ON runs (share, priority DESC, n) WHERE status = 'queued';
CREATE INDEX runs_ended ON runs (completed_at, n)
  WHERE status IN ('completed', 'failed', 'cancelled') AND instr(tags, '"keep":') = 0;
CREATE TABLE totals (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO totals SELECT 'queued_runs', count(*) FROM runs WHERE status = 'queued';
INSERT INTO totals SELECT 'ended_runs', count(*) FROM runs
  WHERE status IN ('completed', 'failed', 'cancelled') AND instr(tags, '"keep":') = 0;
INSERT INTO totals SELECT 'artifact_bytes', coalesce(sum(size_bytes), 0) FROM artifacts;
INSERT INTO totals VALUES ('served', 0);
CREATE TABLE shares (
  name TEXT PRIMARY KEY,
  queued INTEGER NOT NULL,
  active INTEGER NOT NULL,
  served INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX shares_next ON shares (active, served, name) WHERE queued > 0;
INSERT INTO shares SELECT share, sum(status = 'queued'), sum(status <> 'queued'), 0 FROM runs
  WHERE status IN ('queued', 'starting', 'running', 'cancelling') GROUP BY share;
CREATE TRIGGER runs_counted_at_insert AFTER INSERT ON runs BEGIN
  UPDATE totals SET value = value + 1 WHERE name = 'queued_runs' AND new.status = 'queued';
  UPDATE totals SET value = value + 1 WHERE name = 'ended_runs'
    AND new.status IN ('completed', 'failed', 'cancelled') AND instr(new.tags, '"keep":') = 0;
  INSERT INTO shares SELECT new.share, new.status = 'queued', new.status <> 'queued', value FROM totals
    WHERE name = 'served' AND new.status IN ('queued', 'starting', 'running', 'cancelling')
    ON CONFLICT (name) DO UPDATE SET queued = queued + excluded.queued, active = active + excluded.active;
END;
CREATE TRIGGER runs_counted_at_change AFTER UPDATE OF status ON runs WHEN old.status <> new.status BEGIN
  UPDATE totals SET value = value + (new.status = 'queued') - (old.status = 'queued')
    WHERE name = 'queued_runs';
  UPDATE totals SET value = value + (new.status IN ('completed', 'failed', 'cancelled')) -
    (old.status IN ('completed', 'failed', 'cancelled'))
    WHERE name = 'ended_runs' AND instr(new.tags, '"keep":') = 0;
  UPDATE totals SET value = value + 1
    WHERE name = 'served' AND old.status = 'queued' AND new.status = 'starting';
  UPDATE shares SET queued = queued + (new.status = 'queued') - (old.status = 'queued'),
    active = active + (new.status IN ('starting', 'running', 'cancelling')) -
      (old.status IN ('starting', 'running', 'cancelling')),
    served = CASE WHEN old.status = 'queued' AND new.status = 'starting'
      THEN (SELECT value FROM totals WHERE name = 'served') ELSE served END
    WHERE name = new.share;
  DELETE FROM shares WHERE name = new.share AND queued = 0 AND active = 0;
END;
CREATE TRIGGER runs_counted_at_deletion AFTER DELETE ON runs BEGIN
  UPDATE totals SET value = value - 1 WHERE name = 'ended_runs'
    AND old.status IN ('completed', 'failed', 'cancelled') AND instr(old.tags, '"keep":') = 0;
END;
CREATE TRIGGER artifacts_counted_at_insert AFTER INSERT ON artifacts BEGIN
  UPDATE totals SET value = value + new.size_bytes WHERE name = 'artifact_bytes';
END;
CREATE TRIGGER artifacts_counted_at_change AFTER UPDATE OF size_bytes ON artifacts BEGIN
  UPDATE totals SET value = value + new.size_bytes - old.size_bytes WHERE name = 'artifact_bytes';
END;
CREATE TRIGGER artifacts_counted_at_deletion AFTER DELETE ON artifacts BEGIN
  UPDATE totals SET value = value - old.size_bytes WHERE name = 'artifact_bytes';
END;
ALTER TABLE conversations ADD COLUMN last_turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN lost_turn INTEGER NOT NULL DEFAULT 0;
CREATE TABLE deleted_runs (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL,
  turn_number INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_of_run ON webhook_deliveries (run_id) WHERE run_id <> '';
)sql";

// Whose everything is. What there was belongs to the workspace "default". Each list has an index that begins
// with the workspace, and so has each look-up by an id that a client names.
const char* const tenth = R"sql(
CREATE TABLE workspaces (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  disabled INTEGER NOT NULL
) STRICT;
INSERT INTO workspaces VALUES (1, 'default', 'Default', CAST(strftime('%s', 'now') AS INTEGER) * 1000, 0);
CREATE TABLE api_keys (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  hash TEXT NOT NULL UNIQUE,
  prefix TEXT NOT NULL,
  name TEXT NOT NULL,
  workspaces TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER,
  replaced_by TEXT NOT NULL
) STRICT;
ALTER TABLE runs ADD COLUMN workspace_id TEXT NOT NULL DEFAULT 'default';
CREATE INDEX runs_of_workspace ON runs (workspace_id, id);
CREATE INDEX runs_of_conversation ON runs (workspace_id, conversation_id, queued_at);
DROP INDEX runs_newest;
CREATE INDEX runs_newest ON runs (workspace_id, queued_at);
DROP INDEX runs_by_status;
CREATE INDEX runs_by_status ON runs (workspace_id, status, queued_at);
DROP INDEX runs_active;
CREATE INDEX runs_active ON runs (workspace_id, queued_at)
  WHERE status IN ('queued', 'starting', 'running', 'cancelling');
DROP INDEX runs_by_runtime;
CREATE INDEX runs_by_runtime ON runs (workspace_id, runtime_kind, queued_at);
CREATE INDEX runs_cancelling ON runs (status) WHERE status = 'cancelling';
ALTER TABLE run_tags RENAME TO run_tags_of_all;
CREATE TABLE run_tags (
  workspace_id TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  queued_at INTEGER NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, name, value, queued_at, run)
) STRICT, WITHOUT ROWID;
INSERT INTO run_tags SELECT 'default', name, value, queued_at, run FROM run_tags_of_all;
DROP TABLE run_tags_of_all;
DROP TABLE run_search;
CREATE VIRTUAL TABLE run_search USING fts5(workspace, task, answer, content='',
  tokenize='unicode61 remove_diacritics 2');
INSERT INTO run_search (rowid, workspace, task, answer) SELECT t.run, 'w' || lower(hex('default')), t.task, coalesce((
  SELECT json_extract(e.payload, '$.text') FROM newest_events w JOIN events e ON e.key = (t.run << 32) | w.sequence
  WHERE w.run = t.run AND w.type = 'agent.response' AND json_valid(e.payload)), '') FROM run_texts t;
ALTER TABLE uploads ADD COLUMN workspace_id TEXT NOT NULL DEFAULT 'default';
CREATE INDEX uploads_of_workspace ON uploads (workspace_id, id);
ALTER TABLE approvals ADD COLUMN workspace_id TEXT NOT NULL DEFAULT 'default';
CREATE INDEX approvals_of_workspace ON approvals (workspace_id, n) WHERE state = 'pending';
CREATE INDEX webhooks_by_workspace ON webhooks (workspace);
CREATE INDEX webhooks_of_workspace ON webhooks (workspace, id);
)sql";

// Keys of workspaces, sealed.
const char* const sealed_keys = R"sql(
CREATE TABLE data_keys (
  workspace TEXT NOT NULL,
  version INTEGER NOT NULL,
  wrapped_by TEXT NOT NULL,
  wrapped TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  retiring INTEGER NOT NULL,
  PRIMARY KEY (workspace, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE provider_keys (
  workspace TEXT NOT NULL,
  provider TEXT NOT NULL,
  sealed TEXT NOT NULL,
  hint TEXT NOT NULL,
  base_url TEXT NOT NULL,
  set_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (workspace, provider)
) STRICT, WITHOUT ROWID;
)sql";

// Lanes of the queue, and what servers of one store tell each other.
const char* const lanes_and_notes = R"sql(
ALTER TABLE runs ADD COLUMN lane TEXT NOT NULL DEFAULT '';
DROP INDEX runs_queued;
CREATE INDEX runs_queued ON runs (share, lane, priority DESC, n) WHERE status = 'queued';
CREATE INDEX runs_waiting ON runs (queued_at) WHERE status = 'queued';
CREATE TABLE lanes (
  share TEXT NOT NULL,
  lane TEXT NOT NULL,
  queued INTEGER NOT NULL,
  active INTEGER NOT NULL,
  PRIMARY KEY (share, lane)
) STRICT, WITHOUT ROWID;
CREATE INDEX lanes_by_name ON lanes (lane);
INSERT INTO lanes SELECT share, lane, sum(status = 'queued'), sum(status <> 'queued') FROM runs
  WHERE status IN ('queued', 'starting', 'running', 'cancelling') GROUP BY share, lane;
CREATE TRIGGER lanes_counted_at_insert AFTER INSERT ON runs
  WHEN new.status IN ('queued', 'starting', 'running', 'cancelling') BEGIN
  INSERT INTO lanes VALUES (new.share, new.lane, new.status = 'queued', new.status <> 'queued')
    ON CONFLICT (share, lane) DO UPDATE SET queued = queued + excluded.queued, active = active + excluded.active;
END;
CREATE TRIGGER lanes_counted_at_change AFTER UPDATE OF status ON runs WHEN old.status <> new.status BEGIN
  UPDATE lanes SET queued = queued + (new.status = 'queued') - (old.status = 'queued'),
    active = active + (new.status IN ('starting', 'running', 'cancelling')) -
      (old.status IN ('starting', 'running', 'cancelling'))
    WHERE share = new.share AND lane = new.lane;
  DELETE FROM lanes WHERE share = new.share AND lane = new.lane AND queued = 0 AND active = 0;
END;
CREATE TABLE notes (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
)sql";

}  // namespace agentrouter::store::schema_step
