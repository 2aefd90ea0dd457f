#include "keeper/turn.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t read_bytes = 64u << 10;
constexpr std::size_t write_queue_bytes = 1u << 20;
// How long an agent may take to leave after its stdin was closed, and stdout to end after everything was
// killed.
constexpr auto leave_time = 2s;

base::Deadline now() {
  return base::SteadyClock::now();
}

std::vector<std::string> argv_of(const AttemptPlan& plan) {
  auto argv = plan.program.argv;
  if (plan.resume_thread.empty() || plan.program.resume_argv.empty()) return argv;
  argv.insert(argv.end(), plan.program.resume_argv.begin(), plan.program.resume_argv.end());
  argv.push_back(plan.resume_thread);
  return argv;
}

bool is_closing(std::string_view type) {
  return type == "agent.completed" || type == "agent.error";
}

}  // namespace

Turn::Turn(Needs needs)
    : needs_(std::move(needs)),
      thread_id_(needs_.plan.resume_thread),
      stderr_lines_(needs_.stderr_log),
      stdin_(needs_.executor),
      stdout_(needs_.executor),
      stderr_(needs_.executor),
      wake_(needs_.executor),
      writing_(needs_.executor),
      scope_(needs_.executor) {}

Turn::~Turn() = default;

base::Task<TurnEnd> Turn::run() {
  began_ = now();
  wall_deadline_ = began_ + needs_.plan.limits.wall_time;
  quiet_since_ = now();
  if (start()) {
    scope_.spawn(guarded(read_stdout()));
    scope_.spawn(guarded(read_stderr()));
    scope_.spawn(guarded(write_stdin()));
    scope_.spawn(guarded(relay_notices()));
    co_await guarded(supervise());
    end_.held = held();
    co_await end_process();
  }
  end_actions();
  const bool done = end_.outcome && end_.outcome->kind == agents::OutcomeKind::completed;
  const bool decided = needs_.progress.failure().has_value();
  if (given_up_ && !end_.failure && !end_.cancelled && (stopped_ || decided || !done)) end_.failure = std::move(*given_up_);
  if (redirected_ && !end_.failure && !end_.cancelled && !done) end_.redirected = std::move(redirected_);
  co_return std::move(end_);
}

bool Turn::start() {
  auto in = base::make_pipe();
  auto out = base::make_pipe();
  auto err = base::make_pipe();
  if (!in || !out || !err) {
    fail("worker_failed", "cannot make the agent's pipes");
    return false;
  }
  kills_before_ = memory_kills();
  const auto pid = needs_.sandbox.spawn({.argv = argv_of(needs_.plan),
                                         .env = needs_.plan.program.env,
                                         .stdio = {in->first.get(), out->second.get(), err->second.get()}});
  if (!pid) {
    fail(pid.error().code == base::Code::not_found ? "agent_missing" : "worker_failed",
         "cannot start the agent: " + pid.error().message);
    return false;
  }
  pid_ = *pid;
  stdin_.assign(in->second.release());
  stdout_.assign(out->first.release());
  stderr_.assign(err->first.release());
  return true;
}

base::Task<void> Turn::guarded(base::Task<void> task) {
  try {
    co_await std::move(task);
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) fail("worker_failed", error.what());
  } catch (const std::exception& error) {
    fail("worker_failed", error.what());
  }
}

base::Task<void> Turn::supervise() {
  handle(needs_.session.start());
  for (;;) {
    if (over()) co_return;
    if (needs_.notices.disk_stop()) {
      co_await settle_disk();
      co_return;
    }
    if (needs_.notices.exited(pid_) != nullptr || needs_.notices.gone()) {
      co_await settle_exit();
      co_return;
    }
    if ((end_.cancelled || given_up_ || redirected_) && !interrupted_) {
      interrupted_ = true;
      handle(needs_.session.interrupt());
      continue;
    }
    if (!check_limits()) co_return;
    co_await wake_.wait_until(next_deadline());
  }
}

