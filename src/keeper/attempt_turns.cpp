// The turns of an attempt: one, and one more after each wait for the provider's limit.

#include "keeper/attempt.h"

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

// What the agent reads instead of the task when it goes on with its thread after a wait.
constexpr std::string_view go_on_message =
    "The model provider's limit interrupted your work. The limit has passed: go on where you stopped.";
// A provider that names a longer time than this is not worth keeping the agent waiting for.
constexpr auto patience_when_waiting = 10s;
constexpr auto patience = 60s;
// How often a long wait looks at the clock again: the machine may have slept.
constexpr auto look_again = 60s;

void add(std::optional<agents::TokenUsage>& sum, const std::optional<agents::TokenUsage>& more) {
  if (!more) return;
  auto& into = sum ? *sum : sum.emplace();
  into.input_tokens += more->input_tokens;
  into.cached_input_tokens += more->cached_input_tokens;
  into.output_tokens += more->output_tokens;
  into.reasoning_output_tokens += more->reasoning_output_tokens;
}

const model::RunFailure* failure_of(const TurnEnd& end) {
  if (end.cancelled) return nullptr;
  if (end.failure) return &*end.failure;
  const bool failed = end.outcome && end.outcome->kind == agents::OutcomeKind::failed;
  return failed ? &end.outcome->failure : nullptr;
}

}  // namespace

base::Task<void> Attempt::run_turns(const std::string& started) {
  for (;;) {
    const auto began = base::SteadyClock::now();
    TurnEnd end = co_await run_turn(started);
    const auto took = base::SteadyClock::now() - began;
    const auto counted = std::chrono::duration_cast<std::chrono::milliseconds>(took) - end.waited;
    turn_plan_.limits.wall_time -= counted;
    earlier_time_ += counted;
    limits_.see_time(earlier_time_);
    const bool again = co_await goes_on_after(end);
    if (!again) {
      progress_.withdraw();
      judge(std::move(end));
      co_return;
    }
    go_on(end, std::move(next_message_));
  }
}

// Whether the agent is to be started again, with `next_message_`.
base::Task<bool> Attempt::goes_on_after(TurnEnd& end) {
  const bool waited = co_await waited_for_person(end);
  if (waited) co_return true;
  if (end.redirected && !cancelled_) {
    next_message_ = std::move(*end.redirected);
    co_return true;
  }
  const bool quota = co_await waited_for_quota(end);
  if (quota) next_message_ = go_on_message;
  co_return quota;
}

// A turn that ended while a person was asked whether the run goes on: an agent cannot wait for ever. Whether
// the person has let it go on.
base::Task<bool> Attempt::waited_for_person(TurnEnd& end) {
  const bool done = end.outcome && end.outcome->kind == agents::OutcomeKind::completed;
  const bool ours = end.failure && end.failure->code != "agent_exited";
  if (!end.held || end.cancelled || done || ours) co_return false;
  while (progress_.asking() && !cancelled_ && !notices_.gone()) co_await notices_.changed().wait();
  end.cancelled = cancelled_;
  if (progress_.failure()) end.failure = progress_.failure();
  if (cancelled_ || progress_.failure() || progress_.asking()) co_return false;
  end.failure.reset();
  next_message_ = progress_.message_of_person();
  co_return true;
}

bool Attempt::decide_progress(const DecisionMessage& message) {
  try {
    if (!progress_.decide(message)) return false;
  } catch (const base::Failure& failure) {
    progress_.break_off(failure_of_error(failure.error()));
  }
  if (turn_) turn_->progress_decided();
  notices_.changed().notify();
  return true;
}

base::Task<TurnEnd> Attempt::run_turn(const std::string& started) {
  const bool goes_on = resumptions_ > 0 && !turn_plan_.resume_thread.empty();
  progress_.begin(started);
  tools_ = std::make_unique<ToolGate>(ToolGate::Needs{.recorder = needs_.recorder,
                                                      .plan = turn_plan_,
                                                      .task = needs_.plan.task,
                                                      .prior_event_id = started,
                                                      .ask_provider = [this](agents::ReviewRequest request) {
                                                        return egress_->ask(
                                                            std::move(request.path), std::move(request.body),
                                                            base::after(needs_.plan.limits.review));
                                                      }});
  const bool gates_calls = needs_.plan.approval_scope == model::ApprovalScope::action;
  const bool lets_out = turn_plan_.rules && !turn_plan_.rules->egress().empty();
  if (gates_calls || lets_out) {
    actions_ = std::make_unique<ActionGate>(ActionGate::Needs{
        .recorder = needs_.recorder, .plan = turn_plan_, .clock = needs_.clock, .prior_event_id = started});
  }
  session_ = needs_.make_session(turn_plan_, progress_.signals(), needs_.recorder.redactor());
  holders_ = 0;
  egress_->release();
  way_out_.release();
  turn_ = std::make_unique<Turn>(Turn::Needs{.executor = needs_.executor,
                                             .sandbox = needs_.sandbox,
                                             .notices = notices_,
                                             .recorder = needs_.recorder,
                                             .stdout_log = *stdout_log_,
                                             .stderr_log = *stderr_log_,
                                             .session = *session_,
                                             .plan = turn_plan_,
                                             .gate = *tools_,
                                             .actions = actions_.get(),
                                             .gates_calls = gates_calls,
                                             .limits = &limits_,
                                             .progress = progress_,
                                             .hold_requests =
                                                 [this](Hold wish) { hold_requests(Holder::person, wish); },
                                             .open_forwards = [this] { return egress_->open_forwards(); },
                                             .answer_request = [this](const ActionReply& reply) { return network_.answer(reply); },
                                             .goes_on = goes_on});
  watch_.on_traffic([this] { watch_provider(); });
  if (cancelled_) turn_->cancel();
  limits_.on_stop([this](const model::RunFailure& failure) { turn_->stop(failure); });
  base::TaskScope timing(needs_.executor);
  timing.spawn(watch_time());
  timing.spawn(watch_disk());
  if (actions_) network_.open(*turn_, *actions_);
  TurnEnd end = co_await turn_->run();
  network_.close();
  co_await timing.cancel_and_join();
  limits_.on_stop({});
  watch_.on_traffic({});
  if (end.outcome) name_cause(end.outcome->failure, watch_.last_trouble());
  co_return end;
}

