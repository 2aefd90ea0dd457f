#include "store/sqlite/schema.h"

#include <array>

namespace agentrouter::store {

namespace {

// "AgRt": tells our files from other SQLite databases.
constexpr std::int64_t application_id = 0x41675274;

// An event's key is (run << 32) | sequence: the table itself is clustered by run and sequence.
constexpr const char* first = R"sql(
CREATE TABLE runs (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  runtime_kind TEXT NOT NULL,
  runtime_mode TEXT NOT NULL,
  runtime_model TEXT,
  approval_mode TEXT NOT NULL,
  last_event_seq INTEGER NOT NULL DEFAULT 0,
  session_id TEXT,
  conversation_id TEXT NOT NULL,
  queued_at INTEGER NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  cancel_requested_at INTEGER,
  failure_code TEXT,
  failure_reason TEXT,
  failure_cause TEXT,
  workspace_path TEXT NOT NULL,
  priority INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_newest ON runs (queued_at);
CREATE INDEX runs_by_status ON runs (status, queued_at);
CREATE INDEX runs_active ON runs (queued_at) WHERE status IN ('queued', 'starting', 'running', 'cancelling');
CREATE INDEX runs_queued ON runs (priority DESC, n) WHERE status = 'queued';
CREATE TABLE run_texts (
  run INTEGER PRIMARY KEY,
  task TEXT NOT NULL,
  input TEXT NOT NULL
) STRICT;
CREATE TABLE events (
  key INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  source TEXT NOT NULL,
  visibility TEXT NOT NULL,
  provider_event_type TEXT,
  payload TEXT NOT NULL,
  artifact_id TEXT,
  r2_key TEXT,
  truncated INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE newest_events (
  run INTEGER NOT NULL,
  type TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (run, type)
) STRICT, WITHOUT ROWID;
CREATE TABLE artifacts (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  r2_key TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX artifacts_of_run ON artifacts (run_id, created_at, n);
CREATE TABLE attempts (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  worker_id TEXT NOT NULL,
  token INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  journal_offset INTEGER NOT NULL,
  open INTEGER NOT NULL,
  lower_path TEXT NOT NULL,
  closing TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (run_id, number)
) STRICT;
CREATE UNIQUE INDEX attempts_open ON attempts (slot) WHERE open = 1;
CREATE TABLE approvals (
  n INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  action_id TEXT NOT NULL,
  action_digest TEXT NOT NULL,
  args_digest TEXT NOT NULL,
  request_id TEXT NOT NULL,
  requested_event_id TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  decided_seq INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  UNIQUE (run_id, action_id)
) STRICT;
CREATE INDEX approvals_pending ON approvals (run_id) WHERE state = 'pending';
CREATE INDEX approvals_undelivered ON approvals (run_id, decided_seq) WHERE state <> 'pending' AND delivered = 0;
CREATE TABLE idempotency_keys (
  key_hash TEXT PRIMARY KEY,
  body_hash TEXT NOT NULL,
  run_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency_keys (expires_at);
)sql";

// Conversations, tags, full text, actions, deadlines. What older runs are continued or found by is made from
// what is there.
constexpr const char* second = R"sql(
ALTER TABLE runs ADD COLUMN turn_number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE runs ADD COLUMN turn_id TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN approval_timeout INTEGER;
UPDATE runs SET turn_id = 'turn_' || lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||
  substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)));
CREATE UNIQUE INDEX runs_turns ON runs (conversation_id, turn_number);
CREATE INDEX runs_by_runtime ON runs (runtime_kind, queued_at);
CREATE TABLE conversations (
  id TEXT PRIMARY KEY,
  session_id TEXT,
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  closed_at INTEGER,
  expires_at INTEGER NOT NULL,
  reclaimed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_due ON conversations (expires_at) WHERE reclaimed = 0;
INSERT INTO conversations SELECT id, session_id, 'open', queued_at, NULL,
  CASE WHEN completed_at IS NULL THEN 9223372036854775807 ELSE completed_at + 600000 END, 0 FROM runs;
CREATE TABLE checkpoints (
  run_id TEXT PRIMARY KEY,
  conversation_id TEXT NOT NULL,
  turn_number INTEGER NOT NULL,
  key TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX checkpoints_of_conversation ON checkpoints (conversation_id, turn_number);
CREATE TABLE run_tags (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  queued_at INTEGER NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (name, value, queued_at, run)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE run_search USING fts5(task, answer, content='',
  tokenize='unicode61 remove_diacritics 2');
INSERT INTO run_search (rowid, task, answer) SELECT t.run, t.task, coalesce((
  SELECT json_extract(e.payload, '$.text') FROM newest_events w JOIN events e ON e.key = (t.run << 32) | w.sequence
  WHERE w.run = t.run AND w.type = 'agent.response' AND json_valid(e.payload)), '') FROM run_texts t;
ALTER TABLE approvals ADD COLUMN expires_at INTEGER;
CREATE INDEX approvals_due ON approvals (expires_at) WHERE state = 'pending' AND expires_at IS NOT NULL;
ALTER TABLE idempotency_keys ADD COLUMN event_seq INTEGER NOT NULL DEFAULT 0;
CREATE TABLE actions (
  n INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  action_id TEXT NOT NULL,
  action_digest TEXT NOT NULL,
  args_digest TEXT NOT NULL,
  name TEXT NOT NULL,
  target TEXT NOT NULL,
  proposed_seq INTEGER NOT NULL,
  policy_seq INTEGER NOT NULL,
  policy_decision TEXT NOT NULL,
  policy_reason TEXT NOT NULL,
  requested_seq INTEGER NOT NULL,
  settled_seq INTEGER NOT NULL,
  approval TEXT NOT NULL,
  approval_reason TEXT NOT NULL,
  started_seq INTEGER NOT NULL,
  ended_seq INTEGER NOT NULL,
  execution TEXT NOT NULL,
  execution_reason TEXT NOT NULL,
  exit_code INTEGER,
  UNIQUE (run_id, action_id)
) STRICT;
CREATE INDEX actions_of_run ON actions (run_id);
WITH control AS (
  SELECT key, key >> 32 AS run, key & 4294967295 AS seq, type, payload AS p,
    json_extract(payload, '$.actionId') AS action FROM events
  WHERE type IN ('action.proposed', 'policy.evaluated', 'approval.requested', 'approval.decided',
    'approval.expired', 'approval.withdrawn', 'execution.started', 'execution.completed', 'execution.failed')
    AND json_valid(payload))
INSERT INTO actions (run_id, action_id, action_digest, args_digest, name, target, proposed_seq, policy_seq,
  policy_decision, policy_reason, requested_seq, settled_seq, approval, approval_reason, started_seq, ended_seq,
  execution, execution_reason, exit_code)
SELECT r.id, c.action,
  coalesce(max(json_extract(p, '$.actionDigest')), ''),
  coalesce(max(json_extract(p, '$.argsDigest')), ''),
  coalesce(max(json_extract(p, '$.actionName')), ''),
  coalesce(max(json_extract(p, '$.targetResource')), ''),
  coalesce(max(CASE WHEN type = 'action.proposed' THEN seq END), 0),
  coalesce(max(CASE WHEN type = 'policy.evaluated' THEN seq END), 0),
  coalesce(max(CASE WHEN type = 'policy.evaluated' THEN json_extract(p, '$.decision') END), ''),
  coalesce(max(CASE WHEN type = 'policy.evaluated' THEN json_extract(p, '$.reason') END), ''),
  coalesce(max(CASE WHEN type = 'approval.requested' THEN seq END), 0),
  coalesce(max(CASE WHEN type IN ('approval.decided', 'approval.expired', 'approval.withdrawn') THEN seq END), 0),
  coalesce(max(CASE type WHEN 'approval.decided' THEN json_extract(p, '$.decision')
    WHEN 'approval.expired' THEN 'expired' WHEN 'approval.withdrawn' THEN 'withdrawn' END),
    max(CASE WHEN type = 'approval.requested' THEN 'pending' END), ''),
  coalesce(max(CASE WHEN type IN ('approval.decided', 'approval.expired', 'approval.withdrawn')
    THEN json_extract(p, '$.reason') END), ''),
  coalesce(max(CASE WHEN type = 'execution.started' THEN seq END), 0),
  coalesce(max(CASE WHEN type IN ('execution.completed', 'execution.failed') THEN seq END), 0),
  coalesce(max(CASE type WHEN 'execution.completed' THEN 'completed' WHEN 'execution.failed' THEN 'failed' END),
    max(CASE WHEN type = 'execution.started' THEN 'started' END), ''),
  coalesce(max(CASE WHEN type = 'execution.failed' THEN json_extract(p, '$.reason') END), ''),
  max(CASE WHEN type IN ('execution.completed', 'execution.failed') THEN json_extract(p, '$.exitCode') END)
FROM control c JOIN runs r ON r.n = c.run WHERE c.action IS NOT NULL
GROUP BY r.id, c.action ORDER BY min(c.key);
)sql";

// Where workspaces come from: base trees and uploads. `workspace_path` is a part of `workspace` from now on.
constexpr const char* third = R"sql(
ALTER TABLE runs ADD COLUMN workspace TEXT;
ALTER TABLE runs ADD COLUMN tree TEXT;
UPDATE runs SET workspace = json_object('kind', 'path', 'path', workspace_path) WHERE workspace_path <> '';
ALTER TABLE runs DROP COLUMN workspace_path;
CREATE INDEX runs_trees ON runs (tree, conversation_id) WHERE tree IS NOT NULL;
CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  tree TEXT NOT NULL,
  files INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_expiry ON uploads (expires_at);
CREATE INDEX uploads_trees ON uploads (tree);
)sql";

// Forks: conversations share checkpoints.
constexpr const char* fourth = R"sql(
ALTER TABLE runs ADD COLUMN forked_run TEXT;
ALTER TABLE runs ADD COLUMN forked_conversation TEXT;
ALTER TABLE runs ADD COLUMN forked_turn INTEGER;
ALTER TABLE checkpoints RENAME TO checkpoints_of_runs;
CREATE TABLE checkpoints (
  conversation_id TEXT NOT NULL,
  turn_number INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  key TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  doomed INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, turn_number)
) STRICT, WITHOUT ROWID;
INSERT INTO checkpoints SELECT conversation_id, turn_number, run_id, key, size_bytes, sha256, thread_id,
  created_at, 0 FROM checkpoints_of_runs;
DROP TABLE checkpoints_of_runs;
CREATE INDEX checkpoints_by_key ON checkpoints (key);
)sql";

// Many actions of one run, and who decided about them.
constexpr const char* fifth = R"sql(
ALTER TABLE approvals ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN requested_at INTEGER NOT NULL DEFAULT 0;
UPDATE approvals SET requested_at = coalesce((SELECT e.created_at FROM actions a JOIN runs r ON r.id = a.run_id
  JOIN events e ON e.key = (r.n << 32) | a.requested_seq
  WHERE a.run_id = approvals.run_id AND a.action_id = approvals.action_id), 0);
CREATE INDEX approvals_waiting ON approvals (n) WHERE state = 'pending';
ALTER TABLE actions ADD COLUMN policy_id TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN policy_version TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN policy_rule TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE actions ADD COLUMN duration_ms INTEGER;
CREATE INDEX actions_open ON actions (run_id, n) WHERE execution = 'started';
)sql";

