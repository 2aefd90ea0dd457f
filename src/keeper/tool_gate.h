#pragma once
// What happens to a question of the agent about one tool call, when only its launch was asked about: the mode
// allows it, denies it, or wants a reviewer's word. A denial and every reviewed verdict become
// policy.evaluated, so that nobody has to guess why a call did not run. When in doubt, it does not.

#include <deque>

#include "agents/review.h"
#include "egress/egress.h"
#include "keeper/plan.h"
#include "keeper/recorder.h"
#include "policy/policy.h"

namespace agentrouter::keeper {

// Sends a reviewer's request to the provider, from outside of the sandbox.
using AskProvider = std::function<base::Task<base::Result<egress::Answer>>(agents::ReviewRequest request)>;

class ToolGate {
 public:
  struct Needs {
    Recorder& recorder;
    const AttemptPlan& plan;
    std::string task;            // of the run
    std::string prior_event_id;  // execution.started
    AskProvider ask_provider;
  };
  explicit ToolGate(Needs needs) : needs_(std::move(needs)) {}

  // Told of each event of the agent before it is recorded: a reviewer is shown the calls before the one it
  // judges.
  void see(const agents::EmitEvent& event);
  // Reports a denial. `review` leaves the word to review().
  policy::ToolVerdict judge(const agents::Ask& ask);
  // Asks the reviewer and reports its verdict: allow or deny, never anything else. What cannot be asked, does
  // not answer or answers anything but a clear "allow" is a denial.
  base::Task<policy::ToolVerdict> review(agents::Ask ask);
  // The same without the report.
  base::Task<policy::ToolVerdict> reviewers_word(agents::Ask ask);

 private:
  base::Task<agents::ReviewVerdict> ask_reviewer(const agents::Ask& ask);
  [[nodiscard]] agents::ReviewSubject subject_of(const agents::Ask& ask) const;
  void report(const agents::Ask& ask, std::string_view policy, const policy::ToolVerdict& verdict);

  Needs needs_;
  std::deque<agents::ListedCall> listed_;  // the newest
  std::size_t omitted_ = 0;                // calls before those
};

}  // namespace agentrouter::keeper