// The agent has left by itself: what it said before is still to be read.
base::Task<void> Turn::settle_exit() {
  (void)needs_.sandbox.kill_all();
  needs_.notices.poll();
  see_disk();
  const auto limit = now() + leave_time;
  while (!stdout_ended_ && !over() && now() < limit) co_await wake_.wait_until(limit);
  const sandbox::Exited* exited = needs_.notices.exited(pid_);
  if (exited != nullptr && was_out_of_memory(*exited)) {
    fail("memory_limit", "The agent used more memory than it may");
  }
  const std::string status = exited != nullptr ? status_text(*exited) : "sandbox gone";
  if (!end_.outcome) handle(needs_.session.ended(status));
  if (!over()) fail("agent_exited", "The agent ended before its turn did: " + status);
}

// Init is killing everything inside, and counts what is left when that is done.
base::Task<void> Turn::settle_disk() {
  const auto limit = now() + std::chrono::seconds(10);
  while (!needs_.notices.disk_stop()->settled && !needs_.notices.gone() && now() < limit)
    co_await wake_.wait_until(limit);
  see_disk();
}

void Turn::see_disk() {
  const auto& stop = needs_.notices.disk_stop();
  if (stop && !end_.failure && !end_.cancelled) abort(record_disk_stop(needs_.recorder, *stop));
}

std::uint64_t Turn::memory_kills() const {
  return needs_.sandbox.memory().kills + needs_.notices.memory_kills();
}

void Turn::see_memory() {
  memory_look_ = now() + 100ms;
  kills_.see(needs_.recorder, memory_kills() - kills_before_);
}

// False when the turn is over because of a limit.
bool Turn::check_limits() {
  if (now() >= grace_deadline_) return false;
  if (waiting_since_) return true;
  if (now() >= wall_deadline_) {
    fail("wall_limit", "The run took longer than it may");
    return false;
  }
  return check_silence();
}

base::Deadline Turn::next_deadline() const {
  if (waiting_since_) return grace_deadline_;
  const auto silence = std::chrono::seconds(needs_.progress.signals().rules().after(policy::Signal::long_silence));
  const base::Deadline quiet = quiet_since_ + needs_.plan.limits.quiet;
  const auto next = silence_told_ ? quiet : std::min<base::Deadline>(quiet, quiet_since_ + silence);
  return std::min({wall_deadline_, next, grace_deadline_});
}

