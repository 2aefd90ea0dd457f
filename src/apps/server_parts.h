#pragma once
// What the rooms of a server are built with, each made from the configuration alone.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/config.h"
#include "sandbox/launch.h"
#include "worker/worker.h"
#include "workspace/allow.h"
#include "workspace/git_source.h"

namespace agentrouter::apps {

[[nodiscard]] net::ServerOptions http_options(const Config& config);
[[nodiscard]] worker::ProviderConfig provider_of(const Config& config, const std::string& base_url,
                                                 const std::optional<std::string>& key);
// Makes the folder of recordings. Throws Failure when it cannot.
[[nodiscard]] worker::CassetteRules cassette_rules(const Config& config);
[[nodiscard]] workspace::AllowRules file_rules(const std::vector<std::string>& roots,
                                               const std::filesystem::path& data);
[[nodiscard]] workspace::GitRules git_rules(const GitSettings& git, const std::filesystem::path& data);
// A repository as a run may use it. Errors: invalid.
[[nodiscard]] base::Result<model::GitSource> admit_source(model::GitSource source, const workspace::GitRules& rules);
// As root the privileged steps are the warden's, which is started; a plain user's are done here. Throws Failure.
[[nodiscard]] std::unique_ptr<sandbox::Launcher> make_launcher();

}  // namespace agentrouter::apps
