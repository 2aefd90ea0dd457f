#pragma once
// The memory of the product, as a port: it stores and numbers, and decides nothing. Use cases (`runs`) are
// plain functions over a Transaction, so they are identical on every backend.
//
// A write closure runs alone: it sees everything committed before it and no other writer runs beside it. Many
// closures share one commit (and one fsync); each is its own savepoint. A write has happened, durably, when
// its task resumes; then, and only then, commit listeners are told.

#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "base/figures.h"
#include "base/pool.h"
#include "model/audit.h"
#include "store/outbox.h"
#include "store/records.h"
#include "store/sealed.h"
#include "store/tenancy.h"

namespace agentrouter::store {

// Reads one consistent state. Throws Failure (unavailable, corrupt) when the database cannot be read.
//
// Within the scope of a workspace (Store::read_in, write_in) what belongs to another one is not there, and is
// looked for by an index that begins with the workspace: it costs exactly what something costs that never
// was. That holds for run(), runs(), upload(), webhook(), webhooks() and pending_approvals(query). Everything
// else is asked for by the id of what was found by one of these.
class Reader {
 public:
  virtual ~Reader() = default;

  // Empty: all workspaces.
  [[nodiscard]] const std::string& scope() const { return scope_; }
  // The scope, or the default workspace: where something new belongs.
  [[nodiscard]] std::string home() const {
    return scope_.empty() ? std::string(model::default_workspace) : scope_;
  }

