// What the agent says, as far as it is for us: events, questions, actions and what is decided about them.

#include "keeper/turn.h"

namespace agentrouter::keeper {
namespace {

bool is_closing(std::string_view type) {
  return type == "agent.completed" || type == "agent.error";
}

}  // namespace

void Turn::handle(agents::Outputs outputs) {
  std::list<agents::Output> queue(std::make_move_iterator(outputs.begin()),
                                  std::make_move_iterator(outputs.end()));
  while (!queue.empty()) {
    agents::Output output = std::move(queue.front());
    queue.pop_front();
    if (auto* event = std::get_if<agents::EmitEvent>(&output)) {
      emit(std::move(*event));
    } else if (auto* line = std::get_if<agents::LogLine>(&output)) {
      needs_.stdout_log.line(std::move(line->line));
    } else if (auto* bytes = std::get_if<agents::SendBytes>(&output)) {
      to_write_bytes_ += bytes->bytes.size();
      to_write_.push_back(std::move(bytes->bytes));
      writing_.notify();
    } else if (std::holds_alternative<agents::Ask>(output) && held()) {
      held_asks_.push_back(std::move(output));
    } else if (const auto* ask = std::get_if<agents::Ask>(&output)) {
      auto more = judge(*ask);
      queue.insert(queue.begin(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    } else if (const auto* withdrawn = std::get_if<agents::Withdraw>(&output)) {
      std::erase_if(held_asks_, [&](const agents::Output& held) {
        return std::get<agents::Ask>(held).ask_id == withdrawn->ask_id;
      });
      if (needs_.actions != nullptr) needs_.actions->withdraw(withdrawn->ask_id);
      watch_waiting();
    } else if (auto* outcome = std::get_if<agents::Outcome>(&output)) {
      end_.outcome = std::move(*outcome);
      wake_.notify();
    }
  }
}

agents::Outputs Turn::judge(const agents::Ask& ask) {
  if (needs_.limits != nullptr && needs_.limits->failure())
    return refuse(ask);
  const bool is_action = needs_.gates_calls || ask.tool == "network";
  if (needs_.actions != nullptr && is_action) return propose(ask);
  const auto verdict = needs_.gate.judge(ask);
  if (verdict.decision != policy::ToolDecision::review) return answer(ask, verdict);
  scope_.spawn(guarded(review(ask)));
  return {};
}

agents::Outputs Turn::answer(const agents::Ask& ask, const policy::ToolVerdict& verdict) {
  const bool allowed = verdict.decision == policy::ToolDecision::allow;
  if (allowed) calls_.released(ask.call_id, base::SteadyClock::now());
  return needs_.session.answer(ask.ask_id, allowed ? agents::Answer::accept : agents::Answer::decline,
                               verdict.reason);
}

base::Task<void> Turn::review(agents::Ask ask) {
  const auto verdict = co_await needs_.gate.review(ask);
  co_await while_held();
  touch();
  if (!over()) handle(answer(ask, verdict));
}

agents::Outputs Turn::propose(const agents::Ask& ask) {
  if (over()) return {};
  if (!may_act()) return refuse(ask);
  const auto step = needs_.actions->take(ask);
  watch_waiting();
  if (step.review) scope_.spawn(guarded(review_action(ask)));
  return step.reply ? outputs_of(*step.reply) : agents::Outputs{};
}

// Nothing is let go that would be one action too many; then the run ends.
bool Turn::may_act() {
  if (needs_.limits == nullptr || (needs_.limits->has_actions() && !needs_.limits->failure())) return true;
  return needs_.limits->take_action();
}

// The run is at a limit.
agents::Outputs Turn::refuse(const agents::Ask& ask) {
  return outputs_of({.ask_id = ask.ask_id,
                     .call_id = ask.call_id,
                     .answer = agents::Answer::decline,
                     .reason = needs_.limits->failure()->reason,
                     .code = needs_.limits->failure()->code});
}

agents::Outputs Turn::outputs_of(const ActionReply& reply) {
  const bool let_go = reply.answer == agents::Answer::accept;
  if (let_go && needs_.limits != nullptr) std::ignore = needs_.limits->take_action();
  if (needs_.answer_request && needs_.answer_request(reply)) return {};
  if (let_go) calls_.released(reply.call_id, base::SteadyClock::now());
  return needs_.session.answer(reply.ask_id, reply.answer, reply.reason);
}

base::Task<void> Turn::review_action(agents::Ask ask) {
  const auto verdict = co_await needs_.gate.reviewers_word(ask);
  co_await while_held();
  touch();
  if (over() || !may_act()) co_return;
  const auto reply = needs_.actions->reviewed(ask, verdict);
  if (reply) handle(outputs_of(*reply));
}

void Turn::decide(const DecisionMessage& message) {
  if (needs_.actions == nullptr || over()) return;
  if (held()) return held_decisions_.push_back(message);
  if (message.decision == DecisionKind::approved && !may_act()) return;
  on_actions([&] {
    edit(message);
    auto decided = needs_.actions->decide(message);
    watch_waiting();
    if (decided.end) abort(std::move(*decided.end));
    if (decided.reply) handle(outputs_of(*decided.reply));
  });
}

void Turn::judge_again() {
  on_actions([&] {
    const auto replies = needs_.actions->judge_again();
    watch_waiting();
    for (const auto& reply : replies) handle(outputs_of(reply));
  });
}

void Turn::propose_request(const agents::Ask& ask) {
  on_actions([&] { handle({ask}); });
}

void Turn::withdraw_request(const std::string& ask_id) {
  on_actions([&] { handle({agents::Withdraw{ask_id}}); });
}

void Turn::request_done(const std::string& call_id, const egress::RequestRecord& record) {
  on_actions([&] { needs_.actions->finish(call_id, record); });
}

// What somebody else than the agent says about the actions of this turn.
void Turn::on_actions(const std::function<void()>& work) {
  if (needs_.actions == nullptr || over()) return;
  try {
    work();
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
}

// An approval with other input: the agent's question is about that from now on.
void Turn::edit(const DecisionMessage& message) {
  const auto ask_id = message.input.empty() ? std::string() : needs_.actions->asked(message);
  if (ask_id.empty()) return;
  const auto input = base::parse_json(message.input);
  if (!input || !input->is_object()) return;
  const auto ask = needs_.session.edit(ask_id, input->get_object());
  if (ask) needs_.actions->edited(*ask, message);
}

// While a person is asked, the agent may be quiet and the run's time stands still.
void Turn::watch_waiting() {
  const bool waiting =
      disk_is_full_ || needs_.progress.asking() || (needs_.actions != nullptr && needs_.actions->waiting());
  if (waiting == waiting_since_.has_value()) return;
  if (waiting) {
    waiting_since_ = base::SteadyClock::now();
  } else {
    const auto waited = base::SteadyClock::now() - *std::exchange(waiting_since_, std::nullopt);
    wall_deadline_ += waited;
    end_.waited += std::chrono::duration_cast<std::chrono::milliseconds>(waited);
    touch();
  }
  wake_.notify();
}

void Turn::end_actions() {
  if (needs_.actions == nullptr) return;
  const bool failed = end_.outcome && end_.outcome->kind == agents::OutcomeKind::failed;
  const std::string reason = end_.cancelled ? "cancelled"
                             : end_.failure ? end_.failure->code
                             : failed       ? end_.outcome->failure.code
                                            : "outcome_unknown";
  try {
    needs_.actions->end(reason);
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
  watch_waiting();
}

// The calls that an agent has left open end with it, also where it was not asked how.
void Turn::close_calls() {
  if (end_.outcome || calls_.count() == 0) return;
  try {
    for (auto& output : needs_.session.ended("it was stopped")) {
      auto* event = std::get_if<agents::EmitEvent>(&output);
      if (event != nullptr && event->type == "agent.tool_completed") record(std::move(*event));
    }
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
}

void Turn::emit(agents::EmitEvent event) {
  // An event of the end that turns out not to be the last one was no end.
  if (end_.closing_event) {
    auto earlier = std::exchange(end_.closing_event, std::nullopt);
    needs_.recorder.agent_event(earlier->type, earlier->provider_event_type, std::move(earlier->payload));
  }
  if (is_closing(event.type)) {
    end_.closing_event = std::move(event);
    return;
  }
  if (event.type == "agent.started") {
    thread_id_ = base::get_string(event.payload, "threadId").value_or(thread_id_);
    if (needs_.goes_on) return;
  }
  if (event.type == "agent.no_progress") return signal(std::move(event));
  record(std::move(event));
}

void Turn::record(agents::EmitEvent event) {
  calls_.see(event, base::SteadyClock::now());
  needs_.gate.see(event);
  const bool begins = event.type == "agent.tool_started";
  const auto sight = needs_.gates_calls ? ActionGate::sight_of(event) : std::nullopt;
  needs_.recorder.agent_event(event.type, event.provider_event_type, std::move(event.payload));
  if (sight && !needs_.actions->see(*sight))
    fail("ungated_tool_call", "The agent ran a tool that it had not asked about");
  if (begins && needs_.limits != nullptr && !needs_.gates_calls) std::ignore = needs_.limits->take_action();
}

}  // namespace agentrouter::keeper
