#pragma once
// One turn of the agent: its process, its protocol, its limits. Bytes of its stdout go through the session
// and come out as events in the journal, answers on its stdin and lines in its log. Reading stops while what
// follows from it cannot be passed on, so a flood costs time and not memory.

#include <list>

#include "agents/session.h"
#include "base/task_scope.h"
#include "keeper/action_gate.h"
#include "keeper/agent_log.h"
#include "keeper/limit_watch.h"
#include "keeper/notices.h"
#include "keeper/open_calls.h"
#include "keeper/plan.h"
#include "keeper/progress_gate.h"
#include "keeper/recorder.h"
#include "keeper/resources.h"
#include "keeper/tool_gate.h"

namespace agentrouter::keeper {

struct TurnEnd {
  std::optional<agents::Outcome> outcome;    // what the agent's protocol says
  std::optional<model::RunFailure> failure;  // what we say: limits, a lost process. Goes before the outcome
  std::optional<agents::EmitEvent> closing_event;  // agent.completed or agent.error, held back
  bool cancelled = false;
  std::optional<sandbox::Exited> exited;
  std::chrono::milliseconds waited{0};  // for people: it does not count as time of the run
  bool held = false;  // the agent ended it while a person was asked whether the run goes on
  // The agent was interrupted to be told this: it goes on in its thread.
  std::optional<std::string> redirected;
};

enum class Hold { hold, release };

class Turn {
 public:
  struct Needs {
    base::Executor executor;
    Sandbox& sandbox;
    Notices& notices;
    Recorder& recorder;
    AgentLog& stdout_log;
    AgentLog& stderr_log;
    agents::Session& session;
    const AttemptPlan& plan;
    ToolGate& gate;
    ActionGate* actions = nullptr;  // where something is an action
    bool gates_calls = false;       // each call of the agent is one, not only requests of the sandbox
    LimitWatch* limits = nullptr;   // none: nothing is limited beyond the plan's own
    ProgressGate& progress;
    // No request of the agent leaves until it is told to let them go.
    std::function<void(Hold)> hold_requests;
    // Provider requests under way: an agent that waits for one is not quiet.
    std::function<std::size_t()> open_forwards;
    // Takes what became of a question that the agent did not ask: a request of the sandbox. False for others.
    std::function<bool(const ActionReply&)> answer_request = {};
    // Goes on with what an earlier turn of this attempt began: it tells no agent.started.
    bool goes_on = false;
  };
  explicit Turn(Needs needs);
  ~Turn();

  // Resumes when the turn is over and nothing runs inside any more. Call once.
  //
  // Failure codes of our own: agent_missing, agent_exited, output_limit, wall_limit, memory_limit, disk_limit,
  // agent_protocol_error (quiet for too long), ungated_tool_call, approval_expired, storage_full,
  // worker_failed, no_progress, and those of ProgressGate. Never throws.
  base::Task<TurnEnd> run();
  // Interrupts the agent; kills it after the grace.
  void cancel();
  // As agent.started said it; before that, the one to resume.
  [[nodiscard]] const std::string& thread_id() const { return thread_id_; }
  // About an action; once the turn is over it changes nothing.
  void decide(const DecisionMessage& message);
  // A person has decided whether the run goes on.
  void progress_decided();
  // The plan's rules have become stricter.
  void judge_again();
  // A request of the sandbox is an action of its own; what becomes of it goes to answer_request. It was taken
  // back, or what was let go is over.
  void propose_request(const agents::Ask& ask);
  void withdraw_request(const std::string& ask_id);
  void request_done(const std::string& call_id, const egress::RequestRecord& record);
  // Something happened elsewhere (a provider request): the agent is alive.
  void touch();
  // The disk is full: nothing more is read of the agent, and the run's time stands still.
  void hold_for_disk(Hold wish);
  // Ends the turn for a reason from elsewhere.
  void abort(model::RunFailure failure);
  // The same, but lets the agent end it: it is interrupted, and killed after the grace. Nothing while it has
  // a call open, or when the turn is ending anyway.
  void give_up(model::RunFailure failure);
  // Ends the turn whatever the agent is doing, and whatever it says to that: it is interrupted, and killed
  // after the grace.
  void stop(model::RunFailure failure);
  // What counts as time of the run, so far.
  [[nodiscard]] std::chrono::milliseconds taken() const;

