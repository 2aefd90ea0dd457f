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

constexpr std::array<const char*, 1> steps{first};

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

void migrate(Connection& connection) {
  const auto version = pragma(connection, "PRAGMA user_version");
  for (auto step = static_cast<std::size_t>(version); step < steps.size(); ++step) take(connection, step);
}

}  // namespace agentrouter::store
