#pragma once
// What follows when the agent makes no progress: a warning, an interrupt with words for the agent, a question
// to a person whether the run goes on, or its end. The signals come from policy::NoProgress, what follows
// from the policy that the run is held to. One for all turns of an attempt.
//
// The question is an action of its own: type continue, name <kind>.continue, schema agentrouter.continue.v1,
// its args the fields of the signal and which of the run it is. It lives as any other: a decision counts for
// its digest, nothing goes on before `released` is on the disk, and if the keeper is lost it is void.

#include <optional>
#include <string>

#include "keeper/plan.h"
#include "keeper/protocol.h"
#include "keeper/recorder.h"
#include "model/action.h"
#include "policy/no_progress.h"

namespace agentrouter::keeper {

class ProgressGate {
 public:
  // The references outlive it.
  ProgressGate(Recorder& recorder, const AttemptPlan& plan);

  [[nodiscard]] policy::NoProgress& signals() { return signals_; }
  // The cause of what is asked: execution.started of the launch.
  void begin(std::string execution_event_id) { prior_event_id_ = std::move(execution_event_id); }

  // The rules of the run have become stricter.
  void tighten(const policy::Rules& rules) { signals_.use(rules.no_progress()); }

  // What follows from a signal, whose fields get `action`, and of a dry run `dryRun` and `wouldBe`. While a
  // person is asked nothing further follows: that question is about the whole run.
  [[nodiscard]] policy::Intervention judge(json::object& signal);

  // All of these throw Failure as the recorder does; then nothing goes on.

  // Asks a person. Not while one is asked.
  void ask(const json::object& signal);
  [[nodiscard]] bool asking() const { return question_.has_value(); }
  // False when the decision is about something else. Otherwise nobody is asked any more, and `failure` says
  // whether the run ends: approval_denied, approval_expired, approval_digest_mismatch.
  [[nodiscard]] bool decide(const DecisionMessage& message);
  [[nodiscard]] const std::optional<model::RunFailure>& failure() const { return failure_; }
  // The run ends for another reason.
  void withdraw();
  // What was decided could not be recorded: nobody is asked any more, and the run ends.
  void break_off(model::RunFailure failure);

  // The run's failure when a signal stops it: no_progress, its cause the signal.
  [[nodiscard]] static model::RunFailure stopped_by(const json::object& signal);
  // What the agent reads when it goes on after an interrupt by this signal.
  [[nodiscard]] static std::string message_about(const json::object& signal);
  // What it reads when a person let it go on and its turn had ended meanwhile.
  [[nodiscard]] std::string message_of_person() const;

 private:
  struct Question {
    model::Action action;
    json::object signal;
  };
  void refuse(std::string_view code);
  void release(const DecisionMessage& message);
  void end_run(std::string code, std::string reason);

  Recorder& recorder_;
  const AttemptPlan& plan_;
  policy::NoProgress signals_;
  std::string prior_event_id_;
  int occurrences_ = 0;
  int interrupts_ = 0;
  std::optional<Question> question_;
  std::optional<model::RunFailure> failure_;
  std::string persons_word_;
};

}  // namespace agentrouter::keeper
