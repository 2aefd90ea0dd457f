#include "store/sqlite/schema_steps.h"

namespace agentrouter::store::schema_step {

// An event's key is (run << 32) | sequence: the table itself is clustered by run and sequence.
const char* const first = R"sql(
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
const char* const second = R"sql(
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
const char* const third = R"sql(
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
const char* const fourth = R"sql(
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
const char* const fifth = R"sql(
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
const char* const sixth = R"sql(
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

}  // namespace agentrouter::store::schema_step
