#include "policy/command.h"

namespace agentrouter::policy {

Script understand(std::string_view script, std::string_view, ScriptLimits) {
  Script result;
  result.opaque = true;
  result.doubt = "shell commands are not looked into yet: " + std::string(script.substr(0, 40));
  return result;
}

std::string to_text(const Command& command) {
  std::string text;
  for (const auto& word : command.words) text.append(text.empty() ? "" : " ").append(word.text);
  return text;
}

}  // namespace agentrouter::policy