  [[nodiscard]] virtual std::optional<model::Run> run(const model::RunId& id) = 0;
  // Whose run it is, whatever the scope is; empty when there is no such run. Cheaper than the run.
  [[nodiscard]] virtual std::string workspace_of(const model::RunId& run) = 0;
  // Of one workspace: newest queuedAt first (ties: newest inserted first); with a text, newest inserted
  // first. A call looks at a bounded number of runs: where few of many match, a page may hold fewer than
  // `limit` and still have a `next`.
  [[nodiscard]] virtual RunPage runs(const RunQuery& query) = 0;
  [[nodiscard]] virtual std::optional<Conversation> conversation(const model::RunId& id) = 0;
  // The runs of a conversation by their turn numbers.
  [[nodiscard]] virtual std::vector<model::Run> turns(const model::RunId& conversation) = 0;
  [[nodiscard]] virtual std::optional<model::Run> latest_turn(const model::RunId& conversation) = 0;
  [[nodiscard]] virtual std::optional<model::Run> turn(const model::RunId& conversation, int number) = 0;
  // Of the highest turn below `before_turn` that has one; doomed ones do not count.
  [[nodiscard]] virtual std::optional<Checkpoint> latest_checkpoint(const model::RunId& conversation,
                                                                    int before_turn) = 0;
  // By their turn numbers, with the doomed ones.
  [[nodiscard]] virtual std::vector<Checkpoint> checkpoints(const model::RunId& conversation) = 0;
  // Another conversation has a checkpoint with the same bytes that is not doomed.
  [[nodiscard]] virtual bool is_shared(const Checkpoint& checkpoint) = 0;
  // Not yet reclaimed and expired at `now`, longest expired first. Closed ones expire when they are closed.
  [[nodiscard]] virtual std::vector<Conversation> conversations_to_reclaim(base::Time now, int limit) = 0;
  // When the next one will be; none when no conversation waits for it.
  [[nodiscard]] virtual std::optional<base::Time> next_conversation_expiry() = 0;
  // Ascending, sequence > after, at most `limit`.
  [[nodiscard]] virtual std::vector<model::Event> events(const model::RunId& id, model::Seq after,
                                                         int limit) = 0;
  [[nodiscard]] virtual std::optional<model::Event> event(const model::RunId& id, model::Seq sequence) = 0;
  // The newest event of this type, wherever it is; indexed.
  [[nodiscard]] virtual std::optional<model::Event> last_event_of_type(const model::RunId& id,
                                                                       std::string_view type) = 0;
  // Oldest first.
  [[nodiscard]] virtual std::vector<model::Artifact> artifacts(const model::RunId& id) = 0;
  [[nodiscard]] virtual std::optional<model::Artifact> artifact(const model::ArtifactId& id) = 0;
  [[nodiscard]] virtual std::optional<Approval> approval(const model::RunId& run,
                                                         const model::ActionId& action) = 0;
  // Decided but not yet delivered, in the order of the decisions.
  [[nodiscard]] virtual std::vector<Approval> undelivered_approvals(const model::RunId& run) = 0;
  // Oldest first.
  [[nodiscard]] virtual std::vector<Approval> pending_approvals(const model::RunId& run) = 0;
  // Over all runs.
  [[nodiscard]] virtual std::vector<Approval> pending_approvals(const PendingQuery& query) = 0;
  // Pending with a deadline that is not after `now`, longest overdue first.
  [[nodiscard]] virtual std::vector<Approval> due_approvals(base::Time now, int limit) = 0;
  // The next deadline of a pending approval.
  [[nodiscard]] virtual std::optional<base::Time> next_approval_expiry() = 0;
  [[nodiscard]] virtual std::optional<ActionRecord> action(const model::RunId& run,
                                                           const model::ActionId& action) = 0;
  // The newest `limit`, oldest of them first.
  [[nodiscard]] virtual std::vector<ActionRecord> actions(const model::RunId& run, int limit) = 0;
  // Started and not ended, in the order of their proposals.
  [[nodiscard]] virtual std::vector<ActionRecord> open_actions(const model::RunId& run) = 0;
  [[nodiscard]] virtual std::optional<Attempt> attempt(const model::AttemptId& id) = 0;
  // The newest attempt of the run.
  [[nodiscard]] virtual std::optional<Attempt> latest_attempt(const model::RunId& run) = 0;
  // Attempts whose sandbox or folder may still exist, oldest first.
  [[nodiscard]] virtual std::vector<Attempt> open_attempts() = 0;
  [[nodiscard]] virtual std::optional<IdempotencyKey> idempotency_key(std::string_view key_hash) = 0;
  // When the next key's time is over; none when there is no key.
  [[nodiscard]] virtual std::optional<base::Time> next_idempotency_expiry() = 0;
  [[nodiscard]] virtual std::optional<Upload> upload(std::string_view id) = 0;
  // When the next upload's time is over; none when there is no upload.
  [[nodiscard]] virtual std::optional<base::Time> next_upload_expiry() = 0;
  [[nodiscard]] virtual std::optional<RunSpending> spending(const model::RunId& run) = 0;
  // Zeros when nothing was ever spent or reserved there.
  [[nodiscard]] virtual BudgetPeriod budget_period(std::string_view scope, std::string_view period) = 0;
  // Of all budgets, by their scopes.
  [[nodiscard]] virtual std::vector<BudgetPeriod> budget_periods(std::string_view period) = 0;
  // By their numbers.
  [[nodiscard]] virtual std::vector<AllowanceLot> allowance(const model::RunId& run) = 0;
  // The base trees that may be worked on yet: those of uploads, and of conversations that are not reclaimed.
  // Sorted, each once.
  [[nodiscard]] virtual std::vector<std::string> trees_in_use() = 0;
  // Runs that are queued, in the order in which they are to be taken if none ends meanwhile. Shares
  // come in turn: that with the fewest active runs first, among equals the one that was served longest ago. In
  // a share: highest priority first, then oldest. Runs of the lanes `left_out` are passed over as if they were not
  // there.
  [[nodiscard]] virtual std::vector<model::RunId> queued_runs(int limit,
                                                              const std::vector<std::string>& left_out = {}) = 0;
  // When the run was queued that waits for longest; none when none waits.
  [[nodiscard]] virtual std::optional<base::Time> oldest_queued() = 0;
  // Of all runs that wait or are carried out, over all shares, by their names.
  [[nodiscard]] virtual std::vector<Lane> lanes() = 0;
  [[nodiscard]] virtual std::int64_t queued_of_share(std::string_view share) = 0;
  [[nodiscard]] virtual Totals totals() = 0;
  // Some run of any workspace has not ended.
  [[nodiscard]] virtual bool has_active_runs() = 0;
  // Some attempt of the run, not only the newest, may have a sandbox or a folder yet.
  [[nodiscard]] virtual bool has_open_attempt(const model::RunId& run) = 0;
  // Oldest end first.
  [[nodiscard]] virtual std::vector<EndedRun> ended_runs(const EndedQuery& query) = 0;
  // Oldest first.
  [[nodiscard]] virtual std::vector<DeletedRun> deleted_runs(int limit) = 0;
  // Runs that are cancelling and have no open attempt: nobody but the store's owner can settle them.
  [[nodiscard]] virtual std::vector<model::RunId> cancelling_runs_without_attempt() = 0;
  // The audit chain of a workspace, ascending, number > after, at most `limit`.
  [[nodiscard]] virtual std::vector<model::AuditEntry> audit(std::string_view workspace, std::int64_t after,
                                                             int limit) = 0;
  // Its last entry.
  [[nodiscard]] virtual std::optional<model::AuditEntry> audit_head(std::string_view workspace) = 0;
  // In the order in which they were given, with the withdrawn ones.
  [[nodiscard]] virtual std::vector<StandingRule> standing_rules(const model::RunId& run) = 0;
  // Oldest first.
  [[nodiscard]] virtual std::vector<Webhook> webhooks() = 0;
  // Those of one workspace, whatever the scope is; oldest first.
  [[nodiscard]] virtual std::vector<Webhook> webhooks_of(std::string_view workspace) = 0;
  [[nodiscard]] virtual std::optional<Webhook> webhook(std::string_view id) = 0;
  [[nodiscard]] virtual std::optional<Delivery> delivery(std::string_view id) = 0;
  [[nodiscard]] virtual std::vector<Delivery> deliveries(const DeliveryQuery& query) = 0;
  // Pending ones of an endpoint by the time when they are due, whether that has come or not.
  [[nodiscard]] virtual std::vector<Delivery> next_deliveries(std::string_view webhook, int limit) = 0;
  [[nodiscard]] virtual std::int64_t pending_deliveries(std::string_view webhook) = 0;
  [[nodiscard]] virtual std::optional<Note> note(std::string_view kind, std::string_view id) = 0;
  // Those of a kind whose ids begin so, by their ids, at most `limit`.
  [[nodiscard]] virtual std::vector<Note> notes(std::string_view kind, std::string_view id_prefix = {},
                                                int limit = notes_at_most) = 0;
  // Workspaces and keys know no scope: whoever asks about them judges by what the key may.
  [[nodiscard]] virtual std::optional<WorkspaceRecord> workspace(std::string_view id) = 0;
  // Oldest first, number > after.
  [[nodiscard]] virtual std::vector<WorkspaceRecord> workspaces(std::int64_t after, int limit) = 0;
  [[nodiscard]] virtual std::optional<ApiKey> api_key(std::string_view id) = 0;
  [[nodiscard]] virtual std::optional<ApiKey> api_key_by_hash(std::string_view hash) = 0;
  // Oldest first, number > after, with those that hold no longer.
  [[nodiscard]] virtual std::vector<ApiKey> api_keys(std::int64_t after, int limit) = 0;
  // Of all workspaces, by workspace and version.
  [[nodiscard]] virtual std::vector<DataKey> data_keys() = 0;
  // By version.
  [[nodiscard]] virtual std::vector<DataKey> data_keys(std::string_view workspace) = 0;
  // By workspace and provider.
  [[nodiscard]] virtual std::vector<ProviderKey> provider_keys() = 0;
  [[nodiscard]] virtual std::optional<ProviderKey> provider_key(std::string_view workspace,
                                                                std::string_view provider) = 0;

