// The audit chain, and what a person decided in advance about a run.

#include "store/sqlite/columns.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

namespace {

#define AUDIT_COLUMNS                                                                                   \
  "SELECT workspace, number, time, run_id, sequence, event_id, type, actor, who, action_id, "           \
  "action_digest, payload_digest, previous, hash FROM audit "
#define STANDING_RULE_COLUMNS                                                                           \
  "SELECT id, run_id, approves, rule, reason, given_by, given_at, withdrawn_at, withdrawn_by, used FROM " \
  "standing_rules "

model::AuditEntry read_audit(const Statement& row) {
  model::AuditEntry entry;
  entry.workspace = row.text(0);
  entry.number = row.integer(1);
  entry.time = time_at(row, 2);
  entry.run_id = model::RunId(row.text(3));
  entry.sequence = row.integer(4);
  entry.event_id = row.text(5);
  entry.type = row.text(6);
  entry.actor = row.text(7);
  entry.who = row.text(8);
  entry.action_id = row.text(9);
  entry.action_digest = row.text(10);
  entry.payload_digest = row.text(11);
  entry.previous = row.text(12);
  entry.hash = row.text(13);
  return entry;
}

StandingRule read_standing_rule(const Statement& row) {
  StandingRule rule;
  rule.id = row.text(0);
  rule.run_id = model::RunId(row.text(1));
  rule.approves = row.integer(2) == 1;
  rule.rule = row.text(3);
  rule.reason = row.text(4);
  rule.given_by = row.text(5);
  rule.given_at = time_at(row, 6);
  rule.withdrawn_at = maybe_time(row, 7);
  rule.withdrawn_by = row.text(8);
  rule.used = row.integer(9);
  return rule;
}

}  // namespace

std::vector<model::AuditEntry> Rows::audit(std::string_view workspace, std::int64_t after, int limit) {
  auto statement = connection_.statement(AUDIT_COLUMNS
                                         "WHERE workspace = ? AND number > ? ORDER BY number LIMIT ?");
  statement.bind(workspace).bind(after).bind(std::int64_t{limit});
  return all(std::move(statement), read_audit);
}

std::optional<model::AuditEntry> Rows::audit_head(std::string_view workspace) {
  auto statement =
      connection_.statement(AUDIT_COLUMNS "WHERE workspace = ? ORDER BY number DESC LIMIT 1");
  statement.bind(workspace);
  return one(std::move(statement), read_audit);
}

std::vector<StandingRule> Rows::standing_rules(const model::RunId& run) {
  auto statement = connection_.statement(STANDING_RULE_COLUMNS "WHERE run_id = ? ORDER BY n");
  statement.bind(run.str());
  return all(std::move(statement), read_standing_rule);
}

void SqliteTransaction::append_audit(const model::AuditEntry& entry) {
  auto last = connection_.statement("SELECT coalesce(max(number), 0) FROM audit WHERE workspace = ?");
  last.bind(entry.workspace);
  if (!last.step() || entry.number != last.integer(0) + 1)
    base::throw_failure(base::Code::conflict,
                        "the audit chain already has an entry " + std::to_string(entry.number), "audit_taken");
  auto statement =
      connection_.statement("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  statement.bind(entry.workspace).bind(entry.number).bind(to_column(entry.time)).bind(entry.run_id.str());
  statement.bind(entry.sequence).bind(entry.event_id).bind(entry.type).bind(entry.actor).bind(entry.who);
  statement.bind(entry.action_id).bind(entry.action_digest).bind(entry.payload_digest);
  statement.bind(entry.previous).bind(entry.hash).run();
}

void SqliteTransaction::put_standing_rule(const StandingRule& rule) {
  auto statement = connection_.statement(
      "INSERT INTO standing_rules (id, run_id, approves, rule, reason, given_by, given_at, withdrawn_at, "
      "withdrawn_by, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
      "withdrawn_at = excluded.withdrawn_at, withdrawn_by = excluded.withdrawn_by, used = excluded.used");
  statement.bind(rule.id).bind(rule.run_id.str()).bind(std::int64_t{rule.approves}).bind(rule.rule);
  statement.bind(rule.reason).bind(rule.given_by).bind(to_column(rule.given_at));
  statement.bind(to_column(rule.withdrawn_at)).bind(rule.withdrawn_by).bind(rule.used).run();
}

}  // namespace agentrouter::store
