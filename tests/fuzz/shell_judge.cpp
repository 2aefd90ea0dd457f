// For shell_differential.py: reads scripts ended by NUL, answers each with the number of its verdict.
#include <iostream>
#include <string>

#include "policy/rules.h"

using namespace agentrouter;

int main() {
  const auto document = base::value_or_throw(base::parse_json(
      R"({"name":"p","default":"allow","rules":[{"tool":"shell","command":"marked","verdict":"deny"}]})"));
  const auto rules = base::value_or_throw(policy::Rules::parse(document.as_object()));
  for (std::string script; std::getline(std::cin, script, '\0');) {
    const auto verdict = rules.judge({.tool = "shell", .args = {{"command", script}}});
    std::cout << static_cast<int>(verdict.decision) << std::endl;
  }
  return 0;
}