 private:
  friend class Scoped;
  std::string scope_;
};

// Narrows a reader to a workspace for as long as it lives.
class Scoped {
 public:
  Scoped(Reader& reader, std::string workspace) : reader_(reader) { reader_.scope_ = std::move(workspace); }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  ~Scoped() { reader_.scope_.clear(); }

 private:
  Reader& reader_;
};

class Transaction : public Reader {
 public:
  // Inserts. The id must be new. The first run of a conversation opens it: its row is there from now on.
  // Throws Failure(conflict, turn_taken) when the conversation has a run with this turn number. Runs of one `share`
  // wait for each other, see queued_runs(); `lane` names what they need alike.
  virtual void insert_run(const model::Run& run, std::string_view share = {}, std::string_view lane = {}) = 0;
  // Writes every field but `task`, `input` and `tags`, which never change, and the events' counter, which
  // only append() moves.
  virtual void update_run(const model::Run& run) = 0;
  // Gives the event the run's next number and moves lastEventSeq to it. Throws Failure(conflict,
  // run_not_active) when the run is terminal: nothing follows the terminal event. The terminal event itself
  // is appended before update_run() makes the status terminal. The text of an agent.response is found by
  // RunQuery::text from then on, instead of an earlier one's.
  virtual model::Event append(const model::RunId& run, const model::EventDraft& draft) = 0;
  // Inserts, or replaces the record of the same id.
  virtual void put_artifact(const model::Artifact& artifact) = 0;
  virtual void put_conversation(const Conversation& conversation) = 0;
  // Inserts, or replaces that of the same turn.
  virtual void put_checkpoint(const Checkpoint& checkpoint) = 0;
  virtual void delete_checkpoint(const model::RunId& conversation, int turn_number) = 0;
  virtual void put_approval(const Approval& approval) = 0;
  virtual void put_action(const ActionRecord& action) = 0;
  virtual void insert_attempt(const Attempt& attempt) = 0;
  virtual void update_attempt(const Attempt& attempt) = 0;
  virtual void put_idempotency_key(const IdempotencyKey& key) = 0;
  // Forgets at most `limit` keys whose time was over before then; says how many.
  virtual int purge_idempotency_keys(base::Time expired_before, int limit) = 0;
  virtual void put_upload(const Upload& upload) = 0;
  // Forgets uploads whose time was over at `now`.
  virtual void purge_uploads(base::Time now) = 0;
  // Behind the last entry. The number and the hash are the caller's; throws Failure(conflict, audit_taken)
  // when the number is not the next one.
  virtual void append_audit(const model::AuditEntry& entry) = 0;
  // Inserts, or replaces that of the same id.
  virtual void put_standing_rule(const StandingRule& rule) = 0;
  virtual void put_webhook(const Webhook& webhook) = 0;
  // With its messages.
  virtual void delete_webhook(std::string_view id) = 0;
  // Inserts, or replaces that of the same id: state, attempts, times, answer.
  virtual void put_delivery(const Delivery& delivery) = 0;
  // Forgets at most `limit` messages that were made before then and are not pending for an endpoint that is
  // enabled; says how many.
  virtual int purge_deliveries(base::Time made_before, int limit) = 0;
  virtual void put_spending(const RunSpending& spending) = 0;
  virtual void put_budget_period(const BudgetPeriod& period) = 0;
  // Inserts, or replaces that of the same number.
  virtual void put_allowance_lot(const AllowanceLot& lot) = 0;
  virtual void delete_allowance(const model::RunId& run) = 0;
  // The lowest number >= 0 that no open attempt uses.
  [[nodiscard]] virtual int free_slot() = 0;
  // From now on nothing finds the run, no list, no search, no id; its number is not given again. Its events
  // and records are there, unseen, until remove_deleted() has removed them; its artifacts are still listed.
  // Messages about it go, but those that wait for an endpoint that is enabled. Throws Failure(not_found).
  virtual void delete_run(const model::RunId& run, base::Time now) = 0;
  virtual void delete_artifact(const model::ArtifactId& artifact) = 0;
  // Removes at most `rows` rows of a deleted run and says how many. When there were fewer and no artifact is
  // left, the record that it was deleted goes with them.
  virtual int remove_deleted(const model::RunId& run, int rows) = 0;
  virtual void delete_conversation(const model::RunId& conversation) = 0;
  virtual void delete_delivery(std::string_view id) = 0;
  // Inserts, or replaces name and state of that of the same id.
  virtual void put_workspace(const WorkspaceRecord& workspace) = 0;
  // Inserts, or replaces what may change: expiry, revocation, what it was replaced by.
  virtual void put_api_key(const ApiKey& key) = 0;
  // Unless a later use is known.
  virtual void note_key_use(std::string_view id, base::Time at) = 0;
  // Inserts, or replaces that of the same workspace and version.
  virtual void put_data_key(const DataKey& key) = 0;
  virtual void delete_data_key(std::string_view workspace, int version) = 0;
  // Inserts, or replaces that of the same workspace and provider.
  virtual void put_provider_key(const ProviderKey& key) = 0;
  virtual void delete_provider_key(std::string_view workspace, std::string_view provider) = 0;
  // Inserts, or replaces that of the same kind and id.
  virtual void put_note(const Note& note) = 0;
  // Forgetting what is not there is fine.
  virtual void delete_note(std::string_view kind, std::string_view id) = 0;
};

// Told after each commit, in commit order, on one of the store's threads and by one at a time: post
// elsewhere, return at once. Where several nodes share a store, each is told of the commits of all.
class CommitListener {
 public:
  virtual ~CommitListener() = default;
  // All events of this commit, in the order of their appending. Shared: keep the pointer, do not copy.
  virtual void committed(std::shared_ptr<const std::vector<model::Event>> events) = 0;
  // A run was inserted, changed its state or was deleted in this commit, or its conversation, which it began,
  // was closed.
  virtual void run_changed(const model::RunId& run, model::RunStatus status) = 0;
  // Webhooks, or messages that are to be sent, were added or changed in this commit.
  virtual void outbox_changed() {}
  // Commits may have happened that this node has not been and will not be told of: look at everything again.
  virtual void missed() {}
  // Notes of this kind were put or deleted in this commit.
  virtual void notes_changed(const std::string& /*kind*/) {}
};

// What waits for the store's threads at this moment.
struct Waiting {
  std::size_t writes = 0;
  std::size_t reads = 0;
};

// How long callers waited for their writes, in seconds, and how many writes shared a commit.
struct WriteFigures {
  base::Histogram seconds{{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}};
  base::Histogram batches{{1, 2, 4, 8, 16, 32, 64, 128, 256}};
};

// The io_context of every task that waits here must outlive the store: its threads post to it.
class Store {
 public:
  virtual ~Store() = default;

