#pragma once
// Reads the records of the port out of the tables.

#include "store/postgres/columns.h"
#include "store/postgres/known_runs.h"

namespace agentrouter::store::postgres {

// Every query of the Reader over one session, inside whatever transaction is open on it.
class Tables {
 public:
  // With `known` this is a writer that has its turn: what it reads of a run is remembered there, and what
  // `known` has not written yet is sent before anything is read.
  explicit Tables(Session& session, KnownRuns* known = nullptr) : session_(session), known_(known) {}

  // What is narrowed takes the scope first: empty for all workspaces.
  [[nodiscard]] std::optional<model::Run> run(const std::string& scope, const model::RunId& id);
  [[nodiscard]] std::string workspace_of(const model::RunId& id);
  [[nodiscard]] RunPage runs(const std::string& scope, const RunQuery& query);
  [[nodiscard]] std::optional<Conversation> conversation(const model::RunId& id);
  [[nodiscard]] std::vector<model::Run> turns(const model::RunId& conversation);
  [[nodiscard]] std::optional<model::Run> latest_turn(const model::RunId& conversation);
  [[nodiscard]] std::optional<model::Run> turn(const model::RunId& conversation, int number);
  [[nodiscard]] std::optional<Checkpoint> latest_checkpoint(const model::RunId& conversation,
                                                            int before_turn);
  [[nodiscard]] std::vector<Checkpoint> checkpoints(const model::RunId& conversation);
  [[nodiscard]] bool is_shared(const Checkpoint& checkpoint);
  [[nodiscard]] std::vector<Conversation> conversations_to_reclaim(base::Time now, int limit);
  [[nodiscard]] std::optional<base::Time> next_conversation_expiry();
  [[nodiscard]] std::vector<model::Event> events(const model::RunId& id, model::Seq after, int limit);
  [[nodiscard]] std::optional<model::Event> event(const model::RunId& id, model::Seq sequence);
  [[nodiscard]] std::optional<model::Event> last_event_of_type(const model::RunId& id, std::string_view type);
  [[nodiscard]] std::vector<model::Artifact> artifacts(const model::RunId& id);
  [[nodiscard]] std::optional<model::Artifact> artifact(const model::ArtifactId& id);
  [[nodiscard]] std::optional<Approval> approval(const model::RunId& run, const model::ActionId& action);
  [[nodiscard]] std::vector<Approval> undelivered_approvals(const model::RunId& run);
  [[nodiscard]] std::vector<Approval> pending_approvals(const model::RunId& run);
  [[nodiscard]] std::vector<Approval> pending_approvals(const std::string& scope, const PendingQuery& query);
  [[nodiscard]] std::vector<Approval> due_approvals(base::Time now, int limit);
  [[nodiscard]] std::optional<base::Time> next_approval_expiry();
  [[nodiscard]] std::optional<ActionRecord> action(const model::RunId& run, const model::ActionId& action);
  [[nodiscard]] std::vector<ActionRecord> actions(const model::RunId& run, int limit);
  [[nodiscard]] std::vector<ActionRecord> open_actions(const model::RunId& run);
  [[nodiscard]] std::optional<Attempt> attempt(const model::AttemptId& id);
  [[nodiscard]] std::optional<Attempt> latest_attempt(const model::RunId& run);
  [[nodiscard]] std::vector<Attempt> open_attempts();
  [[nodiscard]] std::optional<IdempotencyKey> idempotency_key(std::string_view key_hash);
  [[nodiscard]] std::optional<base::Time> next_idempotency_expiry();
  [[nodiscard]] std::optional<Upload> upload(const std::string& scope, std::string_view id);
  [[nodiscard]] std::optional<base::Time> next_upload_expiry();
  [[nodiscard]] std::vector<std::string> trees_in_use();
  [[nodiscard]] std::optional<RunSpending> spending(const model::RunId& run);
  [[nodiscard]] BudgetPeriod budget_period(std::string_view scope, std::string_view period);
  [[nodiscard]] std::vector<BudgetPeriod> budget_periods(std::string_view period);
  [[nodiscard]] std::vector<AllowanceLot> allowance(const model::RunId& run);
  [[nodiscard]] std::vector<model::RunId> queued_runs(int limit, const std::vector<std::string>& left_out);
  [[nodiscard]] std::vector<Lane> lanes();
  [[nodiscard]] std::optional<base::Time> oldest_queued();
  [[nodiscard]] std::int64_t queued_of_share(std::string_view share);
  [[nodiscard]] Totals totals();
  [[nodiscard]] bool has_active_runs();
  [[nodiscard]] bool has_open_attempt(const model::RunId& run);
  [[nodiscard]] std::vector<EndedRun> ended_runs(const EndedQuery& query);
  [[nodiscard]] std::vector<DeletedRun> deleted_runs(int limit);
  [[nodiscard]] std::vector<model::RunId> cancelling_runs_without_attempt();
  [[nodiscard]] std::vector<model::AuditEntry> audit(std::string_view workspace, std::int64_t after,
                                                     int limit);
  [[nodiscard]] std::optional<model::AuditEntry> audit_head(std::string_view workspace);
  [[nodiscard]] std::vector<StandingRule> standing_rules(const model::RunId& run);
  [[nodiscard]] std::vector<Webhook> webhooks(const std::string& scope);
  [[nodiscard]] std::optional<Webhook> webhook(const std::string& scope, std::string_view id);
  [[nodiscard]] std::optional<Delivery> delivery(std::string_view id);
  [[nodiscard]] std::vector<Delivery> deliveries(const DeliveryQuery& query);
  [[nodiscard]] std::vector<Delivery> next_deliveries(std::string_view webhook, int limit);
  [[nodiscard]] std::int64_t pending_deliveries(std::string_view webhook);
  [[nodiscard]] std::vector<DataKey> data_keys();
  [[nodiscard]] std::vector<DataKey> data_keys(std::string_view workspace);
  [[nodiscard]] std::vector<ProviderKey> provider_keys();
  [[nodiscard]] std::optional<ProviderKey> provider_key(std::string_view workspace,
                                                        std::string_view provider);
  [[nodiscard]] std::optional<WorkspaceRecord> workspace(std::string_view id);
  [[nodiscard]] std::vector<WorkspaceRecord> workspaces(std::int64_t after, int limit);
  [[nodiscard]] std::optional<ApiKey> api_key(std::string_view id);
  [[nodiscard]] std::optional<ApiKey> api_key_by_hash(std::string_view hash);
  [[nodiscard]] std::vector<ApiKey> api_keys(std::int64_t after, int limit);
  [[nodiscard]] std::optional<Note> note(std::string_view kind, std::string_view id);
  [[nodiscard]] std::vector<Note> notes(std::string_view kind, std::string_view id_prefix, int limit);

