// The audit chain, and what a person decided in advance about a run.

#include "store/postgres/transaction.h"

namespace agentrouter::store::postgres {

namespace {

#define PG_AUDIT_COLUMNS                                                                      \
  "SELECT workspace, number, time, run_id, sequence, event_id, type, actor, who, action_id, " \
  "action_digest, payload_digest, previous, hash FROM audit "
#define PG_STANDING_RULE_COLUMNS                                                                          \
  "SELECT id, run_id, approves, rule, reason, given_by, given_at, withdrawn_at, withdrawn_by, used FROM " \
  "standing_rules "

model::AuditEntry read_audit(const Cells& row) {
  model::AuditEntry entry;
  entry.workspace = row.text(0);
  entry.number = row.integer(1);
  entry.time = row.time(2);
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

StandingRule read_standing_rule(const Cells& row) {
  StandingRule rule;
  rule.id = row.text(0);
  rule.run_id = model::RunId(row.text(1));
  rule.approves = row.integer(2) == 1;
  rule.rule = row.text(3);
  rule.reason = row.text(4);
  rule.given_by = row.text(5);
  rule.given_at = row.time(6);
  rule.withdrawn_at = row.maybe_time(7);
  rule.withdrawn_by = row.text(8);
  rule.used = row.integer(9);
  return rule;
}

}  // namespace

std::vector<model::AuditEntry> Tables::audit(std::string_view workspace, std::int64_t after, int limit) {
  static constexpr Statement page{
      "audit", PG_AUDIT_COLUMNS "WHERE workspace = $1 AND number > $2 ORDER BY number LIMIT $3"};
  return all(ask(page, workspace, after, limit), read_audit);
}

std::optional<model::AuditEntry> Tables::audit_head(std::string_view workspace) {
  static constexpr Statement last{"audit_head",
                                  PG_AUDIT_COLUMNS "WHERE workspace = $1 ORDER BY number DESC LIMIT 1"};
  return one(ask(last, workspace), read_audit);
}

std::vector<StandingRule> Tables::standing_rules(const model::RunId& run) {
  static constexpr Statement find{"standing_rules", PG_STANDING_RULE_COLUMNS "WHERE run_id = $1 ORDER BY n"};
  return all(ask(find, run), read_standing_rule);
}

std::optional<model::AuditEntry> PgTransaction::audit_head(std::string_view workspace) {
  const auto known = audit_heads_.find(workspace);
  if (known != audit_heads_.end()) return known->second;
  return audit_heads_.emplace(workspace, tables_.audit_head(workspace)).first->second;
}

void PgTransaction::append_audit(const model::AuditEntry& entry) {
  static constexpr Statement insert{
      "append_audit",
      "INSERT INTO audit (workspace, number, time, run_id, sequence, event_id, type, actor, who, action_id, "
      "action_digest, payload_digest, previous, hash) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"};
  const auto last = PgTransaction::audit_head(entry.workspace);
  if (entry.number != (last ? last->number : 0) + 1)
    base::throw_failure(base::Code::conflict,
                        "the audit chain already has an entry " + std::to_string(entry.number),
                        "audit_taken");
  tell(insert, entry.workspace, entry.number, entry.time, entry.run_id, entry.sequence, entry.event_id,
       entry.type, entry.actor, entry.who, entry.action_id, entry.action_digest, entry.payload_digest,
       entry.previous, entry.hash);
  audit_heads_.insert_or_assign(entry.workspace, entry);
}

void PgTransaction::put_standing_rule(const StandingRule& rule) {
  static constexpr Statement put{
      "put_standing_rule",
      "INSERT INTO standing_rules (id, run_id, approves, rule, reason, given_by, given_at, withdrawn_at, "
      "withdrawn_by, used) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET "
      "withdrawn_at = excluded.withdrawn_at, withdrawn_by = excluded.withdrawn_by, used = excluded.used"};
  tell(put, rule.id, rule.run_id, rule.approves, rule.rule, rule.reason, rule.given_by, rule.given_at,
       rule.withdrawn_at, rule.withdrawn_by, rule.used);
}

}  // namespace agentrouter::store::postgres
