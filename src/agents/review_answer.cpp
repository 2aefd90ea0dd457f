#include "agents/payload.h"
#include "agents/provider_failure.h"
#include "agents/review.h"

namespace agentrouter::agents {

namespace {

// The one text of an answer that is complete; nothing when it is cut, refused, empty or in parts.
std::optional<std::string> text_of_response(const json::object& answer) {
  if (base::get_string(answer, "status") != "completed") return std::nullopt;
  const auto* output = base::get_array(answer, "output");
  std::optional<std::string> text;
  for (const auto& entry : output ? *output : json::array{}) {
    const auto* item = entry.if_object();
    if (!item || text_of(*item, "type") != "message") continue;
    const auto* content = base::get_array(*item, "content");
    if (text || !content || content->size() != 1 || !content->front().is_object()) return std::nullopt;
    const auto& part = content->front().get_object();
    if (text_of(part, "type") != "output_text") return std::nullopt;
    text = text_of(part, "text");
  }
  return text;
}

std::optional<std::string> text_of_message(const json::object& answer) {
  if (base::get_string(answer, "stop_reason") != "end_turn") return std::nullopt;
  const auto* content = base::get_array(answer, "content");
  std::optional<std::string> text;
  for (const auto& entry : content ? *content : json::array{}) {
    const auto* block = entry.if_object();
    if (!block || text_of(*block, "type") != "text") continue;
    if (text) return std::nullopt;
    text = text_of(*block, "text");
  }
  return text;
}

ReviewVerdict denial(std::string reason) {
  return {false, std::move(reason)};
}

ReviewVerdict verdict_of(std::string_view text, const base::Redactor& hidden) {
  const auto value = base::parse_json(text, {.max_depth = 4, .max_bytes = 64u << 10});
  const auto* verdict = value ? value->if_object() : nullptr;
  if (!verdict || verdict->size() != 3) return denial("the reviewer's answer is no verdict");
  const auto outcome = base::get_string(*verdict, "outcome");
  const auto risk = base::get_string(*verdict, "risk");
  const auto reason = base::get_string(*verdict, "reason");
  const bool known = risk == "low" || risk == "medium" || risk == "high";
  if (!reason || !known || (outcome != "allow" && outcome != "deny"))
    return denial("the reviewer's answer is no verdict");
  const auto said = one_line(*reason, hidden);
  if (outcome == "allow" && risk == "high") return denial("the reviewer allows a call of high risk: " + said);
  return {outcome == "allow", said.empty() ? "the reviewer gave no reason" : said};
}

}  // namespace

ReviewVerdict read_review(model::RuntimeKind kind, int status, std::string_view body,
                          const base::Redactor& hidden) {
  if (status != 200) {
    return denial("the reviewer could not be asked: " + std::string(cause_of_status(status)) + " (" +
                  std::to_string(status) + ")");
  }
  const auto value = base::parse_json(body, {.max_depth = 64, .max_bytes = 1u << 20});
  const auto* answer = value ? value->if_object() : nullptr;
  if (!answer) return denial("the reviewer's answer cannot be read");
  const auto text = kind == model::RuntimeKind::codex ? text_of_response(*answer) : text_of_message(*answer);
  if (!text) return denial("the reviewer gave no complete answer");
  return verdict_of(*text, hidden);
}

}  // namespace agentrouter::agents
