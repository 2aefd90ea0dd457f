#pragma once
// Drives one leased run to its end. Where it stands is always read from the store and the attempt's folder,
// never remembered: each step can be cut off anywhere and is then simply done again, by this process or the
// next.
//
//   claimed -> launched -> followed (journal to store) -> exit -> begin_close -> archive -> finish_close
//           -> keeper told `done` -> folder put away -> attempt retired

#include <atomic>
#include <set>

#include "base/event.h"
#include "base/task_scope.h"
#include "runs/budgets.h"
#include "runs/claim.h"
#include "runs/close.h"
#include "runs/options.h"
#include "worker/attempt_folder.h"
#include "worker/ending.h"
#include "worker/gone_trees.h"
#include "worker/journal_copy.h"
#include "worker/keeper_link.h"
#include "worker/worker.h"

namespace agentrouter::worker {

// What all drivers of a worker share; outlives them.
struct DriverContext {
  Worker::Needs needs;
  WorkerConfig config;
  base::Pool& pool;
  base::Pool& blob_pool;  // for what may have to wait for a store of blobs elsewhere
  std::filesystem::path attempts;  // DATA/attempts
  int attempts_dir = -1;
  Cassettes* cassettes = nullptr;          // never null
  KeptLayers* layers = nullptr;            // none: each later turn is restored from its archive
  GoneTrees* gone = nullptr;               // none: folders of attempts are removed where they are
  std::function<void()> released = [] {};  // the files of an attempt are out of sight
  std::function<void()> removal_due = [] {};    // files can be removed: of attempts that are over, of layers
  std::function<void()> waits_changed = [] {};  // a run waits now, or goes on
  // Every run that holds an allowance waits for more: nobody will give any back.
  std::function<bool()> all_wait = [] { return false; };
  bool stopping = false;
  // A run whose end is already decided is closed and tidied until then, even while the worker stops.
  std::atomic<base::Deadline> finish_until{base::Deadline::max()};

  // Safe from any thread.
  [[nodiscard]] bool out_of_time() const { return base::SteadyClock::now() >= finish_until.load(); }
  [[nodiscard]] runs::Context now() const { return {needs.clock, needs.entropy}; }
  [[nodiscard]] runs::Lease lease() const { return {config.worker_id, config.lease, config.host}; }
  // This worker has all that the run needs.
  [[nodiscard]] bool can_carry_out(const model::Run& run) const {
    return config.claim.offers.missing(needs_of(run)).empty();
  }
  [[nodiscard]] runs::Needs needs_of(const model::Run& run) const;
  // Its folder is in ours.
  [[nodiscard]] bool is_here(const store::Attempt& attempt) const {
    return attempt.host.empty() || attempt.host == config.host;
  }
};

// When a wall clock that now says `clock` will say `time`.
[[nodiscard]] base::Deadline deadline_of(base::Time time, const base::Clock& clock);

// How long a driver rests after a step that has failed so many times in a row: longer each time. While the
// agent runs an outage counts as the first time, as its cancel must not have to wait.
[[nodiscard]] std::chrono::milliseconds rest_after(base::Code trouble, int failed);

class GitFetch;

class RunDriver {
 public:
  enum class Origin { claimed, adopted };
  RunDriver(DriverContext& context, runs::Claim claim, Origin origin);
  ~RunDriver();

  // Resumes when the run is closed and its attempt retired, when another worker has it, or soon after the
  // context is stopping. Never throws.
  base::Task<void> run();

  [[nodiscard]] const model::RunId& run_id() const { return claim_.run.id; }
  [[nodiscard]] const store::Attempt& attempt() const { return claim_.attempt; }
  [[nodiscard]] runs::Fence fence() const { return claim_.fence(); }
  // What became of the attempt to renew that lease. One that is lost is not touched any more: no message, no
  // signal, no file.
  void lease_renewed(const runs::Fence& fence, base::Deadline asked);
  void lease_lost(const runs::Fence& fence);
  [[nodiscard]] bool has_lost_lease() const { return lost_; }
  void cancel_requested();
  void decision_made();
  // Something was given back to the budgets.
  void budgets_changed();
  [[nodiscard]] bool holds_allowance() const { return holds_allowance_; }
  [[nodiscard]] bool waits_for_allowance() const { return waits_for_allowance_; }
  // For a person, or for its provider's limit.
  [[nodiscard]] bool waits() const { return waits_for_quota_ || !open_questions_.empty(); }
  // Files of policies have changed.
  void policies_changed();
  // The context is stopping: what waits looks again.
  void stop();

 private:
  enum class Next { again, ended };

  base::Task<Next> step();
  base::Task<void> refresh();
  base::Task<Next> step_unclosed();
  base::Task<bool> keeper_lives();

  // Starting: nothing, or why the run cannot be started. `launcher_lost`: this attempt cannot.
  static constexpr std::string_view launcher_lost = "launcher_lost";
  base::Task<std::optional<model::RunFailure>> start();
  base::Task<std::optional<model::RunFailure>> find_provider();
  base::Task<std::optional<model::RunFailure>> take_own_key(store::ProviderKey key);
  std::optional<model::RunFailure> check_provider() const;
  void note_key_use(store::Transaction& tx) const;
  std::optional<model::RunFailure> check_isolation(const runs::RunOptions& options) const;
  [[nodiscard]] keeper::Provider plan_provider() const;
  static model::RunFailure cassette_failure(const base::Error& error);
  base::Task<std::optional<model::RunFailure>> place_cassette();
  std::optional<model::RunFailure> find_image(const std::string& asked);
  base::Task<base::Result<sandbox::Launched>> launch(const PreparedAgent& agent, int plan_end);
  base::Task<base::Result<void>> place_state();
  base::Task<base::Result<void>> place_archive();
  base::Task<base::Result<sandbox::Launched>> launch_on_state(const PreparedAgent& agent, int plan_end);
  base::Task<std::optional<model::RunFailure>> find_base();
  base::Task<std::optional<model::RunFailure>> fetch_repository();
  base::Task<std::optional<model::RunFailure>> admit_path();
  base::Task<base::Result<workspace::Trees::Held>> find_tree(std::string tree);
  base::Task<bool> hand_over_plan(base::Fd end, const PreparedAgent& agent);
  [[nodiscard]] std::string model_of_run() const;
  [[nodiscard]] model::ApprovalScope scope_of(const runs::RunOptions& options) const;
  [[nodiscard]] const ProviderConfig& provider() const;

