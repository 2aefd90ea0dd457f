#pragma once
// The write half of the port over one session that has the writer's turn. What needs no answer is sent and
// not waited for. Remembers in the capture what listeners must be told once it is committed.

#include <map>

#include "store/postgres/capture.h"
#include "store/postgres/months.h"
#include "store/postgres/tables.h"

namespace agentrouter::store::postgres {

// One for as long as its session, over many commits. Around a closure the writer does this:
//
//   begin(), take the turn, tx.begun()
//   for each closure: savepoint(); work(tx); then tx.finish() and release(), or rollback_to() and tx.undone()
//   commit
class PgTransaction final : public Reading<Transaction> {
 public:
  PgTransaction(Session& session, Capture& capture) : Reading(session, &known_), capture_(capture) {}

  // Others may have written since: nothing is known any more.
  void begun();
  // Sends what a closure has left to be written. Before its savepoint is released.
  void finish() { known_.flush(session_); }
  // What the closure did was undone. (The capture is the writer's: forget_after().)
  void undone() { begun(); }

  void insert_run(const model::Run& run, std::string_view share = {}, std::string_view lane = {}) override;
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
  std::optional<model::AuditEntry> audit_head(std::string_view workspace) override;
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

 private:
  // Does not wait.
  template <class... T>
  void tell(const Statement& statement, const T&... parts) {
    session_.send(statement, values(parts...));
  }
  // Waits; how many rows were changed.
  template <class... T>
  int change(const Statement& statement, const T&... parts) {
    return static_cast<int>(tables_.ask(statement, parts...).affected());
  }
  KnownRun& active_run(const model::RunId& id);
  void index_answer(const model::RunId& id, const KnownRun& run, const std::string& payload);
  void forget_words(std::int64_t run, const std::vector<std::string>& words);
  // As change(), for what the fence of attempts may refuse (schema_steps.cpp).
  static constexpr std::string_view fence_refused = "AR001";
  int change_attempt(const model::AttemptId& id, const Statement& statement, const Parameters& parameters);

  Capture& capture_;
  KnownRuns known_;
  Months months_;
  std::map<std::string, std::optional<model::AuditEntry>, std::less<>> audit_heads_;
};

}  // namespace agentrouter::store::postgres