// The audit chain, what a person decided in advance about a run, and webhooks with their messages.
constexpr const char* sixth = R"sql(
CREATE TABLE audit (
  workspace TEXT NOT NULL,
  number INTEGER NOT NULL,
  time INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  type TEXT NOT NULL,
  actor TEXT NOT NULL,
  who TEXT NOT NULL,
  action_id TEXT NOT NULL,
  action_digest TEXT NOT NULL,
  payload_digest TEXT NOT NULL,
  previous TEXT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (workspace, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE standing_rules (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL,
  approves INTEGER NOT NULL,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  given_by TEXT NOT NULL,
  given_at INTEGER NOT NULL,
  withdrawn_at INTEGER,
  withdrawn_by TEXT NOT NULL,
  used INTEGER NOT NULL
) STRICT;
CREATE INDEX standing_rules_of_run ON standing_rules (run_id, n);
CREATE TABLE webhooks (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  workspace TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  events TEXT NOT NULL,
  secret TEXT NOT NULL,
  old_secret TEXT NOT NULL,
  old_secret_until INTEGER,
  enabled INTEGER NOT NULL,
  disabled_reason TEXT NOT NULL,
  failing_since INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE webhook_deliveries (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  webhook_id TEXT NOT NULL,
  type TEXT NOT NULL,
  run_id TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  attempted_at INTEGER,
  status INTEGER NOT NULL,
  error TEXT NOT NULL,
  duration_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at, n) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of_webhook ON webhook_deliveries (webhook_id, n);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
)sql";

// What runs spend, and budgets over them.
constexpr const char* seventh = R"sql(
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
constexpr const char* eighth = R"sql(
ALTER TABLE attempts ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN launched INTEGER NOT NULL DEFAULT 1;
)sql";

// Shares of the queue, deletion and retention. What is counted is counted with each change.
constexpr const char* ninth = R"sql(
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
constexpr const char* tenth = R"sql(
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
constexpr const char* sealed_keys = R"sql(
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
constexpr const char* lanes_and_notes = R"sql(
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

constexpr std::array<const char*, 12> steps{first,   second, third, fourth, fifth,       sixth,
                                            seventh, eighth, ninth, tenth,  sealed_keys, lanes_and_notes};

std::int64_t pragma(Connection& connection, std::string_view sql) {
  auto statement = connection.statement(sql);
  return statement.step() ? statement.integer(0) : 0;
}

void take(Connection& connection, std::size_t step) {
  connection.execute("BEGIN IMMEDIATE");
  connection.execute(steps[step]);
  connection.execute(("PRAGMA application_id = " + std::to_string(application_id)).c_str());
  connection.execute(("PRAGMA user_version = " + std::to_string(step + 1)).c_str());
  connection.execute("COMMIT");
}

}  // namespace

int schema_version() {
  return static_cast<int>(steps.size());
}

base::Result<void> check_schema(Connection& connection) {
  const auto version = pragma(connection, "PRAGMA user_version");
  const bool empty = pragma(connection, "SELECT count(*) FROM sqlite_schema") == 0;
  const bool ours = pragma(connection, "PRAGMA application_id") == application_id;
  if (!ours && !(empty && version == 0)) {
    return base::fail(base::Code::corrupt, "cannot open the store: the file is another program's database",
                      "store_corrupt");
  }
  if (version > schema_version()) {
    return base::fail(base::Code::unsupported,
                      "cannot open the store: its schema " + std::to_string(version) +
                          " was written by a newer version; this one knows " +
                          std::to_string(schema_version()),
                      "schema_newer");
  }
  return {};
}

void migrate(Connection& connection, int version) {
  const auto last = static_cast<std::size_t>(version);
  auto step = static_cast<std::size_t>(pragma(connection, "PRAGMA user_version"));
  for (; step < last; ++step) take(connection, step);
}

}  // namespace agentrouter::store
