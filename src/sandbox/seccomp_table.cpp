#include <cerrno>

#include "sandbox/seccomp.h"
#include "sandbox/seccomp_groups.h"

namespace agentrouter::sandbox {
namespace {

struct Answered {
  Reach reach;
  std::string_view agent;
  std::string_view collector;
};
constexpr Answered answers[] = {{Reach::everybody, "allowed", "allowed"},
                                {Reach::agent, "allowed", "EPERM"},
                                {Reach::refused, "EPERM", "EPERM"},
                                {Reach::absent, "ENOSYS", "ENOSYS"}};

std::string_view name_of_error(int error) {
  switch (error) {
    case EPERM:
      return "EPERM";
    case EINVAL:
      return "EINVAL";
    case ENOSYS:
      return "ENOSYS";
    case done_already:
      return "success, and nothing is changed";
    case EAFNOSUPPORT:
      return "EAFNOSUPPORT";
    case ESOCKTNOSUPPORT:
      return "ESOCKTNOSUPPORT";
    case EPROTONOSUPPORT:
      return "EPROTONOSUPPORT";
  }
  return "?";
}

void put_rules(std::string& text, const std::vector<ArgumentRule>& rules) {
  text += "\n| Call | With | Answer | Why |\n| --- | --- | --- | --- |\n";
  for (const auto& rule : rules) {
    text.append("| ").append(rule.call).append(" | ").append(rule.what).append(" | ");
    text.append(name_of_error(rule.error)).append(" | ").append(rule.reason).append(" |\n");
  }
}

}  // namespace

std::string seccomp_table() {
  std::string text = "| Group | Agent | Collector | Why | Calls |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& answer : answers) {
    for (const auto& group : call_groups()) {
      if (group.reach != answer.reach) continue;
      text.append("| ").append(group.name).append(" | ").append(answer.agent).append(" | ");
      text.append(answer.collector).append(" | ").append(group.reason).append(" |");
      for (const auto call : group.calls) text.append(" ").append(call);
      text += " |\n";
    }
  }
  put_rules(text, argument_rules());
  text += "\nOf programs that init starts for the agent, beside:\n";
  put_rules(text, sealing_rules());
  return text;
}

}  // namespace agentrouter::sandbox
