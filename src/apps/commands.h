#pragma once
// One `main` per command of the program. Each takes the words after its name and returns the exit code:
// 0 done, 1 failed, 2 usage.

#include <string>
#include <vector>

#include "apps/environment.h"

namespace agentrouter::apps {

[[nodiscard]] int serve_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int sim_command(const std::vector<std::string>& arguments);
// check, explain and test look at files; suggest asks a server.
[[nodiscard]] int policy_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int suggest_policy(const std::string& run, const std::string& data);
// Beside a server or without one; fsck also has 2 for what could not be looked at.
[[nodiscard]] int backup_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int restore_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int fsck_command(const std::vector<std::string>& arguments, const Environment& environment);
// Without a server.
[[nodiscard]] int migrate_command(const std::vector<std::string>& arguments, const Environment& environment);
// Without a server: from the data folder into the configured store.
[[nodiscard]] int upload_blobs_command(const std::vector<std::string>& arguments, const Environment& environment);
[[nodiscard]] int doctor_command(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace agentrouter::apps
