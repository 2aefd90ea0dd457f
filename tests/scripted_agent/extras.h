#pragma once
// The five lines that only the scripted agent knows. They stand in a script like any other step:
//
//   sim: garbage                       a line on stdout that is no JSON
//   sim: flood <bytes> [line|stderr]   that many bytes of output: messages, one line without an end, or stderr
//   sim: crowd <n> <command>           asks about n commands at once ("<command> 1" and so on), then runs them
//                                      as they are approved
//   sim: exit <code>                   ends the process at once
//   sim: hang                          never says or does anything again, whatever it is told

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "sim/script.h"

namespace agentrouter::scripted_agent {

struct Garbage {};
struct Flood {
  std::size_t bytes = 0;
  enum class Shape { messages, line, diagnostics } shape = Shape::messages;
};
struct Crowd {
  std::size_t questions = 0;
  std::string command;
};
struct Exit {
  int code = 0;
};
struct Hang {};
using Extra = std::variant<Garbage, Flood, Crowd, Exit, Hang>;

// The task with these lines written as `sim: call` lines, so that the product's parser takes them.
[[nodiscard]] std::string with_extras(std::string_view task);

// Nothing when the call is none of them.
[[nodiscard]] std::optional<Extra> extra_of(const sim::NamedTool& call);

}  // namespace agentrouter::scripted_agent
