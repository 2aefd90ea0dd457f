#pragma once
// What counts as an agent that makes no progress, and what follows: thresholds and actions for each signal.
// The table [no_progress] of a policy; without one every signal is only told of. docs/no-progress.md has the
// meaning of each number.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace agentrouter::policy {

enum class Signal {
  repeated_command,
  repeated_edit,
  repeated_call,
  ping_pong,
  reverted_edit,
  error_loop,
  long_output_without_state,
  long_silence
};
inline constexpr std::size_t signal_count = 8;
[[nodiscard]] std::string_view to_string(Signal signal);
[[nodiscard]] std::optional<Signal> parse_signal(std::string_view text);

// From the loosest to the strictest: an agent that is interrupted goes on by itself, one that is asked about
// does not.
enum class Intervention { warn, interrupt, ask, stop };
[[nodiscard]] std::string_view to_string(Intervention action);

struct SignalRules {
  int after = 0;  // how often, or how much of it: lines, seconds
  // By occurrence in the run, the last one for all that follow. Empty: NoProgressRules::actions.
  std::vector<Intervention> actions = {};
};

struct NoProgressRules {
  // repeated_command, repeated_edit, repeated_call, ping_pong (rounds), reverted_edit (reversals),
  // error_loop, long_output_without_state (raw lines), long_silence (seconds).
  std::array<SignalRules, signal_count> signals{{{3}, {3}, {5}, {3}, {3}, {6}, {50}, {60}}};
  std::vector<Intervention> actions{Intervention::warn};
  int polls = 30;              // in place of `after` for calls that wait before they look
  int failures = 10;           // failing calls one after the other, whatever the errors
  int command_kib = 512;  // of output of one command
  int interrupts = 2;          // of one run; the next one stops it
  bool dry_run = false;        // nothing but a warning, which says what it would have been

  [[nodiscard]] int after(Signal signal) const { return signals[static_cast<std::size_t>(signal)].after; }
  // What follows from the signal as the run's `occurrence`th (from 1), after so many interrupts.
  [[nodiscard]] Intervention action(Signal signal, int occurrence, int interrupted) const;
  // Whether anything may follow from the signal but a warning: then it can come again.
  [[nodiscard]] bool intervenes(Signal signal) const;

  // Errors: invalid (policy_invalid): where, what and what is wanted.
  [[nodiscard]] static base::Result<NoProgressRules> parse(const json::value& table);
};

// Of two the stricter: lower thresholds, stricter actions. A dry run loosens nothing.
[[nodiscard]] NoProgressRules tightened(const NoProgressRules& one, const NoProgressRules& other);

// `table` with what it leaves out taken from `parent`, key by key, also within a signal's table.
[[nodiscard]] json::object inherited_no_progress(json::object table, const json::object& parent);

}  // namespace agentrouter::policy
