// What a turn does when its agent makes no progress.

#include "keeper/turn.h"

namespace agentrouter::keeper {

// One that the keeper noticed itself.
void Turn::report(policy::NoProgress::Found found) {
  for (auto& fields : found) {
    json::object payload{{"provider", model::to_string(needs_.plan.runtime.kind)}};
    for (auto& field : fields) payload[field.key()] = std::move(field.value());
    signal({"agent.no_progress", {}, std::move(payload)});
  }
}

// The event comes first: whatever follows has its reason in the record.
void Turn::signal(agents::EmitEvent event) {
  const auto action = over() || end_.cancelled || given_up_ || redirected_
                          ? std::optional<policy::Intervention>()
                          : needs_.progress.judge(event.payload);
  if (!action) event.payload["action"] = policy::to_string(policy::Intervention::warn);
  const auto fields = event.payload;
  needs_.recorder.agent_event(event.type, event.provider_event_type, std::move(event.payload));
  if (action == policy::Intervention::interrupt) redirect(ProgressGate::message_about(fields));
  if (action == policy::Intervention::stop) {
    given_up_ = ProgressGate::stopped_by(fields);
    grace_deadline_ = base::SteadyClock::now() + needs_.plan.limits.cancel_grace;
    wake_.notify();
  }
  if (action != policy::Intervention::ask) return;
  needs_.hold_requests(Hold::hold);
  needs_.progress.ask(fields);
  watch_waiting();
}

void Turn::redirect(std::string message) {
  redirected_ = std::move(message);
  grace_deadline_ = base::SteadyClock::now() + needs_.plan.limits.cancel_grace;
  wake_.notify();
}

void Turn::progress_decided() {
  if (over()) return;
  if (needs_.progress.failure()) {
    given_up_ = needs_.progress.failure();
    grace_deadline_ = base::SteadyClock::now() + needs_.plan.limits.cancel_grace;
  }
  try {
    watch_waiting();
    writing_.notify();
    wake_.notify();
    if (given_up_ || end_.cancelled) return;
    needs_.hold_requests(Hold::release);
    handle(std::exchange(held_asks_, {}));
    for (const auto& message : std::exchange(held_decisions_, {})) decide(message);
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
}

base::Task<void> Turn::while_held() {
  while (held() && !over()) co_await writing_.wait();
}

// False when the agent was quiet for longer than it may be.
bool Turn::check_silence() {
  const auto quiet = base::SteadyClock::now() - quiet_since_;
  const auto& signals = needs_.progress.signals();
  const auto silence = std::chrono::seconds(signals.rules().after(policy::Signal::long_silence));
  const bool too_long = quiet >= needs_.plan.limits.quiet;
  if (!too_long && (silence_told_ || quiet < silence)) return true;
  if (calls_.count() != 0 || needs_.open_forwards() != 0) {
    touch();
    return true;
  }
  if (too_long) {
    fail("agent_protocol_error", "The agent said nothing for too long");
    return false;
  }
  silence_told_ = true;
  report(needs_.progress.signals().silent(std::chrono::duration_cast<std::chrono::milliseconds>(quiet)));
  return true;
}

}  // namespace agentrouter::keeper
