// covers: src/policy/rule_document.cpp src/policy/rules.cpp src/policy/no_progress_rules.cpp
// Policy documents from arbitrary JSON: an error or rules that survive a round trip.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/rules.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto value = base::parse_json({reinterpret_cast<const char*>(data), size});
  if (!value || !value->is_object()) return 0;
  const auto rules = policy::Rules::parse(value->as_object());
  if (!rules) return 0;
  const auto again = policy::Rules::parse(rules->document());
  if (!again || again->version() != rules->version()) std::abort();
  const policy::ActionFacts facts{.tool = "shell", .args = {{"command", "git -C a push $b > c"}}, .week_minute = 700};
  std::ignore = rules->judge(facts);
  return 0;
}
