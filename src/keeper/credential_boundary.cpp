#include "keeper/credential_boundary.h"

#include <algorithm>

namespace agentrouter::keeper {

std::string surface_with_key(const agents::AgentProgram& program, std::string_view key) {
  if (key.empty()) return {};
  const auto holds = [key](std::string_view text) { return text.find(key) != std::string_view::npos; };
  if (std::any_of(program.env.begin(), program.env.end(), holds)) return "env";
  if (std::any_of(program.argv.begin(), program.argv.end(), holds)) return "proc";
  for (const auto& file : program.files) {
    if (holds(file.path) || holds(file.content)) return "home";
  }
  return {};
}

}  // namespace agentrouter::keeper
