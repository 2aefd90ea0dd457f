#include "model/isolation.h"

namespace agentrouter::model {

std::string_view to_string(Isolation isolation) {
  switch (isolation) {
    case Isolation::process:
      return "process";
    case Isolation::user_kernel:
      return "user-kernel";
    case Isolation::vm:
      return "vm";
  }
  return "process";
}

std::optional<Isolation> parse_isolation(std::string_view text) {
  for (const auto one : {Isolation::process, Isolation::user_kernel, Isolation::vm}) {
    if (to_string(one) == text) return one;
  }
  return std::nullopt;
}

}  // namespace agentrouter::model