  // Following: the exit record, or nothing when the keeper has to be looked at anew.
  base::Task<std::optional<ExitRecord>> follow();
  base::Task<void> pass_cancel(bool& sent);
  base::Task<void> kill_deaf_keeper();
  base::Task<void> check_token();
  base::Task<bool> connect();
  base::Task<std::optional<ExitRecord>> copy_up_to(std::uint64_t length);
  base::Task<void> read_waits();
  void note_waits(const runs::JournalBatch& batch);
  base::Task<void> deliver_decisions();
  base::Task<void> deliver_policy();
  base::Task<void> expire_approvals();
  base::Task<std::optional<model::RunFailure>> reserve_allowance();
  base::Task<void> grow_allowance();
  base::Task<void> stage_logs();
  base::Task<void> drop_link();
  base::Task<std::optional<ExitRecord>> read_rest();
  base::Task<void> give_up_attempt();
  base::Task<bool> is_safe_to_repeat();
  base::Task<std::optional<runs::Claim>> next_attempt(const runs::Claim& lost, std::string_view reason);
  base::Task<void> end_lost(std::string_view code, std::string why);

  // Closing.
  base::Task<void> close(ExitRecord exit, std::string open_execution_reason);
  base::Task<void> fail(model::RunFailure failure);
  base::Task<void> keep_cassette(const std::string& name);
  base::Task<void> drop_box();
  base::Task<void> keep_layer(const ExitRecord& exit, const runs::Ending& ending);
  base::Task<void> archive();
  base::Task<void> clean_up();
  base::Task<void> dismiss_keeper();
  base::Task<void> release(const runs::Claim& claim);

  void note_cancel();
  void stop_unpacking();
  void hold_until(base::Deadline asked);
  base::Task<void> hold_lease();
  void check_lease() const;
  void check_stopping() const;
  void check_time() const;
  base::Task<void> pause(std::chrono::milliseconds time);
  base::Task<void> rest(std::chrono::milliseconds time);
  bool open_folder();
  void close_folder();

  DriverContext& context_;
  runs::Claim claim_;
  bool fresh_;
  bool lost_ = false;  // the lease
  base::Deadline lease_until_;
  int closing_tries_ = 0;  // in a row, to store the run's end
  bool cancel_due_ = false;
  bool cancel_heard_ = false;
  bool cancel_late_ = false;  // the keeper is given more time to hear it
  bool decisions_due_ = true;
  bool policy_due_ = true;
  std::string policy_sent_;    // its version
  bool allowance_due_ = true;  // a wish for more may be granted
  std::uint64_t wishes_seen_ = 0;
  bool holds_allowance_ = false;
  bool waits_for_allowance_ = false;
  bool waits_for_quota_ = false;
  std::set<model::ActionId> open_questions_;
  std::optional<runs::Allowance> allowance_;
  bool stranger_told_ = false;  // that the keeper is of a version that is not known
  bool approvals_due_ = true;  // deadlines of questions have to be looked at
  base::Deadline approval_deadline_ = base::Deadline::max();
  std::optional<store::Checkpoint> state_;    // of an earlier turn, with which this one begins
  std::optional<KeptLayers::Ground> ground_;  // its layers, if it is there as such
  bool restores_ = false;                     // its archive was placed in the folder
  bool files_only_ = false;                   // of that state, only the workspace's
  std::string resume_thread_;
  std::optional<store::ProviderKey> own_key_;  // the workspace's, as it is stored; none: the server's is used
  ProviderConfig own_provider_;                // with it, without the key itself
  base::SecretBuffer key_;                     // in clear, until the keeper has it
  std::optional<policy::Rules> rules_;  // that the run is held to
  keeper::EgressPlan egress_;           // what that lets it reach
  std::string lower_;                   // the folder that the workspace stands on; empty for a scratch tree
  std::optional<ImageRoot> image_;      // the sandbox's root; none: the host's programs
  GitFetch* fetch_ = nullptr;           // under way
  std::string cassette_;                // the run's, where one is recorded or played
  std::shared_ptr<void> tree_hold_;     // keeps it, if it is a base tree
  std::function<void()> stop_waiting_;  // for a keeper that comes up
  std::function<void()> hurry_;         // wait for it only a moment more
  bool damaged_ = false;                // the journal of a dead keeper cannot be trusted
  std::optional<base::Deadline> cancel_deadline_;
  std::optional<model::RunFailure> broken_;
  std::optional<AttemptFolder> folder_;
  std::optional<LogArchive> stdout_log_;
  std::optional<LogArchive> stderr_log_;
  base::Fd journal_;
  std::unique_ptr<KeeperLink> link_;
  base::Event wake_;
  base::Event staging_;
  base::TaskScope link_scope_;
};

}  // namespace agentrouter::worker
