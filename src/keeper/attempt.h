#pragma once
// One attempt from a ready sandbox to its `exit` record, whatever happens in between: gate, turn, collection,
// teardown. It always writes `exit`, and the last events before it are agent.completed or agent.error, then
// execution.completed or execution.failed.

#include <span>

#include "base/task_scope.h"
#include "keeper/collection.h"
#include "keeper/credential_boundary.h"
#include "keeper/disk_hold.h"
#include "keeper/launch_gate.h"
#include "keeper/limit_watch.h"
#include "keeper/network_gate.h"
#include "keeper/provider_watch.h"
#include "keeper/tape.h"
#include "keeper/turn.h"
#include "keeper/way_out.h"
#include "net/client.h"
#include "sim/simulator.h"

namespace agentrouter::keeper {

// storage_full or worker_failed.
[[nodiscard]] model::RunFailure failure_of_error(const base::Error& error);

// The second and the third outlive the session; the third as TurnSpec::hidden.
using SessionFactory = std::function<std::unique_ptr<agents::Session>(const AttemptPlan&, policy::NoProgress&,
                                                                      const base::Redactor&)>;

class Attempt {
 public:
  struct Needs {
    base::Executor executor;
    Sandbox& sandbox;
    int attempt_dir = -1;
    const AttemptPlan& plan;
    const egress::Secret* key = nullptr;               // of an upstream
    std::span<const egress::Secret> mcp_secrets = {};  // ReceivedPlan's
    const net::TlsContext* tls = nullptr;
    const EgressSecrets* egress = nullptr;          // ReceivedPlan's; none: there are none
    const net::TlsContext* outbound_tls = nullptr;  // for other hosts whose requests are looked into
    Recorder& recorder;
    const base::Clock& clock;
    base::Entropy& entropy;
    SessionFactory make_session;
    DiskPatience disk_patience = {};
  };
  explicit Attempt(Needs needs);
  ~Attempt();

  // Resumes when `exit` is in the journal and durable. Never throws; false when not even `exit` could be
  // written, or there is none: the sandbox has gone before anything was let go, and another attempt may do it all.
  base::Task<bool> run();

  void decide(const DecisionMessage& message);
  // The policy's files say this now: from here on it counts beside what the run began with, so that it can
  // only become stricter. Nothing where the run is held to no policy.
  void tighten(const PolicyMessage& message);
  void cancel();
  // Of the budgets over runs.
  void grant(const LeaseMessage::Allowance& allowance);
  // Called when more of them is wanted.
  void on_wish(std::function<void(const policy::Amount& have, const policy::Amount& needed)> listener) {
    limits_.on_wish(std::move(listener));
  }
  // Answers a request for the workspace's files (workspace/file_request.h) through a pipe, whose read end it
  // gives. Errors: unavailable (the workspace is not there yet, or the turn is over), exhausted.
  base::Result<base::Fd> open_files(const std::string& request);

 private:
  enum class Holder : unsigned { person = 1, disk = 2 };
  struct Result {
    enum class Kind { completed, failed, cancelled };
    Kind kind = Kind::failed;
    model::RunFailure failure;
    std::optional<agents::Outcome> outcome;
    std::optional<agents::EmitEvent> closing_event;
    std::optional<int> exit_code;
  };

  base::Task<void> drive();
  base::Task<bool> restore();
  [[nodiscard]] bool goes_on() const;
  [[nodiscard]] TurnStart turn_start() const;
  base::Task<void> take_turn(GateResult gate);
  void announce();
  base::Task<bool> prove_boundary();
  [[nodiscard]] bool has_lost_sandbox(const base::Error& error);
  void fail_boundary(const base::Result<BoundaryReport>& report);
  base::Task<void> run_turns(const std::string& started);
  base::Task<TurnEnd> run_turn(const std::string& started);
  void watch_provider();
  base::Task<void> watch_time();
  base::Task<void> watch_disk();
  void hold_for_disk(Hold wish);
  void hold_requests(Holder who, Hold wish);
  base::Task<bool> goes_on_after(TurnEnd& end);
  base::Task<bool> waited_for_person(TurnEnd& end);
  base::Task<bool> waited_for_quota(TurnEnd& end);
  base::Task<void> wait_until(base::Time time);
  void go_on(const TurnEnd& end, std::string message);
  [[nodiscard]] std::optional<agents::TokenUsage> usage_of_agent() const;
  void judge(TurnEnd end);
  base::Result<void> open_egress();
  base::Result<std::vector<egress::McpUpstream>> mcp_upstreams() const;
  base::Task<void> close_egress();
  void close_execution(const GateResult& gate, const std::string& started, const std::string& execution);
  base::Task<void> finish();
  bool decide_progress(const DecisionMessage& message);
  void set_failure(std::string_view code, std::string reason);
  bool clean_changes(workspace::CollectReport& report);
  base::Task<void> save();
  json::object exit_record();
  void put_answer(json::object& exit);
  void put_usage(json::object& exit) const;
  void put_changes(json::object& exit) const;
  void put_checkpoint(json::object& exit) const;
  void put_driver(json::object& into) const;

  Needs needs_;
  Notices notices_;
  ProviderWatch watch_;
  LimitWatch limits_;
  egress::Spending spending_;
  AttemptPlan turn_plan_;  // of the turn that runs: after a wait the agent goes on with its thread
  LaunchGate gate_;
  ProgressGate progress_;
  Tape tape_;
  sim::Simulator simulator_;
  std::unique_ptr<egress::Egress> egress_;
  std::optional<AgentLog> stdout_log_;
  std::optional<AgentLog> stderr_log_;
  std::unique_ptr<ToolGate> tools_;
  std::unique_ptr<ActionGate> actions_;  // where each call is an action
  NetworkGate network_;                  // the same, and where [[egress]] asks
  WayOut way_out_;
  std::unique_ptr<agents::Session> session_;
  std::unique_ptr<Turn> turn_;
  policy::QuotaWaits waits_;
  std::string next_message_;  // what the agent reads when it goes on
  int resumptions_ = 0;       // of this attempt's agent
  std::optional<agents::TokenUsage> earlier_usage_;  // of the turns before a wait
  double earlier_cost_ = 0;
  std::chrono::milliseconds earlier_time_{0};  // of those turns
  unsigned holders_ = 0;  // of requests
  bool cancelled_ = false;
  Result result_;
  std::optional<workspace::CollectReport> changes_;
  struct {
    bool index = false;
    bool patch = false;
    bool turn_patch = false;
  } redacted_;  // artifacts that held a secret
  std::optional<workspace::CheckpointReport> checkpoint_;
  std::string checkpoint_error_;
  bool helping_ = false;   // our own program is at work in the sandbox, before the agent
  bool released_ = false;  // the agent may have been started
  bool lost_ = false;      // the sandbox was gone before that
  bool gone_ = false;
  bool files_open_ = false;
  std::set<pid_t> readers_;  // of files, as far as known still running
  base::TaskScope scope_;
};

}  // namespace agentrouter::keeper
