#pragma once
// The lists behind seccomp.h, as data.

#include <cstdint>
#include <string_view>
#include <vector>

namespace agentrouter::sandbox {

enum class Reach {
  everybody,  // allowed to both profiles
  agent,      // not to the collector, which is refused it
  refused,    // EPERM for all
  absent,     // ENOSYS for all, although it is known: programs then take an older call that can be judged
};

struct CallGroup {
  std::string_view name;
  std::string_view reason;
  Reach reach;
  std::vector<std::string_view> calls;
};
[[nodiscard]] const std::vector<CallGroup>& call_groups();

// One thing that is looked at in an argument: its lower 32 bits, which are all of most as the kernel takes
// them, or the others.
struct Look {
  enum class Is { one_of, none_of, with_any_bit_of } is;
  enum class Half { lower, upper };
  unsigned argument;
  std::vector<std::uint32_t> values;
  std::uint32_t mask = 0xffffffff;
  Half half = Half::lower;
};
// A call that is allowed, but is answered with `error` when all that is looked at is so, or nothing is. The
// first that fits counts.
struct ArgumentRule {
  std::string_view call;
  std::string_view what;
  std::string_view reason;
  int error;  // or done_already
  std::vector<Look> looks;
};
// The call says that it has succeeded and does nothing.
inline constexpr int done_already = 0;
[[nodiscard]] const std::vector<ArgumentRule>& argument_rules();
// What is taken from the programs that init starts, beside; init itself needs it to start them.
[[nodiscard]] const std::vector<ArgumentRule>& sealing_rules();

// Calls that are newer than the library that knows the numbers of the others.
struct NewCall {
  std::string_view name;
  int number;
};
[[nodiscard]] const std::vector<NewCall>& new_calls();

}  // namespace agentrouter::sandbox