// While a person is asked, the run's time stands still, so what is left is looked at again.
base::Task<void> Attempt::watch_time() {
  for (auto next = limits_.next_time(); next; next = limits_.next_time()) {
    const auto rest = *next - (earlier_time_ + turn_->taken());
    if (rest.count() > 0) co_await base::sleep_for(std::max<std::chrono::milliseconds>(rest, 10ms));
    if (rest.count() <= 0) limits_.see_time(earlier_time_ + turn_->taken());
  }
}

base::Task<void> Attempt::watch_disk() {
  DiskHold disk({.executor = needs_.executor,
                 .recorder = needs_.recorder,
                 .patience = needs_.disk_patience,
                 .hold = [this](Hold wish) { hold_for_disk(wish); },
                 .give_up = [this](model::RunFailure failure) { turn_->abort(std::move(failure)); }});
  const auto notice = [&disk] { disk.notice(); };
  const DiskListeners listeners(needs_.recorder, {&*stdout_log_, &*stderr_log_}, notice);
  co_await disk.watch({&*stdout_log_, &*stderr_log_});
}

void Attempt::hold_for_disk(Hold wish) {
  if (wish == Hold::hold) {
    (void)needs_.sandbox.freeze();
  } else {
    (void)needs_.sandbox.thaw();
  }
  notices_.poll();  // what came with the reply
  hold_requests(Holder::disk, wish);
  turn_->hold_for_disk(wish);
}

void Attempt::hold_requests(Holder who, Hold wish) {
  const auto bit = static_cast<unsigned>(who);
  holders_ = wish == Hold::hold ? holders_ | bit : holders_ & ~bit;
  if (holders_ != 0) {
    egress_->hold();
    way_out_.hold();
  } else {
    egress_->release();
    way_out_.release();
  }
}

// After each request of the sandbox.
void Attempt::watch_provider() {
  if (watch_.trouble()) turn_->abort(failure_of_error(*watch_.trouble()));
  if (!watch_.ungated_tool().empty())
    turn_->abort({"ungated_tool_call",
                  "The model called a tool that the agent is not offered: " + watch_.ungated_tool(),
                  {}});
  turn_->touch();
  const auto& trouble = watch_.last_trouble();
  if (!trouble || trouble->status != 429 || !trouble->retry_after) return;
  if (*trouble->retry_after < (needs_.plan.wait_for_quota ? patience_when_waiting : patience)) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*trouble->retry_after).count();
  turn_->give_up(
      {"provider_runtime_failed",
       "The model provider's limit is reached; it may be asked again in " + std::to_string(seconds) + " s",
       "provider_rate_limited"});
}

// Whether the turn ended at a limit of the provider, the run is to wait for it, and has waited.
base::Task<bool> Attempt::waited_for_quota(TurnEnd& end) {
  const auto* failure = failure_of(end);
  if (!needs_.plan.wait_for_quota || failure == nullptr || !policy::is_quota(failure->cause)) co_return false;
  const auto& trouble = watch_.last_trouble();
  const auto named = trouble ? trouble->retry_after : std::nullopt;
  const auto wait = policy::next_wait(needs_.plan.quota, waits_, named);
  if (!wait) co_return false;
  const auto begun = needs_.clock.now();
  json::object payload{{"reason", failure->cause},
                       {"message", failure->reason},
                       {"resumesAt", base::to_iso(begun + *wait)},
                       {"wait", waits_.count + 1}};
  needs_.recorder.event("run.waiting", model::Visibility::open, std::move(payload));
  co_await wait_until(begun + *wait);
  ++waits_.count;
  const auto waited = std::max(needs_.clock.now() - begun, base::Time::duration(0));
  waits_.waited += waited;
  end.cancelled = cancelled_;
  if (cancelled_) co_return false;
  needs_.recorder.event("run.resumed", model::Visibility::open, {{"waitedMs", waited.count()}});
  co_return true;
}

base::Task<void> Attempt::wait_until(base::Time time) {
  while (!cancelled_ && !notices_.gone() && needs_.clock.now() < time) {
    const auto rest = std::min<base::Time::duration>(time - needs_.clock.now(), look_again);
    std::ignore = co_await notices_.changed().wait_until(base::after(rest));
  }
}

// The agent is started again with its thread; one that never had any begins anew.
void Attempt::go_on(const TurnEnd& end, std::string message) {
  ++resumptions_;
  if (end.outcome) {
    add(earlier_usage_, end.outcome->usage);
    earlier_cost_ += end.outcome->cost_usd.value_or(0);
  }
  const auto& thread = turn_->thread_id();
  if (thread.empty()) return;
  turn_plan_.resume_thread = thread;
  turn_plan_.task = std::move(message);
}

std::optional<agents::TokenUsage> Attempt::usage_of_agent() const {
  auto sum = earlier_usage_;
  add(sum, result_.outcome ? result_.outcome->usage : std::nullopt);
  return sum;
}

}  // namespace agentrouter::keeper
