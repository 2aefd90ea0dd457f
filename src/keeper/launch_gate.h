#pragma once
// The first action of a run, starting its agent, from proposal to release: proposed, judged, asked for where
// a person decides, then released or refused. Nothing starts before `released` is on the disk.

#include "base/event.h"
#include "keeper/action_judge.h"
#include "keeper/plan.h"
#include "keeper/protocol.h"
#include "keeper/recorder.h"

namespace agentrouter::keeper {

struct GateResult {
  enum class Kind { released, refused, cancelled };
  Kind kind = Kind::cancelled;
  model::RunFailure failure;  // of refused
  model::Action action;
  std::string prior_event_id;  // the cause of execution.started
};

class LaunchGate {
 public:
  // The references outlive it.
  LaunchGate(base::Executor executor, Recorder& recorder, const AttemptPlan& plan, const base::Clock& clock);

  // Waits for a person in manual mode, and where a rule of the policy asks. Throws Failure as the recorder
  // does.
  base::Task<GateResult> pass();
  // A decision about another action, or one that nobody asked for, is ignored.
  void decide(const DecisionMessage& message);
  // The plan's rules have become stricter: while a person is asked, what they deny now is refused.
  void judge_again();
  void cancel();

 private:
  // The id of the event.
  std::string evaluated(const std::string& prior, ActionVerdict verdict);
  base::Task<void> wait_for_decision(const std::string& evaluated);
  GateResult stay_closed();
  GateResult ask_result(const DecisionMessage& decision);
  GateResult release(std::string prior_event_id);
  GateResult refuse(std::string_view code, std::string_view reason);

  Recorder& recorder_;
  const AttemptPlan& plan_;
  const base::Clock& clock_;
  model::Action action_;
  bool asked_ = false;
  bool cancelled_ = false;
  bool judge_again_ = false;
  std::optional<std::string> denied_;  // by stricter rules: the reason
  std::optional<DecisionMessage> decision_;
  base::Event wake_;
};

}  // namespace agentrouter::keeper
