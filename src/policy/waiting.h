#pragma once
// Whether a shell command waits before it looks: a loop of such commands polls, and polling takes patience.

#include <string_view>

namespace agentrouter::policy {

enum class Waiting {
  none,
  also,  // and does something else
  only
};
// `command` as the agent says it, also within `/bin/bash -lc '...'`.
[[nodiscard]] Waiting waiting_of(std::string_view command);

}  // namespace agentrouter::policy
