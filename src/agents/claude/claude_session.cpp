#include "agents/claude/claude_session.h"

#include <map>
#include <set>
#include <utility>

#include "agents/claude/claude_events.h"
#include "agents/claude/claude_failure.h"
#include "agents/claude/claude_log.h"
#include "agents/claude/claude_messages.h"
#include "agents/claude/claude_usage.h"
#include "agents/line_splitter.h"
#include "agents/payload.h"

namespace agentrouter::agents {

namespace {

using namespace claude;

// Below the 128 that a journalled event may nest, so that no argument of a tool can break an event.
constexpr std::size_t max_depth = 120;
// What an agent may make us remember.
constexpr std::size_t max_requests = 100'000;
constexpr std::size_t max_open_questions = 64;
constexpr std::size_t max_question_bytes = 16u << 20;

Ask ask_about(const std::string& id, std::string_view name, const ToolCall& call, const json::object& input,
              const base::Redactor& hidden) {
  return {.ask_id = id,
          .tool = call.tool,
          .title = one_line(call.title, hidden),
          .args = call.args,
          .call_id = call.call_id,
          .input_digest = base::json_digest(json::object{{"tool", name}, {"input", input}})};
}

class ClaudeSession final : public Session {
 public:
  ClaudeSession(TurnSpec spec, SessionLimits limits)
      : spec_(std::move(spec)),
        limits_(limits),
        lines_(limits.line_bytes),
        events_(spec_.cwd, limits.response_bytes, spec_.progress, *spec_.hidden) {}

  Outputs start() override;
  Outputs feed(std::string_view bytes) override;
  Outputs answer(const std::string& ask_id, Answer answer, std::string_view reason) override;
  std::optional<Ask> edit(const std::string& ask_id, const json::object& input) override;
  Outputs interrupt() override;
  Outputs ended(std::string_view status) override;

 private:
  enum class Phase { initializing, in_turn, over };
  struct OpenQuestion {
    std::string name;  // of the tool
    json::value input;
    std::size_t bytes = 0;
    std::string call_id;
  };

  void line(std::string_view text);
  void response(const json::object& message);
  void status(const json::object& message);
  void request(const json::object& message);
  void ask(const std::string& id, const json::object& request);
  void cancelled(const std::string& id);
  void result(const json::object& message);
  void withdraw_all();
  void send(std::string bytes) { out_.push_back(SendBytes{std::move(bytes)}); }
  void protocol_error(const std::string& what);
  void fail(model::RunFailure failure, const std::string& event_type = {});
  void finish(Outcome outcome, const std::string& event_type);

