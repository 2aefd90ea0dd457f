#pragma once
// The write half of the port over one connection. Remembers what listeners must be told once it is committed.

#include <set>

#include "store/listeners.h"
#include "store/sqlite/rows.h"

namespace agentrouter::store {

class SqliteTransaction final : public SqliteReading<Transaction> {
 public:
  using SqliteReading::SqliteReading;

  void insert_run(const model::Run& run, std::string_view share, std::string_view lane) override;
  void update_run(const model::Run& run) override;
  model::Event append(const model::RunId& run, const model::EventDraft& draft) override;
  void put_artifact(const model::Artifact& artifact) override;
  void put_conversation(const Conversation& conversation) override;
  void put_checkpoint(const Checkpoint& checkpoint) override;
  void delete_checkpoint(const model::RunId& conversation, int turn_number) override;
  void put_approval(const Approval& approval) override;
  void put_action(const ActionRecord& action) override;
  void insert_attempt(const Attempt& attempt) override;
  void update_attempt(const Attempt& attempt) override;
  void put_idempotency_key(const IdempotencyKey& key) override;
  int purge_idempotency_keys(base::Time expired_before, int limit) override;
  void put_upload(const Upload& upload) override;
  void purge_uploads(base::Time now) override;
  void append_audit(const model::AuditEntry& entry) override;
  void put_standing_rule(const StandingRule& rule) override;
  void put_webhook(const Webhook& webhook) override;
  void delete_webhook(std::string_view id) override;
  void put_delivery(const Delivery& delivery) override;
  int purge_deliveries(base::Time made_before, int limit) override;
  void put_spending(const RunSpending& spending) override;
  void put_budget_period(const BudgetPeriod& period) override;
  void put_allowance_lot(const AllowanceLot& lot) override;
  void delete_allowance(const model::RunId& run) override;
  int free_slot() override;
  void delete_run(const model::RunId& run, base::Time now) override;
  void delete_artifact(const model::ArtifactId& artifact) override;
  int remove_deleted(const model::RunId& run, int rows) override;
  void delete_conversation(const model::RunId& conversation) override;
  void delete_delivery(std::string_view id) override;
  void put_workspace(const WorkspaceRecord& workspace) override;
  void put_api_key(const ApiKey& key) override;
  void note_key_use(std::string_view id, base::Time at) override;
  void put_data_key(const DataKey& key) override;
  void delete_data_key(std::string_view workspace, int version) override;
  void put_provider_key(const ProviderKey& key) override;
  void delete_provider_key(std::string_view workspace, std::string_view provider) override;
  void put_note(const Note& note) override;
  void delete_note(std::string_view kind, std::string_view id) override;

  // How much has been remembered, and forgetting what came after: for a savepoint that is undone.
  struct Mark {
    std::size_t events = 0;
    std::size_t changes = 0;
  };
  [[nodiscard]] Mark mark() const { return {events_.size(), changes_.size()}; }
  void forget_after(Mark mark);
  [[nodiscard]] std::vector<model::Event> take_events() { return std::exchange(events_, {}); }
  [[nodiscard]] std::vector<RunChange> take_changes() { return std::exchange(changes_, {}); }
  // Also for a savepoint that was undone.
  [[nodiscard]] bool take_outbox_change() { return std::exchange(outbox_changed_, false); }
  [[nodiscard]] std::set<std::string> take_note_changes() { return std::exchange(note_kinds_, {}); }

 private:
  void check_turn(const model::Run& run);
  std::int64_t insert_run_row(const model::Run& run, std::string_view share, std::string_view lane);

  std::vector<model::Event> events_;
  std::vector<RunChange> changes_;
  bool outbox_changed_ = false;
  std::set<std::string> note_kinds_;
};

}  // namespace agentrouter::store
