#include "agents/codex/codex_session.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agents/codex/codex_events.h"
#include "agents/codex/codex_failure.h"
#include "agents/codex/codex_items.h"
#include "agents/codex/codex_log.h"
#include "agents/codex/codex_messages.h"
#include "agents/codex/codex_requests.h"
#include "agents/codex/codex_usage.h"
#include "agents/line_splitter.h"
#include "agents/payload.h"
#include "base/utf8.h"

namespace agentrouter::agents {

namespace {

using namespace codex;

// Below the 128 that a journalled event may nest, so that no argument of a tool can break an event.
constexpr std::size_t max_depth = 120;
// What an agent may make us remember.
constexpr std::size_t max_requests = 100'000;
constexpr std::size_t max_open_questions = 64;

class CodexSession final : public Session {
 public:
  CodexSession(TurnSpec spec, SessionLimits limits)
      : spec_(std::move(spec)),
        limits_(limits),
        lines_(limits.line_bytes),
        events_(spec_.cwd, limits.response_bytes, spec_.progress, *spec_.hidden) {}

  Outputs start() override;
  Outputs feed(std::string_view bytes) override;
  Outputs answer(const std::string& ask_id, Answer answer, std::string_view reason) override;
  Outputs interrupt() override;
  Outputs ended(std::string_view status) override;

 private:
  enum class Phase { initializing, opening_thread, starting_turn, in_turn, over };
  struct OpenQuestion {
    json::value id;
    QuestionKind kind = QuestionKind::command;
    std::string call_id;
    std::string server;
    std::string tool;
    std::optional<Ask> held;  // not asked yet: the item that holds its diff has not come
  };

  void line(std::string_view text);
  void response(std::int64_t id, const json::object& message);
  void thread_opened(const json::object& message);
  void turn_accepted(const json::object& message);
  void notification(std::string_view method, const json::object& params);
  void item(std::string_view method, const json::object& params);
  void typed(const json::object& params);
  void usage(const json::object& params);
  void turn_completed(const json::object& params);
  void request(std::string_view method, const json::value& id, const json::object& params);
  void ask(const json::value& id, Question question);
  void put(Ask ask);
  // Asks what waited for the item `call_id`, if that has started.
  void ask_held(const std::string& call_id);
  void withdraw_all();
  void send(std::string bytes) { out_.push_back(SendBytes{std::move(bytes)}); }
  void send_interrupt();
  void protocol_error(const std::string& what);
  void fail(model::RunFailure failure, const std::string& event_type = {});
  void finish(Outcome outcome, const std::string& event_type);
  [[nodiscard]] bool is_own(const json::object& params) const {
    return text_of(params, "threadId") == thread_;
  }
  [[nodiscard]] std::string other_thread(const json::object& params) const {
    if (is_own(params)) return {};
    const auto thread = text_of(params, "threadId");
    return thread.empty() ? "other" : thread;
  }

