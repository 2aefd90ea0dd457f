#pragma once
// The actions of one turn at approvalScope "action": each question of the agent is one, from action.proposed
// to execution.completed or .failed. Nothing is let go before `released` is on the disk, and then exactly
// what was proposed: a decision counts for one action and its digest. What nobody decides about does not run.

#include <map>
#include <vector>

#include "agents/session.h"
#include "base/event.h"
#include "egress/egress.h"
#include "keeper/action_judge.h"
#include "keeper/protocol.h"
#include "keeper/recorder.h"
#include "model/action.h"

namespace agentrouter::keeper {

// What the agent is to be told.
struct ActionReply {
  std::string ask_id;
  std::string call_id;
  std::string action_id;
  agents::Answer answer = agents::Answer::decline;
  std::string reason = {};  // of a decline: for the agent
  std::string code = {};    // the same as a stable word
};

class ActionGate {
 public:
  struct Needs {
    Recorder& recorder;
    const AttemptPlan& plan;
    const base::Clock& clock;
    std::string prior_event_id;  // execution.started of the launch
  };
  explicit ActionGate(Needs needs);

  // All of these throw Failure as the recorder does; then nothing was let go.

  // A question comes: proposed and judged. Without a reply a person is asked, or `review` wants a reviewer's
  // word.
  struct Step {
    std::optional<ActionReply> reply;
    bool review = false;
  };
  Step take(const agents::Ask& ask);
  // The reviewer's word. Nothing when the question was taken back meanwhile.
  std::optional<ActionReply> reviewed(const agents::Ask& ask, const policy::ToolVerdict& verdict);
  // A decision. One about an action that is not asked about (any more) is ignored. `end` is there when the
  // run ends by it: nobody decided in time.
  struct Decided {
    std::optional<ActionReply> reply;
    std::optional<model::RunFailure> end;
  };
  Decided decide(const DecisionMessage& message);
  // The ask id of the question that a decision is about; empty when nobody was asked, or about another one.
  [[nodiscard]] std::string asked(const DecisionMessage& message) const;
  // A person approved the action with other input: from now on it is this, with digests of its own, and still
  // judged. The approval is for the earlier one's digest, and both are recorded.
  void edited(const agents::Ask& ask, const DecisionMessage& message);
  // The plan's rules have become stricter: what they deny now and a person is asked about is refused.
  std::vector<ActionReply> judge_again();
  // A tools/call of this server, tool and arguments leaves: the action that it belongs to, which was let go
  // and whose call had not left yet.
  std::optional<std::string> take_call(std::string_view server, std::string_view tool,
                                       const json::value& arguments);
  // What was let go for a request of its own (ask.tool network) has ended.
  void finish(const std::string& call_id, const egress::RequestRecord& record);
  // The agent took its question back.
  void withdraw(const std::string& ask_id);

  // What an event of the agent says about a call. Read it before the event is recorded, tell it afterwards.
  struct Sight {
    bool begins = false;
    std::string call_id;
    std::string tool;    // when it begins
    std::string status;  // when it ends
    std::optional<std::int64_t> exit_code;
    std::optional<std::int64_t> duration_ms;
  };
  [[nodiscard]] static std::optional<Sight> sight_of(const agents::EmitEvent& event);
  // False when the call ran although it was never let go.
  [[nodiscard]] bool see(const Sight& sight);

  // The turn is over: what is asked is refused, and what runs has failed for this reason.
  void end(std::string_view reason);
  // A person is asked about something.
  [[nodiscard]] bool waiting() const;

 private:
  struct Question {
    model::Action action;  // without its body, once everybody was told
    std::string name;
    std::string call_id;
    std::string prior_event_id;
    bool asked = false;              // a person; else a reviewer
    std::string edited_from;         // the digest that was asked about, when it is another one now
    std::string denied;              // why the edited action may not run
    std::string mcp_call;            // of an MCP action: the digest of its server, tool and arguments
    std::optional<agents::Ask> ask;  // to judge it again, where rules may change
    std::size_t ask_bytes = 0;
  };
  struct Execution {
    model::Action action;
    std::string call_id;
    std::string id;
    std::string started_event_id;
    std::string mcp_call;
    bool left = false;  // the call of an MCP action
  };

  [[nodiscard]] json::object body_of(const agents::Ask& ask) const;
  Question propose(const agents::Ask& ask);
  [[nodiscard]] std::string impossible(const agents::Ask& ask) const;
  [[nodiscard]] ActionVerdict judge(const agents::Ask& ask) const;
  void evaluated(Question& question, const agents::Ask& ask, json::object fields);
  void request(Question& question, const agents::Ask& ask);
  void keep(Question& question, const agents::Ask& ask);
  void forget(Question& question);
  ActionReply release(const std::string& ask_id, Question question);
  ActionReply refuse(const std::string& ask_id, const Question& question, std::string_view code,
                     std::string reason);
  void ended(const Execution& execution, const Sight& sight);
  void failed(const Execution& execution, std::string_view reason);
  [[nodiscard]] json::object outcome(const Execution& execution, std::string_view status);

  Needs needs_;
  std::vector<std::string> environment_;           // names
  std::map<std::string, Question> questions_;      // by ask id
  std::vector<Execution> executions_;              // that have not ended
  std::map<std::string, std::string> open_calls_;  // tool by call id
  std::size_t kept_bytes_ = 0;                     // of questions that may be judged again
};

}  // namespace agentrouter::keeper
