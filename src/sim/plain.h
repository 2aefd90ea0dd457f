#pragma once
// Tasks in plain words. The simulated model understands three forms; any other task gets one look around.

#include <string_view>

#include "sim/script.h"

namespace agentrouter::sim {

// | text                    | script                                             |
// | `Reply exactly <TOKEN>` | the token                                          |
// | `run exactly: <cmd>.`   | that command, then one sentence                    |
// | `Create <path> ...`     | a short file that fits its name, then one sentence |
// | anything else           | `ls -la`, then a short answer that quotes the task |
//
// The first form that matches decides, in this order, without regard to case.
[[nodiscard]] Script plain_script(std::string_view task);

}  // namespace agentrouter::sim
