#include "apps/server_parts.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "base/ascii.h"
#include "base/file.h"
#include "net/address.h"
#include "net/url.h"
#include "sandbox/warden.h"

namespace agentrouter::apps {

using base::value_or_throw;

// No more connections than there are descriptors for, some kept back for files and agents: beyond, accepting
// would fail and a client would wait for nothing.
net::ServerOptions http_options(const Config& config) {
  constexpr std::size_t kept_back = 256;
  auto options = config.http;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return options;
  const std::size_t files = std::max<std::size_t>(limit.rlim_cur, 2 * kept_back);
  options.max_connections = std::min(options.max_connections, files - kept_back);
  return options;
}

worker::ProviderConfig provider_of(const Config& config, const std::string& base_url,
                                   const std::optional<std::string>& key) {
  if (config.sim) return {.kind = worker::ProviderKind::sim};
  if (!key) return {.base_url = base_url};  // for a workspace that has one
  return {.kind = worker::ProviderKind::upstream, .base_url = base_url, .api_key = *key};
}

vault::ProviderKeyRules provider_key_rules(const Config& config) {
  const bool asks_nobody = config.sim || !config.replay_dir.empty();
  auto base_urls = config.vault.base_urls;
  base_urls.push_back(config.openai_base_url);
  base_urls.push_back(config.anthropic_base_url);
  return {.base_urls = std::move(base_urls), .required = config.vault.require_workspace_key && !asks_nobody};
}

worker::CassetteRules cassette_rules(const Config& config) {
  if (!config.replay_dir.empty()) return {worker::CassetteMode::replay, config.replay_dir};
  if (config.record_dir.empty()) return {};
  value_or_throw(base::make_directories(config.record_dir));
  return {worker::CassetteMode::record, config.record_dir};
}

workspace::AllowRules file_rules(const std::vector<std::string>& roots, const std::filesystem::path& data) {
  workspace::AllowRules rules;
  for (const auto& root : roots) rules.roots.emplace_back(root);
  rules.data_directory = data;
  return rules;
}

workspace::GitRules git_rules(const GitSettings& git, const std::filesystem::path& data) {
  std::vector<std::string> ssh_hosts;
  for (const auto& [host, access] : git.fetching.ssh) ssh_hosts.push_back(host);
  return {.http_hosts = git.http_hosts,
          .https_hosts = git.https_hosts,
          .ssh_hosts = std::move(ssh_hosts),
          .files = file_rules(git.file_roots, data)};
}

namespace {

// An https host that nobody has named is connected to at public addresses only, and one that is an address is
// known here. A name is judged when it is looked up.
base::Result<void> admit_address(const std::string& url, const workspace::GitRules& rules) {
  if (!url.starts_with("https://") && !url.starts_with("http://")) return {};
  const auto refuse = [](const std::string& why) {
    return base::fail(base::Code::invalid, "cannot use this repository: " + why, "workspace_forbidden");
  };
  const auto parts = net::parse_url(url);
  if (!parts) return refuse(parts.error().message);
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(parts->host, no_address);
  if (no_address || workspace::is_named_host(url, rules) || net::may_reach(address, net::Reach::public_only))
    return {};
  return refuse("its address is not public, and the server does not list it (git.https_hosts)");
}

}  // namespace

base::Result<model::GitSource> admit_source(model::GitSource source, const workspace::GitRules& rules) {
  AGENTROUTER_TRY(source.url, workspace::admit_git_url(source.url, rules));
  if (auto reachable = admit_address(source.url, rules); !reachable)
    return tl::unexpected(std::move(reachable).error());
  if (!source.ref.empty() && !workspace::is_git_ref(source.ref)) {
    return base::fail(base::Code::invalid, "cannot use this repository: the ref is not the name of one",
                      "workspace_forbidden");
  }
  if (!source.subdir.empty() && !workspace::is_git_subdir(source.subdir)) {
    return base::fail(base::Code::invalid,
                      "cannot use this repository: subdir is not a relative path without \"..\"",
                      "workspace_forbidden");
  }
  return source;
}

// A store of this machine's own is locked by one server.
bool shares_store(const Config& config) { return config.store.is_shared(); }

runs::Offers offers_of(const Config& config, std::set<std::string> runtimes, model::Isolation isolation) {
  runs::Offers offers;
  utsname machine{};
  if (::uname(&machine) == 0) {
    offers.values["os"] = {base::ascii_lower(machine.sysname)};
    offers.values["arch"] = {machine.machine};
  }
  offers.values["runtime"] = std::move(runtimes);
  for (const auto level : {model::Isolation::process, model::Isolation::user_kernel, model::Isolation::vm}) {
    if (model::satisfies(isolation, level)) offers.values["isolation"].emplace(model::to_string(level));
  }
  for (const auto& image : config.images) offers.values["image"].insert(image.name);
  offers.values["root"].insert(config.workspace_roots.begin(), config.workspace_roots.end());
  for (const auto& [name, value] : config.cluster.labels) offers.values[name] = {value};
  offers.is_only_one = !shares_store(config);
  return offers;
}

base::Result<std::string> admit_unseen(const std::vector<std::string>& roots, std::string_view path) {
  const std::filesystem::path plain = std::filesystem::path(path).lexically_normal();
  auto text = plain.string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  const bool allowed = plain.is_absolute() && std::ranges::any_of(roots, [&text](const std::string& root) {
    return text == root || text.starts_with(root.ends_with('/') ? root : root + "/");
  });
  if (allowed) return text;
  return base::fail(base::Code::invalid,
                    "cannot use " + std::string(path) + " as a workspace: it is under none of workspace_roots",
                    "workspace_forbidden");
}

// As root the privileged steps are the warden's; a plain user's are done here.
std::unique_ptr<sandbox::Launcher> make_launcher() {
  if (::geteuid() != 0) return std::make_unique<sandbox::LocalLauncher>();
  const auto start = [] { return sandbox::start_warden({"agentrouter", "warden"}); };
  return std::make_unique<sandbox::WardenLauncher>(value_or_throw(start()), start);
}

}  // namespace agentrouter::apps