  TurnSpec spec_;
  SessionLimits limits_;
  LineSplitter lines_;
  TurnEvents events_;
  Phase phase_ = Phase::initializing;
  std::uint64_t seen_bytes_ = 0;
  std::string session_;
  bool interrupted_ = false;
  std::optional<TokenUsage> usage_;
  std::optional<double> cost_usd_;
  std::map<std::string, OpenQuestion> questions_;  // by ask id: not answered and not withdrawn
  std::size_t question_bytes_ = 0;
  std::set<std::string> request_ids_;  // every one that came
  Outputs out_;
};

Outputs ClaudeSession::start() {
  send(initialize_request());
  return std::exchange(out_, {});
}

Outputs ClaudeSession::feed(std::string_view bytes) {
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

Outputs ClaudeSession::answer(const std::string& ask_id, Answer answer, std::string_view reason) {
  const auto found = questions_.find(ask_id);
  if (phase_ == Phase::over || found == questions_.end()) return {};
  const auto question = std::move(found->second);
  questions_.erase(found);
  question_bytes_ -= question.bytes;
  if (answer == Answer::accept) {
    events_.released(question.call_id);
    send(allowed(ask_id, question.input));
  } else {
    events_.declined(question.call_id);
    send(denied(ask_id, reason));
  }
  return std::exchange(out_, {});
}

std::optional<Ask> ClaudeSession::edit(const std::string& ask_id, const json::object& input) {
  const auto found = questions_.find(ask_id);
  if (phase_ == Phase::over || found == questions_.end()) return std::nullopt;
  auto& question = found->second;
  question.input = input;
  return ask_about(ask_id, question.name, tool_call_of(question.name, question.call_id, input, spec_.cwd),
                   input, *spec_.hidden);
}

Outputs ClaudeSession::interrupt() {
  if (phase_ == Phase::over || std::exchange(interrupted_, true)) return {};
  withdraw_all();
  if (phase_ == Phase::in_turn) {
    send(interrupt_request());
  } else {
    finish({.kind = OutcomeKind::interrupted}, "");  // nothing was begun
  }
  return std::exchange(out_, {});
}

Outputs ClaudeSession::ended(std::string_view status) {
  if (phase_ == Phase::over) return {};
  if (interrupted_) {
    finish({.kind = OutcomeKind::interrupted}, "");
  } else {
    fail({.code = "agent_exited",
          .reason = "the agent ended (" + std::string(status) + ") before its turn was over"});
  }
  return std::exchange(out_, {});
}

void ClaudeSession::line(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return;
  const auto parsed = base::parse_json(text, {.max_depth = max_depth, .max_bytes = limits_.line_bytes});
  const auto* message = parsed ? parsed->if_object() : nullptr;
  if (!message) {
    out_.push_back(LogLine{R"({"unreadableBytes":)" + std::to_string(text.size()) + "}"});
    return protocol_error("a line that is not a JSON object");
  }
  if (auto log = log_line(text, *message)) out_.push_back(LogLine{std::move(*log)});
  const auto type = base::get_string(*message, "type").value_or("");
  if (type.empty()) return protocol_error("a message without a type");
  if (type == "control_response") return response(*message);
  if (type == "control_request") return request(*message);
  if (type == "control_cancel_request") return cancelled(text_of(*message, "request_id"));
  if (type == "result") return result(*message);
  if (phase_ != Phase::in_turn) return;
  if (type == "system") return status(*message);
  if (type == "assistant" && !events_.assistant(out_, *message)) {
    return protocol_error("a tool call without an id or a name");
  }
  if (type == "user" && !events_.user(out_, *message)) {
    return fail({.code = "ungated_tool_call", .reason = "the agent ran a tool that nobody had released"});
  }
  if (events_.open_too_much()) protocol_error("more open tool calls than one turn may have");
}

void ClaudeSession::response(const json::object& message) {
  const auto& response = object_of(message, "response");
  const auto id = text_of(response, "request_id");
  if (id == initialize_id && phase_ == Phase::initializing) {
    if (base::get_string(response, "subtype") != "success") {
      return protocol_error("no result of initialize: " +
                            one_line(text_of(response, "error"), *spec_.hidden));
    }
    phase_ = Phase::in_turn;
    return send(user_message(spec_));
  }
  if (id == interrupt_id && interrupted_) return;
  protocol_error("a response to nothing that was asked");
}

void ClaudeSession::status(const json::object& message) {
  const auto subtype = text_of(message, "subtype");
  if (subtype != "init") return events_.status(out_, subtype, message);
  const auto session = text_of(message, "session_id");
  if (session.empty()) return protocol_error("a session without an id");
  const auto& expected = session_.empty() ? spec_.resume_thread : session_;
  if (!expected.empty() && session != expected) {
    return protocol_error("another session than was asked for");
  }
  if (!session_.empty()) return;
  session_ = session;
  events_.session_started(out_, session_);
}

void ClaudeSession::request(const json::object& message) {
  const auto id = text_of(message, "request_id");
  if (id.empty() || !request_ids_.insert(short_key(id)).second) {
    return protocol_error("a request with an impossible id");
  }
  if (phase_ != Phase::in_turn) return protocol_error("a request outside of a turn");
  if (request_ids_.size() > max_requests || questions_.size() >= max_open_questions) {
    return protocol_error("more questions than one turn may have");
  }
  const auto& request = object_of(message, "request");
  if (base::get_string(request, "subtype") == "can_use_tool") return ask(id, request);
  send(refused(id));
  protocol_error("a request that this version does not know: " +
                 one_line(text_of(request, "subtype"), *spec_.hidden));
}

void ClaudeSession::ask(const std::string& id, const json::object& request) {
  const auto name = text_of(request, "tool_name");
  const auto call_id = text_of(request, "tool_use_id");
  const auto* input = base::get_object(request, "input");
  if (name.empty() || call_id.empty() || !input) return protocol_error("a question about no tool call");
  const auto call = events_.asked(out_, name, call_id, *input);
  if (interrupted_) {
    events_.never_released(call_id);
    return send(denied(id));
  }
  OpenQuestion question{.name = name, .input = *input, .bytes = base::to_text(*input).size(), .call_id = call_id};
  question_bytes_ += question.bytes;
  if (question_bytes_ > max_question_bytes || events_.open_too_much()) {
    return protocol_error("more questions than one turn may have");
  }
  questions_[id] = std::move(question);
  out_.push_back(ask_about(id, name, call, *input, *spec_.hidden));
}

void ClaudeSession::cancelled(const std::string& id) {
  const auto found = questions_.find(id);
  if (found == questions_.end()) return;
  events_.never_released(found->second.call_id);
  question_bytes_ -= found->second.bytes;
  questions_.erase(found);
  out_.push_back(Withdraw{id});
}

void ClaudeSession::result(const json::object& message) {
  constexpr auto type = "result";
  const auto subtype = base::get_string(message, "subtype").value_or("");
  const bool failed = subtype != "success" || base::get_bool(message, "is_error").value_or(true);
  if (phase_ == Phase::initializing && !failed) return protocol_error("a result before a turn");
  usage_ = usage_of(message);
  cost_usd_ = cost_of(message);
  if (!failed) {
    if (const auto text = text_of(message, "result"); !text.empty()) events_.final_text(text);
    return finish({.kind = OutcomeKind::completed}, type);
  }
  if (interrupted_) return finish({.kind = OutcomeKind::interrupted}, type);
  auto failure = failure_of(message, events_.error_word());
  if (phase_ == Phase::initializing && !spec_.resume_thread.empty()) failure.code = "session_not_found";
  fail(std::move(failure), type);
}

void ClaudeSession::withdraw_all() {
  for (const auto& [ask_id, question] : std::exchange(questions_, {})) {
    events_.never_released(question.call_id);
    out_.push_back(Withdraw{ask_id});
  }
  question_bytes_ = 0;
}

void ClaudeSession::protocol_error(const std::string& what) {
  fail({.code = "agent_protocol_error", .reason = "the agent sent " + what});
}

void ClaudeSession::fail(model::RunFailure failure, const std::string& event_type) {
  failure.reason = spec_.hidden->cut(failure.reason, model::defaults::event_field_bytes);
  finish({.kind = OutcomeKind::failed, .failure = std::move(failure)}, event_type);
}

void ClaudeSession::finish(Outcome outcome, const std::string& event_type) {
  withdraw_all();
  events_.turn_ended(out_, outcome, event_type);
  outcome.response_text = events_.response_text();
  outcome.response_event_type = events_.response_event_type();
  outcome.thread_id = session_;
  outcome.usage = usage_;
  outcome.cost_usd = cost_usd_;
  out_.push_back(std::move(outcome));
  phase_ = Phase::over;
}

}  // namespace

std::unique_ptr<Session> make_claude_session(TurnSpec spec, SessionLimits limits) {
  return std::make_unique<ClaudeSession>(std::move(spec), limits);
}

}  // namespace agentrouter::agents
