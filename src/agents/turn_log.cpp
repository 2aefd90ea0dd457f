#include "agents/turn_log.h"

#include <utility>

#include "agents/payload.h"

namespace agentrouter::agents {

namespace {

constexpr std::size_t max_open_calls = 1000;
constexpr std::size_t max_open_bytes = 16u << 20;

// Text that others cut, so that no secret may be left in it.
class Cleaned {
 public:
  Cleaned(const base::Redactor& hidden, std::string_view text) : text_(text) {
    if (!hidden.occurs_in(text)) return;
    own_ = text;
    hidden.clean(own_, base::Redactor::Text::plain);
    text_ = own_;
  }
  Cleaned(const Cleaned&) = delete;
  Cleaned& operator=(const Cleaned&) = delete;
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  std::string own_;
  std::string_view text_;
};

}  // namespace

TurnLog::TurnLog(std::string provider, std::size_t response_bytes, policy::NoProgress* progress,
                 const base::Redactor& hidden)
    : provider_(std::move(provider)),
      response_bytes_(response_bytes),
      own_progress_(progress == nullptr ? std::make_unique<policy::NoProgress>() : nullptr),
      progress_(progress == nullptr ? own_progress_.get() : progress),
      hidden_(hidden) {}

void TurnLog::emit(Outputs& out, std::string type, const std::string& line, json::object fields) const {
  json::object payload;
  payload["provider"] = provider_;
  for (auto& field : fields) payload[field.key()] = std::move(field.value());
  cap_fields(payload, hidden_);
  out.push_back(EmitEvent{std::move(type), line, std::move(payload)});
}

void TurnLog::message(Outputs& out, const std::string& line, std::string_view text) {
  if (text.empty()) return;
  respond(line, text);
  emit(out, "agent.message", line, {{"text", text}});
}

void TurnLog::respond(const std::string& line, std::string_view text) {
  response_text_ = hidden_.cut(text, response_bytes_);
  response_event_type_ = line;
}

bool TurnLog::tool_started(Outputs& out, const std::string& line, const ToolCall& call, json::value kept) {
  const auto [open, is_new] = open_.try_emplace(call.call_id);
  if (!is_new) return false;
  open->second.bytes = kept.is_null() ? 0 : base::to_text(kept).size();
  open->second.kept = std::move(kept);
  open_bytes_ += open->second.bytes;
  json::object payload;
  payload["callId"] = call.call_id;
  if (!call.parent_call_id.empty()) payload["parentCallId"] = call.parent_call_id;
  payload["tool"] = call.tool;
  payload["title"] = line_of(call.title);
  payload["args"] = bounded_args(call.args, hidden_);
  emit(out, "agent.tool_started", line, std::move(payload));
  return true;
}

std::string TurnLog::line_of(std::string_view text) const {
  return one_line(text, hidden_);
}

const json::value* TurnLog::kept(const std::string& call_id) const {
  const auto found = open_.find(call_id);
  return found == open_.end() ? nullptr : &found->second.kept;
}

std::optional<json::value> TurnLog::close(const std::string& call_id) {
  const auto found = open_.find(call_id);
  if (found == open_.end()) return std::nullopt;
  open_bytes_ -= found->second.bytes;
  auto kept = std::move(found->second.kept);
  open_.erase(found);
  return kept;
}

bool TurnLog::open_too_much() const {
  return open_.size() > max_open_calls || open_bytes_ > max_open_bytes;
}

void TurnLog::report(Outputs& out, const std::string& line, policy::NoProgress::Found signals) const {
  for (auto& signal : signals) emit(out, "agent.no_progress", line, std::move(signal));
}

void TurnLog::finished(Outputs& out, const std::string& line, const policy::FinishedCall& call) {
  const auto title = line_of(call.title);
  const Cleaned shown(hidden_, title), command(hidden_, call.command), output(hidden_, call.output);
  auto cleaned = call;
  cleaned.title = shown.text();
  cleaned.command = command.text();
  cleaned.output = output.text();
  report(out, line, progress_->finished(cleaned));
}

void TurnLog::running(Outputs& out, const std::string& line, std::string_view agent, std::string_view command,
                      policy::NoProgress::Written so_far) {
  report(out, line, progress_->running(agent, Cleaned(hidden_, command).text(), so_far));
}

void TurnLog::turn_ended(Outputs& out, const Outcome& outcome, const std::string& line) {
  for (const auto& [call_id, open] : std::exchange(open_, {})) {
    emit(out, "agent.tool_completed", line,
         {{"callId", call_id},
          {"status", never_released_.contains(call_id) ? "declined" : "failed"},
          {"output", ""}});
  }
  if (outcome.kind == OutcomeKind::completed) {
    emit(out, "agent.progress", line, {{"summary", "Turn completed"}});
    return emit(out, "agent.completed", line, {{"message", "completed"}});
  }
  const auto interrupted = outcome.kind == OutcomeKind::interrupted;
  emit(out, "agent.error", line,
       {{"message", interrupted ? "The turn was interrupted" : outcome.failure.reason}});
}

}  // namespace agentrouter::agents