  TurnSpec spec_;
  SessionLimits limits_;
  LineSplitter lines_;
  TurnEvents events_;
  UsageMeter usage_;
  Phase phase_ = Phase::initializing;
  std::uint64_t seen_bytes_ = 0;
  std::string thread_;
  std::string turn_;
  bool turn_started_ = false;
  bool interrupted_ = false;
  std::map<std::string, OpenQuestion> questions_;  // by ask id: not answered and not withdrawn
  std::set<std::string> request_ids_;              // every one that came
  Outputs out_;
};

Outputs CodexSession::start() {
  send(initialize_request());
  return std::exchange(out_, {});
}

Outputs CodexSession::feed(std::string_view bytes) {
  if (phase_ == Phase::over) return {};
  seen_bytes_ += bytes.size();
  lines_.push(bytes);
  while (phase_ != Phase::over) {
    const auto next = lines_.next();
    if (!next) break;
    line(*next);
  }
  if (phase_ == Phase::over) return std::exchange(out_, {});
  if (lines_.overflowed()) {
    protocol_error("a line of more than " + std::to_string(limits_.line_bytes) + " bytes");
  } else if (seen_bytes_ > limits_.output_bytes) {
    fail({.code = "output_limit",
          .reason = "the agent wrote more than " + std::to_string(limits_.output_bytes) + " bytes"});
  }
  return std::exchange(out_, {});
}

Outputs CodexSession::answer(const std::string& ask_id, Answer answer, std::string_view /*reason*/) {
  const auto found = questions_.find(ask_id);
  if (phase_ == Phase::over || found == questions_.end() || found->second.held) return {};
  const auto question = std::move(found->second);
  questions_.erase(found);
  if (question.kind == QuestionKind::mcp && answer == Answer::decline) {
    events_.declined_mcp(question.server, question.tool);
  }
  send(answer_to(question.kind, question.id, answer));
  return std::exchange(out_, {});
}

Outputs CodexSession::interrupt() {
  if (phase_ == Phase::over || std::exchange(interrupted_, true)) return {};
  withdraw_all();
  if (phase_ == Phase::in_turn) {
    send_interrupt();
  } else if (phase_ != Phase::starting_turn) {
    finish({.kind = OutcomeKind::interrupted}, "");  // nothing was begun
  }
  return std::exchange(out_, {});
}

Outputs CodexSession::ended(std::string_view status) {
  if (phase_ == Phase::over) return {};
  if (interrupted_) {
    finish({.kind = OutcomeKind::interrupted}, "");
  } else {
    fail({.code = "agent_exited",
          .reason = "the agent ended (" + std::string(status) + ") before its turn was over"});
  }
  return std::exchange(out_, {});
}

void CodexSession::line(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return;
  const auto parsed = base::parse_json(text, {.max_depth = max_depth, .max_bytes = limits_.line_bytes});
  const auto* message = parsed ? parsed->if_object() : nullptr;
  if (!message) {
    out_.push_back(LogLine{R"({"unreadableBytes":)" + std::to_string(text.size()) + "}"});
    return protocol_error("a line that is not a JSON object");
  }
  if (auto log = log_line(text, *message)) out_.push_back(LogLine{std::move(*log)});
  const auto method = base::get_string(*message, "method");
  const auto* id = message->if_contains("id");
  if (method && id) return request(*method, *id, object_of(*message, "params"));
  if (method) return notification(*method, object_of(*message, "params"));
  const auto number = base::get_int(*message, "id");
  const bool answers = message->contains("result") || message->contains("error");
  if (!number || !answers) return protocol_error("a message that is no request, response or notification");
  response(*number, *message);
}

void CodexSession::response(std::int64_t id, const json::object& message) {
  const auto* error = base::get_object(message, "error");
  if (id == initialize_id && phase_ == Phase::initializing) {
    if (!base::get_object(message, "result")) {
      return protocol_error("no result of initialize: " + (error ? text_of(*error, "message") : ""));
    }
    phase_ = Phase::opening_thread;
    send(initialized_notification());
    return send(thread_request(spec_));
  }
  if (id == thread_id && phase_ == Phase::opening_thread) return thread_opened(message);
  if (id == turn_id && phase_ == Phase::starting_turn) return turn_accepted(message);
  if (id == interrupt_id && interrupted_) return;
  protocol_error("a response to nothing that was asked");
}

void CodexSession::thread_opened(const json::object& message) {
  const bool resumes = !spec_.resume_thread.empty();
  if (const auto* error = base::get_object(message, "error")) {
    auto failure = failure_of(*error);
    if (resumes) failure.code = "session_not_found";
    return fail(std::move(failure));
  }
  thread_ = text_of(object_of(object_of(message, "result"), "thread"), "id");
  if (thread_.empty()) return protocol_error("a thread without an id");
  if (resumes && thread_ != spec_.resume_thread) return protocol_error("another thread than was asked for");
  events_.thread_started(out_, thread_);
  phase_ = Phase::starting_turn;
  send(turn_request(spec_, thread_));
}

void CodexSession::turn_accepted(const json::object& message) {
  if (const auto* error = base::get_object(message, "error")) return fail(failure_of(*error));
  const auto turn = text_of(object_of(object_of(message, "result"), "turn"), "id");
  if (turn.empty()) return protocol_error("a turn without an id");
  turn_ = turn;
  phase_ = Phase::in_turn;
  if (interrupted_) send_interrupt();
}

void CodexSession::notification(std::string_view method, const json::object& params) {
  if (phase_ != Phase::in_turn && phase_ != Phase::starting_turn) return;
  if (method == "item/started" || method == "item/completed") return item(method, params);
  if (method == "item/commandExecution/outputDelta") {
    const auto* delta = params.if_contains("delta");
    const auto* text = delta ? delta->if_string() : nullptr;
    return events_.command_wrote(out_, text_of(params, "itemId"), other_thread(params),
                                 text ? std::string_view(*text) : std::string_view());
  }
  if (!is_own(params)) return;
  if (method == "thread/tokenUsage/updated") return usage(params);
  if (method == "turn/completed") return turn_completed(params);
  if (method == "turn/plan/updated") return events_.plan_updated(out_, params);
  if (method == "turn/started" && !std::exchange(turn_started_, true)) return events_.turn_started(out_);
  if (method == "error" && base::get_bool(params, "willRetry").value_or(false)) {
    return events_.retrying(out_, object_of(params, "error"));
  }
  if (method == "item/commandExecution/terminalInteraction") return typed(params);
  if (method == "serverRequest/resolved") {
    const auto* id = params.if_contains("requestId");
    const auto found = questions_.find(id ? base::to_text(*id) : "");
    if (found == questions_.end()) return;
    if (!found->second.held) out_.push_back(Withdraw{found->first});
    questions_.erase(found);
  }
}

// Into a terminal whose command was accepted. The CLI does not ask, so where each call is judged it is one
// too many.
void CodexSession::typed(const json::object& params) {
  const bool judged = spec_.gates_calls || spec_.runtime.mode == "auto_review";
  if (!judged || text_of(params, "stdin").empty()) return;
  fail({.code = "ungated_tool_call",
        .reason = "the agent typed into a running command, which nobody was asked about"});
}

void CodexSession::item(std::string_view method, const json::object& params) {
  const auto& item = object_of(params, "item");
  if (text_of(item, "type").empty() || text_of(item, "id").empty()) {
    return protocol_error("an item without a type or an id");
  }
  if (method == "item/completed") {
    return events_.item_completed(out_, item, other_thread(params));
  }
  events_.item_started(out_, item);
  if (events_.open_too_much()) return protocol_error("more open tool calls than one turn may have");
  ask_held(text_of(item, "id"));
}

void CodexSession::usage(const json::object& params) {
  const bool current = !turn_.empty() && text_of(params, "turnId") == turn_;
  usage_.update(object_of(params, "tokenUsage"),
                current ? UsageMeter::Turn::this_one : UsageMeter::Turn::earlier);
}

void CodexSession::turn_completed(const json::object& params) {
  const auto& turn = object_of(params, "turn");
  if (!turn_.empty() && text_of(turn, "id") != turn_) return;
  const auto status = text_of(turn, "status");
  constexpr auto type = "turn.completed";
  if (status == "completed") return finish({.kind = OutcomeKind::completed}, type);
  if (status == "interrupted" && interrupted_) return finish({.kind = OutcomeKind::interrupted}, type);
  if (status == "interrupted") {
    return fail({.code = "provider_runtime_failed",
                 .reason = "the agent interrupted its turn by itself",
                 .cause = "interrupted"},
                type);
  }
  if (status == "failed") return fail(failure_of(object_of(turn, "error")), type);
  protocol_error("a completed turn with the status \"" + one_line(status, *spec_.hidden) + "\"");
}

void CodexSession::request(std::string_view method, const json::value& id, const json::object& params) {
  const bool possible = id.is_int64() || id.is_uint64() || id.is_string();
  if (!possible || !request_ids_.insert(short_key(base::to_text(id))).second) {
    return protocol_error("a request with an impossible id");
  }
  if (phase_ != Phase::in_turn && phase_ != Phase::starting_turn) {
    return protocol_error("a request outside of a turn");
  }
  if (request_ids_.size() > max_requests || questions_.size() >= max_open_questions) {
    return protocol_error("more questions than one turn may have");
  }
  auto read = read_request(method, id, params);
  if (auto* question = std::get_if<Question>(&read)) return ask(id, std::move(*question));
  if (auto* reply = std::get_if<FixedReply>(&read)) return send(std::move(reply->bytes));
  auto& bad = std::get<Unacceptable>(read);
  if (!bad.reply.empty()) send(std::move(bad.reply));
  protocol_error(one_line(bad.what, *spec_.hidden));
}

void CodexSession::ask(const json::value& id, Question question) {
  if (interrupted_) return send(answer_to(question.kind, id, Answer::decline));
  if (question.kind == QuestionKind::mcp && question.ask.call_id.empty())
    question.ask.call_id = events_.take_mcp_call(question.ask.args);
  OpenQuestion open{.id = id, .kind = question.kind, .call_id = question.ask.call_id};
  if (question.kind == QuestionKind::mcp) {
    open.server = text_of(question.ask.args, "server");
    open.tool = text_of(question.ask.args, "tool");
  }
  const auto* changes =
      question.kind == QuestionKind::file_change ? events_.open_changes(open.call_id) : nullptr;
  if (question.kind == QuestionKind::file_change && !changes) {
    const auto ask_id = question.ask.ask_id;
    open.held = std::move(question.ask);
    questions_[ask_id] = std::move(open);
    return;
  }
  if (changes) add_changes(question.ask, *changes, spec_.cwd);
  questions_[question.ask.ask_id] = std::move(open);
  put(std::move(question.ask));
}

void CodexSession::put(Ask ask) {
  ask.title = one_line(ask.title, *spec_.hidden);
  out_.push_back(std::move(ask));
}

void CodexSession::ask_held(const std::string& call_id) {
  const auto* changes = events_.open_changes(call_id);
  for (auto& [ask_id, question] : questions_) {
    if (!changes || !question.held || question.call_id != call_id) continue;
    add_changes(*question.held, *changes, spec_.cwd);
    put(std::move(*question.held));
    question.held.reset();
  }
}

void CodexSession::withdraw_all() {
  for (const auto& [ask_id, question] : std::exchange(questions_, {})) {
    events_.never_released(question.call_id);
    if (!question.held) out_.push_back(Withdraw{ask_id});
  }
}

void CodexSession::send_interrupt() {
  send(interrupt_request(thread_, turn_));
}

void CodexSession::protocol_error(const std::string& what) {
  fail({.code = "agent_protocol_error", .reason = "the agent sent " + what});
}

void CodexSession::fail(model::RunFailure failure, const std::string& event_type) {
  failure.reason = spec_.hidden->cut(failure.reason, model::defaults::event_field_bytes);
  finish({.kind = OutcomeKind::failed, .failure = std::move(failure)}, event_type);
}

void CodexSession::finish(Outcome outcome, const std::string& event_type) {
  withdraw_all();
  events_.turn_ended(out_, outcome, event_type);
  outcome.response_text = events_.response_text();
  outcome.response_event_type = events_.response_event_type();
  outcome.thread_id = thread_;
  outcome.usage = usage_.of_turn();
  out_.push_back(std::move(outcome));
  phase_ = Phase::over;
}

}  // namespace

std::unique_ptr<Session> make_codex_session(TurnSpec spec, SessionLimits limits) {
  return std::make_unique<CodexSession>(std::move(spec), limits);
}

}  // namespace agentrouter::agents
