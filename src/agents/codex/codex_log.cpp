#include "agents/codex/codex_log.h"

namespace agentrouter::agents::codex {

namespace {

bool is_left_out(std::string_view method) {
  return method.ends_with("Delta") || method.ends_with("/delta") || method.starts_with("item/reasoning/") ||
         method.starts_with("rawResponse");
}

void strip(json::value& value) {
  if (auto* array = value.if_array()) {
    for (auto& item : *array) strip(item);
  }
  auto* object = value.if_object();
  if (!object) return;
  object->erase("encrypted_content");
  object->erase("encryptedContent");
  if (base::get_string(*object, "type") == "reasoning" && object->contains("content")) {
    (*object)["content"] = json::array{};
  }
  for (auto& member : *object) strip(member.value());
}

}  // namespace

std::optional<std::string> log_line(std::string_view line, const json::object& message) {
  if (is_left_out(base::get_string(message, "method").value_or(""))) return std::nullopt;
  // A JSON text may escape any letter, so a line with \u is looked at as well.
  const auto holds = [&](std::string_view word) { return line.find(word) != std::string_view::npos; };
  if (!holds("reasoning") && !holds("ncrypted") && !holds("\\u")) return std::string(line);
  json::value copy = message;
  strip(copy);
  return copy == message ? std::string(line) : base::to_text(copy);
}

}  // namespace agentrouter::agents::codex
