#include "agents/codex/codex_log.h"

#include "agents/payload.h"

namespace agentrouter::agents::codex {

namespace {

bool is_left_out(std::string_view method) {
  return method.ends_with("Delta") || method.ends_with("/delta") || method.starts_with("item/reasoning/") ||
         method.starts_with("rawResponse");
}

void strip(json::object& object) {
  object.erase("encrypted_content");
  object.erase("encryptedContent");
  if (base::get_string(object, "type") == "reasoning" && object.contains("content")) {
    object["content"] = json::array{};
  }
}

}  // namespace

std::optional<std::string> log_line(std::string_view line, const json::object& message) {
  if (is_left_out(base::get_string(message, "method").value_or(""))) return std::nullopt;
  // A JSON text may escape any letter, so a line with \u is looked at as well.
  const auto holds = [&](std::string_view word) { return line.find(word) != std::string_view::npos; };
  if (!holds("reasoning") && !holds("ncrypted") && !holds("\\u")) return std::string(line);
  return stripped_line(line, message, strip);
}

}  // namespace agentrouter::agents::codex
