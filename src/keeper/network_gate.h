#pragma once
// What leaves the sandbox for somebody else than the model's provider: where each action is judged, requests to
// the run's MCP servers; and requests and connections to other hosts that a rule of [[egress]] asks about. A call that belongs to an MCP action that was let go passes with it, once. What
// only keeps a connection up passes unless a rule of the policy names it. Everything else is an action of its
// own, of the tool `network`, and is held until somebody has decided about it.

#include <map>

#include "egress/request_gate.h"
#include "keeper/action_gate.h"
#include "keeper/turn.h"

namespace agentrouter::keeper {

class NetworkGate final : public egress::RequestGate {
 public:
  static constexpr std::size_t held_at_most = 16;
  static constexpr std::chrono::minutes held_for{10};

  struct Needs {
    const AttemptPlan& plan;
    const base::Clock& clock;
    base::Entropy& entropy;
    const base::Redactor& hidden;  // as TurnSpec::hidden
    std::chrono::milliseconds held_for = NetworkGate::held_for;
  };
  explicit NetworkGate(Needs needs) : needs_(needs) {}

  // The turn that runs, and its actions. While there is none every request is refused.
  void open(Turn& turn, ActionGate& actions);
  // What is held is refused.
  void close();
  // What became of a question. False when it is no request's.
  bool answer(const ActionReply& reply);

  base::Task<egress::Pass> pass(egress::HeldRequest request, Asker asker) override;
  void done(const std::string& call_id, const egress::RequestRecord& record) override;

 private:
  struct Held {
    base::Event& changed;
    std::optional<egress::Pass> pass = {};
  };
  class Place;

  [[nodiscard]] bool keeps_up(const egress::HeldRequest& request) const;
  base::Task<egress::Pass> hold(agents::Ask ask, Asker asker);

  Needs needs_;
  Turn* turn_ = nullptr;
  ActionGate* actions_ = nullptr;
  std::map<std::string, Held*> held_;  // by ask id
};

// The question that such a request is.
[[nodiscard]] agents::Ask ask_of(const egress::HeldRequest& request, std::string id,
                                 const base::Redactor& hidden);

}  // namespace agentrouter::keeper
