#pragma once
// What stands between an agent and the machine, from the weakest to the strongest. The enumerators are in the
// order of strength.

#include <optional>
#include <string_view>

namespace agentrouter::model {

enum class Isolation {
  process,      // namespaces, seccomp, no capabilities: the host's kernel is shared
  user_kernel,  // wire: user-kernel; a kernel of its own in user space
  vm,           // a virtual machine
};

[[nodiscard]] std::string_view to_string(Isolation isolation);
[[nodiscard]] std::optional<Isolation> parse_isolation(std::string_view text);
// Whether `given` is at least what is demanded.
[[nodiscard]] constexpr bool satisfies(Isolation given, Isolation demanded) {
  return given >= demanded;
}

}  // namespace agentrouter::model