  // Where the run's row and its events are; the status is that of its row.
  [[nodiscard]] std::optional<KnownRun> place_of(const model::RunId& id);

  // Waits for the answer.
  template <class... T>
  Rows ask(const Statement& statement, const T&... parts) {
    return ask_with(statement, values(parts...));
  }
  Rows ask_with(const Statement& statement, const Parameters& parameters) {
    if (known_ != nullptr) known_->flush(session_);
    return session_.query(statement, parameters);
  }

 private:
  [[nodiscard]] std::vector<model::Run> runs_at(const std::vector<RunCursor>& places);

  Session& session_;
  KnownRuns* known_;
};

// A Reader or a Transaction, as far as reading goes.
template <class Port>
class Reading : public Port {
 public:
  explicit Reading(Session& session, KnownRuns* known = nullptr)
      : session_(session), tables_(session, known) {}

  std::optional<model::Run> run(const model::RunId& id) override { return tables_.run(this->scope(), id); }
  std::string workspace_of(const model::RunId& run) override { return tables_.workspace_of(run); }
  RunPage runs(const RunQuery& query) override { return tables_.runs(this->scope(), query); }
  std::optional<Conversation> conversation(const model::RunId& id) override {
    return tables_.conversation(id);
  }
  std::vector<model::Run> turns(const model::RunId& conversation) override {
    return tables_.turns(conversation);
  }
  std::optional<model::Run> latest_turn(const model::RunId& conversation) override {
    return tables_.latest_turn(conversation);
  }
  std::optional<model::Run> turn(const model::RunId& conversation, int number) override {
    return tables_.turn(conversation, number);
  }
  std::optional<Checkpoint> latest_checkpoint(const model::RunId& conversation, int before_turn) override {
    return tables_.latest_checkpoint(conversation, before_turn);
  }
  std::vector<Checkpoint> checkpoints(const model::RunId& conversation) override {
    return tables_.checkpoints(conversation);
  }
  bool is_shared(const Checkpoint& checkpoint) override { return tables_.is_shared(checkpoint); }
  std::vector<Conversation> conversations_to_reclaim(base::Time now, int limit) override {
    return tables_.conversations_to_reclaim(now, limit);
  }
  std::optional<base::Time> next_conversation_expiry() override { return tables_.next_conversation_expiry(); }
  std::vector<model::Event> events(const model::RunId& id, model::Seq after, int limit) override {
    return tables_.events(id, after, limit);
  }
  std::optional<model::Event> event(const model::RunId& id, model::Seq sequence) override {
    return tables_.event(id, sequence);
  }
  std::optional<model::Event> last_event_of_type(const model::RunId& id, std::string_view type) override {
    return tables_.last_event_of_type(id, type);
  }
  std::vector<model::Artifact> artifacts(const model::RunId& id) override { return tables_.artifacts(id); }
  std::optional<model::Artifact> artifact(const model::ArtifactId& id) override {
    return tables_.artifact(id);
  }
  std::optional<Approval> approval(const model::RunId& run, const model::ActionId& action) override {
    return tables_.approval(run, action);
  }
  std::vector<Approval> undelivered_approvals(const model::RunId& run) override {
    return tables_.undelivered_approvals(run);
  }
  std::vector<Approval> pending_approvals(const model::RunId& run) override {
    return tables_.pending_approvals(run);
  }
  std::vector<Approval> pending_approvals(const PendingQuery& query) override {
    return tables_.pending_approvals(this->scope(), query);
  }
  std::vector<Approval> due_approvals(base::Time now, int limit) override {
    return tables_.due_approvals(now, limit);
  }
  std::optional<base::Time> next_approval_expiry() override { return tables_.next_approval_expiry(); }
  std::optional<ActionRecord> action(const model::RunId& run, const model::ActionId& action) override {
    return tables_.action(run, action);
  }
  std::vector<ActionRecord> actions(const model::RunId& run, int limit) override {
    return tables_.actions(run, limit);
  }
  std::vector<ActionRecord> open_actions(const model::RunId& run) override {
    return tables_.open_actions(run);
  }
  std::optional<Attempt> attempt(const model::AttemptId& id) override { return tables_.attempt(id); }
  std::optional<Attempt> latest_attempt(const model::RunId& run) override {
    return tables_.latest_attempt(run);
  }
  std::vector<Attempt> open_attempts() override { return tables_.open_attempts(); }
  std::optional<IdempotencyKey> idempotency_key(std::string_view key_hash) override {
    return tables_.idempotency_key(key_hash);
  }
  std::optional<base::Time> next_idempotency_expiry() override { return tables_.next_idempotency_expiry(); }
  std::optional<Upload> upload(std::string_view id) override { return tables_.upload(this->scope(), id); }
  std::optional<base::Time> next_upload_expiry() override { return tables_.next_upload_expiry(); }
  std::vector<std::string> trees_in_use() override { return tables_.trees_in_use(); }
  std::optional<RunSpending> spending(const model::RunId& run) override { return tables_.spending(run); }
  BudgetPeriod budget_period(std::string_view scope, std::string_view period) override {
    return tables_.budget_period(scope, period);
  }
  std::vector<BudgetPeriod> budget_periods(std::string_view period) override {
    return tables_.budget_periods(period);
  }
  std::vector<AllowanceLot> allowance(const model::RunId& run) override { return tables_.allowance(run); }
  std::vector<model::RunId> queued_runs(int limit, const std::vector<std::string>& left_out = {}) override {
    return tables_.queued_runs(limit, left_out);
  }
  std::vector<Lane> lanes() override { return tables_.lanes(); }
  std::optional<base::Time> oldest_queued() override { return tables_.oldest_queued(); }
  std::int64_t queued_of_share(std::string_view share) override { return tables_.queued_of_share(share); }
  Totals totals() override { return tables_.totals(); }
  bool has_active_runs() override { return tables_.has_active_runs(); }
  bool has_open_attempt(const model::RunId& run) override { return tables_.has_open_attempt(run); }
  std::vector<EndedRun> ended_runs(const EndedQuery& query) override { return tables_.ended_runs(query); }
  std::vector<DeletedRun> deleted_runs(int limit) override { return tables_.deleted_runs(limit); }
  std::vector<model::RunId> cancelling_runs_without_attempt() override {
    return tables_.cancelling_runs_without_attempt();
  }
  std::vector<model::AuditEntry> audit(std::string_view workspace, std::int64_t after, int limit) override {
    return tables_.audit(workspace, after, limit);
  }
  std::optional<model::AuditEntry> audit_head(std::string_view workspace) override {
    return tables_.audit_head(workspace);
  }
  std::vector<StandingRule> standing_rules(const model::RunId& run) override {
    return tables_.standing_rules(run);
  }
  std::vector<Webhook> webhooks() override { return tables_.webhooks(this->scope()); }
  std::vector<Webhook> webhooks_of(std::string_view workspace) override {
    return tables_.webhooks(std::string(workspace));
  }
  std::optional<Webhook> webhook(std::string_view id) override { return tables_.webhook(this->scope(), id); }
  std::optional<Delivery> delivery(std::string_view id) override { return tables_.delivery(id); }
  std::vector<Delivery> deliveries(const DeliveryQuery& query) override { return tables_.deliveries(query); }
  std::vector<Delivery> next_deliveries(std::string_view webhook, int limit) override {
    return tables_.next_deliveries(webhook, limit);
  }
  std::int64_t pending_deliveries(std::string_view webhook) override {
    return tables_.pending_deliveries(webhook);
  }
  std::vector<DataKey> data_keys() override { return tables_.data_keys(); }
  std::vector<DataKey> data_keys(std::string_view workspace) override { return tables_.data_keys(workspace); }
  std::vector<ProviderKey> provider_keys() override { return tables_.provider_keys(); }
  std::optional<ProviderKey> provider_key(std::string_view workspace, std::string_view provider) override {
    return tables_.provider_key(workspace, provider);
  }
  std::optional<WorkspaceRecord> workspace(std::string_view id) override { return tables_.workspace(id); }
  std::vector<WorkspaceRecord> workspaces(std::int64_t after, int limit) override {
    return tables_.workspaces(after, limit);
  }
  std::optional<ApiKey> api_key(std::string_view id) override { return tables_.api_key(id); }
  std::optional<ApiKey> api_key_by_hash(std::string_view hash) override {
    return tables_.api_key_by_hash(hash);
  }
  std::vector<ApiKey> api_keys(std::int64_t after, int limit) override {
    return tables_.api_keys(after, limit);
  }
  std::optional<Note> note(std::string_view kind, std::string_view id) override {
    return tables_.note(kind, id);
  }
  std::vector<Note> notes(std::string_view kind, std::string_view id_prefix = {},
                          int limit = notes_at_most) override {
    return tables_.notes(kind, id_prefix, limit);
  }

 protected:
  Session& session_;
  Tables tables_;
};

}  // namespace agentrouter::store::postgres
