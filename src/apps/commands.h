#pragma once
// One `main` per command of the program. Each takes the words after its name and returns the exit code:
// 0 done, 1 failed, 2 usage.

#include <string>
#include <vector>

#include "apps/environment.h"

namespace agentrouter::apps {

[[nodiscard]] int serve_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int sim_command(const std::vector<std::string>& arguments);
[[nodiscard]] int doctor_command(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace agentrouter::apps