base::Task<void> Turn::end_process() {
  close_stdin_ = true;
  writing_.notify();
  // An agent whose turn is over leaves by itself; then its exit code is known.
  const auto limit = now() + (end_.failure || end_.cancelled ? 0s : leave_time);
  while (needs_.notices.exited(pid_) == nullptr && !needs_.notices.gone() && now() < limit) {
    co_await wake_.wait_until(limit);
  }
  const auto killed = needs_.sandbox.kill_all();
  if (!killed && !needs_.notices.gone())
    fail("worker_failed", "cannot stop the agent: " + killed.error().message);
  needs_.notices.poll();
  if (const auto* exited = needs_.notices.exited(pid_)) end_.exited = *exited;
  co_await scope_.cancel_and_join();
  try {
    stderr_lines_.end();
    see_disk();
    see_memory();
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
}

base::Task<void> Turn::read_stdout() {
  std::string buffer(read_bytes, '\0');
  for (;;) {
    boost::system::error_code error;
    const std::size_t n =
        co_await stdout_.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
    if (error) break;
    touch();
    if (!count_output(n)) break;
    if (now() >= memory_look_) see_memory();
    co_await slow_down(n);
    needs_.progress.signals().message();
    handle(needs_.session.feed(std::string_view(buffer).substr(0, n)));
    while ((to_write_bytes_ > write_queue_bytes || held()) && !over()) co_await writing_.wait();
  }
  stdout_ended_ = true;
  wake_.notify();
}

base::Task<void> Turn::read_stderr() {
  std::string buffer(read_bytes, '\0');
  for (;;) {
    boost::system::error_code error;
    const std::size_t n =
        co_await stderr_.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
    if (error || !count_output(n)) break;
    touch();
    co_await slow_down(n);
    stderr_lines_.feed(std::string_view(buffer).substr(0, n));
    report(needs_.progress.signals().raw_output(std::string_view(buffer).substr(0, n)));
  }
}

base::Task<void> Turn::write_stdin() {
  while (!to_write_.empty() || !close_stdin_) {
    if (to_write_.empty()) {
      co_await writing_.wait();
      continue;
    }
    boost::system::error_code error;
    co_await asio::async_write(stdin_, asio::buffer(to_write_.front()),
                               asio::redirect_error(base::use_task, error));
    // An agent that does not read any more ends, and then supervise() learns of it.
    if (error) co_return;
    to_write_bytes_ -= to_write_.front().size();
    to_write_.pop_front();
    writing_.notify();
  }
  boost::system::error_code ignored;
  stdin_.close(ignored);
}

base::Task<void> Turn::relay_notices() {
  for (;;) {
    wake_.notify();
    co_await needs_.notices.changed().wait();
  }
}

bool Turn::count_output(std::size_t bytes) {
  output_bytes_ += bytes;
  if (needs_.limits != nullptr && !needs_.limits->take_output(bytes)) return false;
  if (output_bytes_ <= needs_.plan.limits.output_bytes) return true;
  fail("output_limit", "The agent wrote more than it may");
  return false;
}

// An agent that writes faster than it may waits at its full pipe. Up to a second of it comes at once.
base::Task<void> Turn::slow_down(std::size_t bytes) {
  const auto rate = needs_.plan.limits.output_rate;
  if (rate == 0) co_return;
  const auto taken = std::chrono::microseconds(bytes * 1'000'000 / rate);
  output_until_ = std::max(output_until_, now() - 1s) + taken;
  while (output_until_ > now() && !over()) co_await wake_.wait_until(output_until_);
}

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
  if (allowed) calls_.released(ask.call_id, now());
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
  if (let_go) calls_.released(reply.call_id, now());
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
      needs_.progress.asking() || (needs_.actions != nullptr && needs_.actions->waiting());
  if (waiting == waiting_since_.has_value()) return;
  if (waiting) {
    waiting_since_ = now();
  } else {
    const auto waited = now() - *std::exchange(waiting_since_, std::nullopt);
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
  calls_.see(event, now());
  needs_.gate.see(event);
  const bool begins = event.type == "agent.tool_started";
  const auto sight = needs_.gates_calls ? ActionGate::sight_of(event) : std::nullopt;
  needs_.recorder.agent_event(event.type, event.provider_event_type, std::move(event.payload));
  if (sight && !needs_.actions->see(*sight))
    fail("ungated_tool_call", "The agent ran a tool that it had not asked about");
  if (begins && needs_.limits != nullptr && !needs_.gates_calls) std::ignore = needs_.limits->take_action();
}

bool Turn::was_out_of_memory(const sandbox::Exited& exited) const {
  if (needs_.notices.killed_for_memory(pid_)) return true;
  return exited.signal == SIGKILL && memory_kills() > kills_before_;
}

void Turn::cancel() {
  if (over() || std::exchange(end_.cancelled, true)) return;
  grace_deadline_ = now() + needs_.plan.limits.cancel_grace;
  wake_.notify();
}

void Turn::give_up(model::RunFailure failure) {
  if (over() || end_.cancelled || given_up_ || calls_.count() != 0) return;
  given_up_ = std::move(failure);
  grace_deadline_ = now() + needs_.plan.limits.cancel_grace;
  wake_.notify();
}

void Turn::stop(model::RunFailure failure) {
  if (over() || end_.cancelled || stopped_) return;
  stopped_ = true;
  if (!given_up_) grace_deadline_ = now() + needs_.plan.limits.cancel_grace;
  given_up_ = std::move(failure);
  wake_.notify();
}

std::chrono::milliseconds Turn::taken() const {
  auto waited = end_.waited;
  if (waiting_since_) waited += std::chrono::duration_cast<std::chrono::milliseconds>(now() - *waiting_since_);
  return std::chrono::duration_cast<std::chrono::milliseconds>(now() - began_) - waited;
}

void Turn::touch() {
  quiet_since_ = now();
  silence_told_ = false;
}

void Turn::fail(std::string_view code, std::string reason) {
  abort(model::RunFailure{std::string(code), std::move(reason), {}});
}

void Turn::fail_with(const base::Error& error) {
  fail(error.reason == "storage_full" ? "storage_full" : "worker_failed", error.message);
}

void Turn::abort(model::RunFailure failure) {
  if (!end_.failure) end_.failure = std::move(failure);
  wake_.notify();
  writing_.notify();
}

}  // namespace agentrouter::keeper
