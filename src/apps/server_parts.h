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
// What base URLs keys of workspaces may name, the server's own among them, and whether runs need one: a server that asks no provider needs none.
[[nodiscard]] vault::ProviderKeyRules provider_key_rules(const Config& config);
// Makes the folder of recordings. Throws Failure when it cannot.
[[nodiscard]] worker::CassetteRules cassette_rules(const Config& config);
[[nodiscard]] workspace::AllowRules file_rules(const std::vector<std::string>& roots,
                                               const std::filesystem::path& data);
[[nodiscard]] workspace::GitRules git_rules(const GitSettings& git, const std::filesystem::path& data);
// A repository as a run may use it. Errors: invalid.
[[nodiscard]] base::Result<model::GitSource> admit_source(model::GitSource source, const workspace::GitRules& rules);
// Other servers use the same store.
[[nodiscard]] bool shares_store(const Config& config);
// What a worker with this configuration has.
[[nodiscard]] runs::Offers offers_of(const Config& config, std::set<std::string> runtimes, model::Isolation isolation);
// A path of a workspace that is on a worker's machine and perhaps not on this one: absolute, plain, under an allowed
// root. The worker looks at it again. Errors: invalid (workspace_forbidden).
[[nodiscard]] base::Result<std::string> admit_unseen(const std::vector<std::string>& roots, std::string_view path);
// As root the privileged steps are the warden's, which is started; a plain user's are done here. Throws Failure.
[[nodiscard]] std::unique_ptr<sandbox::Launcher> make_launcher();

}  // namespace agentrouter::apps