 private:
  using Pipe = asio::posix::basic_stream_descriptor<base::Executor>;

  bool start();
  base::Task<void> supervise();
  base::Task<void> settle_exit();
  base::Task<void> settle_disk();
  void see_disk();
  void see_memory();
  [[nodiscard]] std::uint64_t memory_kills() const;
  base::Task<void> end_process();
  base::Task<void> guarded(base::Task<void> task);
  base::Task<void> read_stdout();
  base::Task<void> read_stderr();
  base::Task<void> write_stdin();
  base::Task<void> relay_notices();
  void handle(agents::Outputs outputs);
  agents::Outputs judge(const agents::Ask& ask);
  agents::Outputs answer(const agents::Ask& ask, const policy::ToolVerdict& verdict);
  agents::Outputs propose(const agents::Ask& ask);
  bool may_act();
  agents::Outputs refuse(const agents::Ask& ask);
  agents::Outputs outputs_of(const ActionReply& reply);
  base::Task<void> review(agents::Ask ask);
  base::Task<void> review_action(agents::Ask ask);
  void edit(const DecisionMessage& message);
  void on_actions(const std::function<void()>& work);
  void watch_waiting();
  void end_actions();
  void close_calls();
  void emit(agents::EmitEvent event);
  void record(agents::EmitEvent event);
  void signal(agents::EmitEvent event);
  void report(policy::NoProgress::Found found);
  void hold();
  void redirect(std::string message);
  bool check_silence();
  // Nothing of the agent goes on before a person has decided.
  [[nodiscard]] bool held() const { return needs_.progress.asking() && !end_.cancelled; }
  base::Task<void> while_held();
  base::Task<void> while_disk_is_full();
  bool count_output(std::size_t bytes);
  bool count_written(std::uint64_t bytes);
  base::Task<void> slow_down(std::size_t bytes);
  bool check_limits();
  [[nodiscard]] base::Deadline next_deadline() const;
  void fail(std::string_view code, std::string reason);
  void fail_with(const base::Error& error);
  [[nodiscard]] bool over() const { return end_.outcome.has_value() || end_.failure.has_value(); }
  [[nodiscard]] bool was_out_of_memory(const sandbox::Exited& exited) const;

  Needs needs_;
  TurnEnd end_;
  std::string thread_id_;
  OpenCalls calls_;
  TextLines stderr_lines_;
  LogGrowth stdout_growth_, stderr_growth_;
  pid_t pid_ = -1;
  std::uint64_t kills_before_ = 0;
  MemoryKills kills_;
  RecentKills recent_kills_;
  base::Deadline memory_look_ = {};
  std::uint64_t output_bytes_ = 0;
  base::Deadline output_until_ = {};  // when what was written so far is written at the rate that is allowed
  std::list<std::string> to_write_;
  std::size_t to_write_bytes_ = 0;
  bool close_stdin_ = false;
  bool stdout_ended_ = false;
  bool interrupted_ = false;
  bool disk_is_full_ = false;
  std::optional<model::RunFailure> given_up_;
  bool stopped_ = false;  // whatever the outcome
  base::Deadline began_ = base::SteadyClock::now();
  std::optional<std::string> redirected_;
  bool silence_told_ = false;
  agents::Outputs held_asks_;
  std::list<DecisionMessage> held_decisions_;
  base::Deadline wall_deadline_;
  base::Deadline quiet_since_;
  base::Deadline grace_deadline_ = base::Deadline::max();
  std::optional<base::Deadline> waiting_since_;  // for a person
  Pipe stdin_;
  Pipe stdout_;
  Pipe stderr_;
  base::Event wake_;     // something for supervise()
  base::Event writing_;  // something for write_stdin(), or room for read_stdout()
  base::TaskScope scope_;
};

}  // namespace agentrouter::keeper