  // Runs `work` on the writer and resumes after its commit is durable. When `work` throws, its changes are
  // undone and the exception is rethrown here; when it returns a Result that holds an error, its changes are
  // undone too. Failure(unavailable) when the disk refuses; nothing of it is then stored.
  // Cancelling the waiting task does not undo a commit that has begun: the task waits for it.
  //
  // `work` captures by reference (the caller waits anyway) or plain values: g++ 12 destroys a closure that
  // stands in a co_await expression twice.
  //
  //   co_await store.read([id = call.run()](auto& reader) {...});                         // wrong
  //   const auto id = call.run();  co_await store.read([&id](auto& reader) {...});        // right
  template <class Work>
  auto write(Work work) -> base::Task<std::invoke_result_t<Work&, Transaction&>> {
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    return write_for<std::invoke_result_t<Work&, Transaction&>>(work);
  }

  // The same within the scope of a workspace, which lives until the task resumes.
  template <class Work>
  auto write_in(const std::string& workspace, Work work)
      -> base::Task<std::invoke_result_t<Work&, Transaction&>> {
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    return write_for<std::invoke_result_t<Work&, Transaction&>>([&workspace, work](Transaction& tx) mutable {
      const Scoped scoped(tx, workspace);
      return work(tx);
    });
  }
  template <class Work>
  auto read_in(const std::string& workspace, Work work) -> base::Task<std::invoke_result_t<Work&, Reader&>> {
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    return read_for<std::invoke_result_t<Work&, Reader&>>([&workspace, work](Reader& reader) mutable {
      const Scoped scoped(reader, workspace);
      return work(reader);
    });
  }

