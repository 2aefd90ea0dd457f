#pragma once
// Pushes what runs have changed: decides by configuration, then has `agentrouter-git` do it.

#include <string>
#include <vector>

#include "api/push.h"
#include "worker/run_files.h"

namespace agentrouter::apps {

struct PushConfig {
  struct Rule {
    std::string url;     // with '*' for any characters, but not in scheme and host
    std::string branch;  // the same
  };
  struct Credential {
    std::string url;  // what the remote's URL begins with
    std::string user;
    std::string secret;
  };
  std::vector<Rule> allow;  // none: nothing is pushed
  std::vector<Credential> credentials;
  std::string author_name = "AgentRouter";
  std::string author_email = "agentrouter@localhost";
  std::chrono::seconds timeout{120};
};

// "https://git.example/team/* agentrouter/*". Errors: invalid.
[[nodiscard]] base::Result<PushConfig::Rule> parse_push_rule(std::string_view text);
// "https://git.example/ USER /path/of/the/secret". Errors: invalid, those of reading.
[[nodiscard]] base::Result<PushConfig::Credential> parse_push_credential(std::string_view text);

// `text` is `pattern`, where '*' stands for any characters.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);
// The rules have a place for this branch of this remote, and the URL is one that can be trusted to be it.
[[nodiscard]] bool is_push_allowed(const PushConfig& config, std::string_view url, std::string_view branch);
// The longest that fits; none for a URL that would carry it in clear over a network.
[[nodiscard]] const PushConfig::Credential* credential_for(const PushConfig& config, std::string_view url);

class PushDesk {
 public:
  // Everything that is passed by reference outlives it.
  struct Needs {
    store::Store& store;
    blobs::BlobStore& blobs;
    std::string data_dir;
    std::string program;  // agentrouter-git
    worker::SharedTrees* trees = nullptr;  // none: base trees are only here
  };
  PushDesk(Needs needs, PushConfig config);

  // Errors: as api::PushOffice says.
  base::Task<base::Result<api::PushAnswer>> push(model::RunId run, api::PushBody body);

 private:
  struct Job;
  base::Result<Job> prepare(store::Reader& reader, const model::RunId& run, const api::PushBody& body) const;
  base::Result<api::PushAnswer> perform(const Job& job) const;

  Needs needs_;
  PushConfig config_;
  base::Pool pool_{2};  // a push takes long: it does not hold up anybody else's file calls
};

}  // namespace agentrouter::apps
