#pragma once
// Notices an agent that goes in circles: the same command with the same result, or the same edit, three
// times. A command that succeeds with output not seen before is progress and clears what succeeded earlier,
// so looking at the same thing between two steps forward is no signal. Failures are never cleared.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::policy {

class NoProgress {
 public:
  // One finished command. `exit_code` is absent when it never ran to its end.
  // Returns the fields of agent.no_progress (without provider) when a signal fires; each key fires once per
  // run.
  [[nodiscard]] std::optional<json::object> command(std::string_view command,
                                                    std::optional<std::int64_t> exit_code,
                                                    std::string_view output);
  // One change of one file that was made: `content` is its diff or text.
  [[nodiscard]] std::optional<json::object> edit(std::string_view path, std::string_view content);

  static constexpr int threshold = 3;
  // Keys remembered; at the limit all counts start anew, so that a run of any length stays small.
  static constexpr std::size_t max_keys = 4096;

 private:
  struct Count {
    int seen = 0;
    bool succeeded = false;
    bool fired = false;
  };
  Count& count_of(const std::string& key);
  void forget_successes(const std::string& except);

  std::map<std::string, Count> counts_;
};

}  // namespace agentrouter::policy