  // Runs `work` on a reader thread.
  template <class Work>
  auto read(Work work) -> base::Task<std::invoke_result_t<Work&, Reader&>> {
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    return read_for<std::invoke_result_t<Work&, Reader&>>(work);
  }

  // Any thread.
  [[nodiscard]] virtual Waiting waiting() const = 0;

  [[nodiscard]] const WriteFigures& figures() const { return figures_; }

  // Listeners live until the store is destroyed or removed. Safe from any thread.
  virtual void add_listener(CommitListener* listener) = 0;
  virtual void remove_listener(CommitListener* listener) = 0;

  // Stops taking work, commits what is queued, closes. Blocks; afterwards writes fail with unavailable.
  virtual void close() = 0;

 protected:
  // What the templates stand on. `work` returns false to undo its changes. `done` is called exactly once on a
  // thread of the store, with the exception of `work` or of the commit, or null.
  using WriteWork = std::function<bool(Transaction&)>;
  using ReadWork = std::function<void(Reader&)>;
  using Done = std::function<void(std::exception_ptr)>;
  virtual void submit_write(WriteWork work, Done done) = 0;
  virtual void submit_read(ReadWork work, Done done) = 0;

  WriteFigures figures_;  // a backend notes its batches

 private:
  // One coroutine for each kind of result, not for each closure: there are hundreds of these.
  template <class T>
  base::Task<T> write_for(std::function<T(Transaction&)> work);
  template <class T>
  base::Task<T> read_for(std::function<T(Reader&)> work);
  base::Task<void> perform_write(const WriteWork& work);
  base::Task<void> perform_read(const ReadWork& work);
};

}  // namespace agentrouter::store

#include "store/store_impl.h"
