#pragma once
// What `write` and `edit` would change, worked out before anybody is asked, and then done.

#include <optional>
#include <string>

#include "base/json.h"
#include "sim/script.h"

namespace agentrouter::scripted_agent {

struct Change {
  std::string path;     // absolute
  json::object shown;   // {path, kind, diff} as the protocol shows it
  std::string content;  // of the whole file afterwards
};

[[nodiscard]] Change plan(const sim::WriteFile& step, const std::string& directory);
// Nothing when the file or the lines are not there.
[[nodiscard]] std::optional<Change> plan(const sim::EditFile& step, const std::string& directory);

// False when it could not be written.
[[nodiscard]] bool apply(const Change& change);

}  // namespace agentrouter::scripted_agent
