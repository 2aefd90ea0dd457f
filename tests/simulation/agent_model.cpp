#include "agent_model.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/hash.h"
#include "keeper/collection.h"

namespace agentrouter::simulation {

using namespace std::chrono_literals;

AgentModel::AgentModel(Needs needs)
    : needs_(std::move(needs)),
      gate_(needs_.executor, needs_.recorder, needs_.plan, needs_.clock),
      changed_(needs_.executor) {}

base::Task<bool> AgentModel::run() {
  try {
    co_await drive();
  } catch (const base::Failure& failure) {
    outcome_ = "failed";
    failure_ = {failure.error().reason.empty() ? "worker_failed" : failure.error().reason, failure.error().message, {}};
  }
  ended_ = true;
  if (cancelled_) outcome_ = "cancelled";
  for (int i = 0; i < 3; ++i) {
    try {
      needs_.recorder.last(exit_record());
      co_return true;
    } catch (const base::Failure&) {
    }
  }
  co_return false;
}

base::Task<void> AgentModel::drive() {
  say("sandbox.created", {{"isolation", "process"}});
  say("credential_boundary.verified", {{"clean", true}});
  const auto gate = co_await gate_.pass();
  if (gate.kind == keeper::GateResult::Kind::refused) failure_ = gate.failure;
  if (gate.kind != keeper::GateResult::Kind::released) co_return;
  const auto& plan = needs_.plan;
  needs_.witness.ran(plan.run_id.str(), plan.attempt_id.str(), gate.action.id.str(), gate.action.digest, true,
                     plan.approval_mode == model::ApprovalMode::manual);
  const auto started = model::new_event_id(needs_.recorder.entropy());
  auto payload = model::control_payload(gate.action, {started, gate.prior_event_id, "runtime"});
  payload["status"] = "started";
  needs_.recorder.event("execution.started", model::Visibility::open, std::move(payload));
  co_await work(started);
  const bool completed = !cancelled_ && failure_.code.empty();
  outcome_ = completed ? "completed" : "failed";
  say(completed ? "agent.completed" : "agent.error", {{"message", "the end"}});
  payload = model::control_payload(gate.action, {model::new_event_id(needs_.recorder.entropy()), started, "runtime"});
  payload["status"] = completed ? "completed" : "failed";
  needs_.recorder.event(completed ? "execution.completed" : "execution.failed", model::Visibility::open,
                        std::move(payload));
  save();
}

base::Task<void> AgentModel::work(const std::string& started) {
  auto& random = needs_.random;
  say("agent.started", {{"provider", "codex"}});
  if (needs_.plan.approval_scope == model::ApprovalScope::action) {
    actions_ = std::make_unique<keeper::ActionGate>(keeper::ActionGate::Needs{
        .recorder = needs_.recorder, .plan = needs_.plan, .clock = needs_.clock, .prior_event_id = started});
  }
  const auto steps = random.between(1, 14);
  for (int i = 0; i < steps && !cancelled_ && failure_.code.empty(); ++i) {
    co_await nap(random.once_in(40) ? 60'000 : random.once_in(12) ? 20'000 : 400);
    if (cancelled_) break;
    switch (random.below(8)) {
      case 0:
        needs_.recorder.durable("forwarded", {{"request", said_}});
        say("egress.request", {{"purpose", "provider"}, {"status", 200}});
        break;
      case 1:
      case 2:
        if (actions_) co_await act(started);
        break;
      case 3:
        if (random.once_in(6)) say("agent.message", {{"message", std::string(random.below(90'000), 'x')}});
        break;
      default:
        say("agent.message", {{"message", "I am at it"}});
    }
  }
  if (!cancelled_ && random.once_in(10)) failure_ = {"provider_runtime_failed", "The provider is away", "provider_unavailable"};
  if (actions_) actions_->end(cancelled_ ? "cancelled" : "turn_ended");
}

// One thing that the agent wants to do: it does it only when it is let.
base::Task<void> AgentModel::act(const std::string&) {
  const auto call = "call_" + std::to_string(++calls_);
  const std::string command = needs_.random.once_in(3) ? "ls" : "make " + std::to_string(needs_.random.below(3));
  const json::object args{{"command", command}};
  const agents::Ask ask{.ask_id = call, .tool = "shell", .title = command, .args = args, .call_id = call,
                        .input_digest = base::json_digest(args)};
  auto step = actions_->take(ask);
  const bool asked = !step.reply;
  if (step.reply) replies_.push_back(std::move(*step.reply));
  while (replies_.empty() && !cancelled_ && failure_.code.empty()) co_await changed_.wait();
  if (replies_.empty()) co_return;
  const auto reply = std::move(replies_.front());
  replies_.clear();
  if (reply.answer != agents::Answer::accept) co_return;
  needs_.witness.ran(needs_.plan.run_id.str(), needs_.plan.attempt_id.str(), reply.action_id, {}, false, asked);
  const agents::EmitEvent begins{"agent.tool_started", {}, {{"callId", call}, {"tool", "shell"}, {"command", command}}};
  const auto first = keeper::ActionGate::sight_of(begins);
  say(begins.type, begins.payload);
  (void)actions_->see(*first);
  co_await nap(300);
  const agents::EmitEvent ends{"agent.tool_completed", {}, {{"callId", call}, {"status", "completed"}, {"exitCode", 0}}};
  const auto second = keeper::ActionGate::sight_of(ends);
  say(ends.type, ends.payload);
  (void)actions_->see(*second);
}

base::Task<void> AgentModel::nap(std::int64_t most_ms) {
  const auto until = base::after(std::chrono::milliseconds(needs_.random.between(0, most_ms)));
  while (!cancelled_ && !base::passed(until)) co_await changed_.wait_until(until);
}

// With a word of its own, so that each can be told from all others.
void AgentModel::say(std::string_view type, json::object payload) {
  payload["nonce"] = needs_.plan.attempt_id.str() + "/" + std::to_string(++said_);
  needs_.recorder.agent_event(type, {}, std::move(payload));
}

void AgentModel::save() {
  if (needs_.random.once_in(8)) return;
  const auto bytes = "state of " + needs_.plan.attempt_id.str();
  const base::Fd file(::open((needs_.folder + "/" + keeper::checkpoint_file).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || !base::write_all(file.get(), bytes)) return;
  checkpoint_ = json::object{{"bytes", bytes.size()}, {"sha256", base::Sha256::hex_of(bytes)}};
}

json::object AgentModel::exit_record() const {
  json::object exit{{"outcome", outcome_},
                    {"responseText", "said " + std::to_string(said_)},
                    {"provider", "sim"},
                    {"exitCode", 0},
                    {"index", nullptr},
                    {"patch", nullptr},
                    {"threadId", "thread"},
                    {"checkpoint", checkpoint_},
                    {"sandbox", json::object{{"gone", true}}}};
  if (outcome_ == "failed") exit["failure"] = failure_.to_json();
  return exit;
}

void AgentModel::on_decision(const keeper::DecisionMessage& message) {
  if (ended_) return;
  gate_.decide(message);
  if (!actions_) return;
  auto decided = actions_->decide(message);
  if (decided.reply) replies_.push_back(std::move(*decided.reply));
  if (decided.end) failure_ = std::move(*decided.end);
  changed_.notify();
}

void AgentModel::on_cancel() {
  if (std::exchange(cancelled_, true)) return;
  gate_.cancel();
  changed_.notify();
}

void AgentModel::on_done() {
  done_ = true;
  changed_.notify();
}

base::Task<void> AgentModel::wait_for_done(std::chrono::milliseconds limit) {
  const auto deadline = base::after(limit);
  while (!done_ && !base::passed(deadline)) co_await changed_.wait_until(deadline);
}

}  // namespace agentrouter::simulation
