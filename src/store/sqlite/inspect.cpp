#include "store/sqlite/inspect.h"

#include <array>

namespace agentrouter::store {
namespace {

#define TERMINAL_TYPES "('run.completed', 'run.failed', 'run.cancelled')"
#define TERMINAL_STATUS "('completed', 'failed', 'cancelled')"

#define COUNTED                                                                                        \
  "SELECT 'queued_runs' AS name, count(*) AS value FROM runs WHERE status = 'queued' UNION ALL "       \
  "SELECT 'ended_runs', count(*) FROM runs WHERE status IN " TERMINAL_STATUS                           \
  " AND instr(tags, '\"keep\":') = 0 UNION ALL SELECT 'artifact_bytes', coalesce(sum(size_bytes), 0) " \
  "FROM artifacts"

#define COUNTED_SHARES                                                                              \
  "SELECT share AS name, sum(status = 'queued') AS queued, sum(status <> 'queued') AS active FROM " \
  "runs WHERE status IN ('queued', 'starting', 'running', 'cancelling') GROUP BY share"

// A query gives one row, and in it one text, for each place where something does not hold.
struct Rule {
  const char* code;
  const char* what;
  const char* fix;
  const char* query;
};

constexpr const char* from_backup = "restore the run's data from a backup";

constexpr std::array rules{
    Rule{"event_gap", "the events of a run are not 1, 2, 3... up to its last one", from_backup,
         "SELECT 'run ' || coalesce(r.id, 'number ' || e.run) || ': ' || e.n || ' events from ' || e.least "
         "|| ' to ' "
         "|| e.most || ', the run says ' || coalesce(r.last_event_seq, 'nothing') FROM (SELECT key >> 32 AS "
         "run, "
         "count(*) AS n, min(key & 4294967295) AS least, max(key & 4294967295) AS most FROM events GROUP BY "
         "1) e "
         "LEFT JOIN runs r ON r.n = e.run WHERE e.run NOT IN (SELECT n FROM deleted_runs) AND (r.n IS NULL "
         "OR e.least <> 1 OR e.n <> e.most OR e.most <> "
         "r.last_event_seq)"},
    Rule{"events_missing", "a run has lost all of its events", from_backup,
         "SELECT 'run ' || id FROM runs r WHERE last_event_seq > 0 AND NOT EXISTS (SELECT 1 FROM events "
         "WHERE key "
         "BETWEEN r.n << 32 AND (r.n << 32) + 4294967295)"},
    Rule{"terminal_event",
         "a run that has ended does not have exactly one last event that says so, or one that goes "
         "on has one",
         from_backup,
         "SELECT 'run ' || r.id || ' (' || r.status || '): ' || count(e.key) || ' terminal events' FROM runs "
         "r LEFT "
         "JOIN events e ON e.key BETWEEN r.n << 32 AND (r.n << 32) + 4294967295 AND e.type IN " TERMINAL_TYPES
         " GROUP BY r.n HAVING count(e.key) <> (r.status IN " TERMINAL_STATUS
         ") OR (count(e.key) = 1 AND max(e.key & 4294967295) <> r.last_event_seq)"},
    Rule{"run_without_attempt", "a run is being carried out and has no attempt that anybody drives",
         "cancel it: agentrouter cancel RUN",
         "SELECT 'run ' || id || ' (' || status || ')' FROM runs r WHERE status IN ('starting', 'running') "
         "AND NOT "
         "EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.open = 1)"},
    Rule{"attempt_without_run", "an attempt belongs to no run", from_backup,
         "SELECT 'attempt ' || a.id FROM attempts a LEFT JOIN runs r ON r.id = a.run_id WHERE r.id IS NULL "
         "AND a.run_id NOT "
         "IN (SELECT id FROM deleted_runs)"},
    Rule{"run_without_text", "a run has lost its task", from_backup,
         "SELECT 'run ' || r.id FROM runs r LEFT JOIN run_texts t ON t.run = r.n WHERE t.run IS NULL"},
    Rule{"run_without_conversation", "a run belongs to no conversation", from_backup,
         "SELECT 'run ' || r.id FROM runs r LEFT JOIN conversations c ON c.id = r.conversation_id WHERE c.id "
         "IS "
         "NULL"},
    Rule{"artifact_without_run", "an artifact belongs to no run", from_backup,
         "SELECT 'artifact ' || a.id FROM artifacts a LEFT JOIN runs r ON r.id = a.run_id WHERE r.id IS NULL "
         "AND a.run_id NOT "
         "IN (SELECT id FROM deleted_runs)"},
    Rule{"checkpoint_without_conversation", "a checkpoint belongs to no conversation", from_backup,
         "SELECT 'checkpoint of ' || k.run_id FROM checkpoints k LEFT JOIN conversations c ON c.id = "
         "k.conversation_id WHERE c.id IS NULL"},
    Rule{"question_after_end", "a run that has ended still asks a question", from_backup,
         "SELECT 'run ' || a.run_id || ', action ' || a.action_id FROM approvals a JOIN runs r ON r.id = "
         "a.run_id "
         "WHERE a.state = 'pending' AND r.status IN " TERMINAL_STATUS},
    Rule{"decision_without_event", "a decision has no event", from_backup,
         "SELECT 'run ' || a.run_id || ', action ' || a.action_id FROM approvals a JOIN runs r ON r.id = "
         "a.run_id LEFT "
         "JOIN events e ON e.key = (r.n << 32) | a.decided_seq WHERE a.decided_seq > 0 AND e.key IS NULL"},
    Rule{"newest_event", "what says where the newest events of a run are is wrong",
         "agentrouter fsck --repair makes it anew",
         "SELECT 'run ' || r.id || ', ' || w.type FROM newest_events w JOIN runs r ON r.n = w.run LEFT JOIN "
         "events e "
         "ON e.key = (w.run << 32) | w.sequence WHERE e.key IS NULL OR e.type <> w.type"},
    Rule{"totals_wrong", "what is counted with each change is not what there is",
         "agentrouter fsck --repair counts again",
         "SELECT c.name || ': ' || coalesce(t.value, 'nothing') || ', there are ' || c.value FROM (" COUNTED
         ") c LEFT JOIN totals t ON c.name = t.name WHERE t.value IS NOT c.value"},
    Rule{"shares_wrong", "how many runs of a share wait and go on is not what there is",
         "agentrouter fsck --repair counts again",
         "SELECT 'share ' || coalesce(s.name, c.name) || ': ' || coalesce(s.queued, 0) || ' and ' || "
         "coalesce(s.active, 0) || ', there are ' || coalesce(c.queued, 0) || ' and ' || coalesce(c.active, "
         "0) "
         "FROM shares s FULL JOIN (" COUNTED_SHARES
         ") c ON c.name = s.name WHERE s.queued IS NOT c.queued OR s.active IS NOT c.active"},
};

constexpr int told_at_most = 100;

}  // namespace

void inspect_rows(Connection& database, const std::function<void(Finding)>& tell) {
  database.statement("BEGIN").run();
  for (const auto& rule : rules) {
    auto statement = database.statement(rule.query);
    for (int told = 0; told < told_at_most && statement.step(); ++told)
      tell({rule.code, rule.what, statement.text(0), rule.fix});
  }
  database.statement("COMMIT").run();
}

void inspect_trees(Connection& database, const std::function<void(Finding)>& tell) {
  auto statement = database.statement("PRAGMA integrity_check(100)");
  while (statement.step()) {
    const auto text = statement.text(0);
    if (text == "ok") return;
    const bool index = text.find("index") != std::string::npos;
    tell({index ? "index_damaged" : "database_damaged", text, "database",
          index ? "agentrouter fsck --repair makes it anew" : "restore a backup: agentrouter restore"});
  }
}

void rebuild_indices(Connection& database) {
  database.execute(
      "PRAGMA query_only = OFF; BEGIN IMMEDIATE; REINDEX; DELETE FROM newest_events; INSERT INTO "
      "newest_events SELECT "
      "key >> 32, type, max(key & 4294967295) FROM events GROUP BY 1, 2; "
      "INSERT INTO totals SELECT name, value FROM (" COUNTED
      ") WHERE true ON CONFLICT (name) DO UPDATE SET value = excluded.value; "
      "DELETE FROM shares WHERE name NOT IN (SELECT name FROM (" COUNTED_SHARES
      ")); INSERT INTO shares SELECT name, queued, active, 0 FROM (" COUNTED_SHARES
      ") WHERE true ON CONFLICT (name) DO UPDATE SET queued = excluded.queued, active = excluded.active; "
      "COMMIT");
}

}  // namespace agentrouter::store
