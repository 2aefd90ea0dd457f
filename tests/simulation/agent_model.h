#pragma once
// An attempt without a sandbox: the keeper's own gates, journal and words, around an agent that is drawn from the
// seed. It says things, wants to do things, asks its provider, and ends in some way.

#include "base/event.h"
#include "keeper/action_gate.h"
#include "keeper/control.h"
#include "keeper/launch_gate.h"
#include "random.h"
#include "witness.h"

namespace agentrouter::simulation {

class AgentModel final : public keeper::ControlHandler {
 public:
  struct Needs {
    base::Executor executor;
    keeper::Recorder& recorder;
    const keeper::AttemptPlan& plan;
    const base::Clock& clock;
    Random random;
    Witness& witness;
    std::string folder;
  };
  explicit AgentModel(Needs needs);

  // Resumes when `exit` is durable. False: not even that could be written.
  base::Task<bool> run();
  base::Task<void> wait_for_done(std::chrono::milliseconds limit);

  void on_decision(const keeper::DecisionMessage& message) override;
  void on_policy(const keeper::PolicyMessage&) override {}
  void on_cancel() override;
  void on_allowance(const keeper::LeaseMessage::Allowance&) override {}
  void on_done() override;
  base::Result<base::Fd> on_files(const keeper::FilesMessage&) override {
    return base::fail(base::Code::unavailable, "there are no files");
  }

 private:
  base::Task<void> drive();
  base::Task<void> work(const std::string& started);
  base::Task<void> act(const std::string& started);
  base::Task<void> nap(std::int64_t most_ms);
  void say(std::string_view type, json::object payload);
  void save();
  [[nodiscard]] json::object exit_record() const;

  Needs needs_;
  keeper::LaunchGate gate_;
  std::unique_ptr<keeper::ActionGate> actions_;
  std::vector<keeper::ActionReply> replies_;
  base::Event changed_;
  bool cancelled_ = false;
  bool done_ = false;
  bool ended_ = false;
  std::string outcome_ = "failed";
  model::RunFailure failure_;
  json::value checkpoint_;
  int said_ = 0;
  int calls_ = 0;
};

}  // namespace agentrouter::simulation
