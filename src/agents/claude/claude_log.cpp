#include "agents/claude/claude_log.h"

#include "agents/payload.h"

namespace agentrouter::agents::claude {

namespace {

bool is_left_out(const json::object& message) {
  const auto type = base::get_string(message, "type").value_or("");
  return type == "stream_event" || type == "keep_alive" ||
         (type == "system" && base::get_string(message, "subtype") == "thinking_tokens");
}

void strip(json::object& object) {
  for (const auto* key : {"thinking", "signature", "encrypted_content", "encrypted_index"}) object.erase(key);
  const auto type = base::get_string(object, "type").value_or("");
  if (type == "redacted_thinking") object.erase("data");
  // Whatever else a block of thinking may hold some day.
  if (type == "thinking") object = {{"type", "thinking"}};
}

}  // namespace

std::optional<std::string> log_line(std::string_view line, const json::object& message) {
  if (is_left_out(message)) return std::nullopt;
  // A JSON text may escape any letter, so a line with \u is looked at as well.
  const auto holds = [&](std::string_view word) { return line.find(word) != std::string_view::npos; };
  if (!holds("thinking") && !holds("ncrypted") && !holds("signature") && !holds("\\u"))
    return std::string(line);
  return stripped_line(line, message, strip);
}

}  // namespace agentrouter::agents::claude
