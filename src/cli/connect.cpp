#include "cli/connect.h"

#include <agentrouter/client.hpp>

#include "cli/server_files.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

using base::Code;
using base::Result;

constexpr std::chrono::milliseconds probe_patience(2'000);

std::string key_of(const Environment& environment, const std::filesystem::path& data) {
  if (!environment.api_key.empty()) return environment.api_key;
  if (!environment.api_key_file.empty()) return read_api_key(environment.api_key_file).value_or("");
  return data.empty() ? std::string() : read_api_key(data / "api_key").value_or("");
}

bool answers(const std::string& url) {
  try {
    return Client({.base_url = url, .connect_timeout = probe_patience, .timeout = probe_patience}).healthy();
  } catch (const agentrouter::Error&) {  // no URL at all
    return false;
  }
}

// Only what the server itself says about its provider counts, and a mix-up may cost money.
Result<void> judge_provider(const ServerFile& file, std::optional<Provider> wanted) {
  if (!file.sim || !wanted || *file.sim == (*wanted == Provider::simulated)) return {};
  const auto stop = "stop it with: kill " + std::to_string(file.pid);
  if (*file.sim) {
    return base::fail(Code::conflict,
                      "the server that runs here uses the simulated provider: add --sim, or " + stop);
  }
  return base::fail(Code::conflict,
                    "the server that runs here uses a real provider: leave out --sim, or " + stop);
}

// A server that records has no other answers; one that replays has, and one that does neither keeps nothing.
Result<void> judge_cassettes(const ServerFile& file, const ConnectRequest& request) {
  const auto stop = "stop it with: kill " + std::to_string(file.pid);
  const auto& wanted = request.cassettes;
  if (!wanted.record.empty() && file.record != wanted.record)
    return base::fail(Code::conflict,
                      "the server that runs here does not record to " + wanted.record + ": " + stop);
  if (!wanted.replay.empty() && file.replay != wanted.replay)
    return base::fail(Code::conflict,
                      "the server that runs here does not replay " + wanted.replay + ": " + stop);
  if (request.provider && wanted.replay.empty() && !file.replay.empty()) {
    return base::fail(Code::conflict, "the server that runs here answers from " + file.replay +
                                          ": add --replay " + file.replay + ", or " + stop);
  }
  return {};
}

Result<Server> find_or_start(const Environment& environment, const ConnectRequest& request,
                             const std::filesystem::path& data) {
  AGENTROUTER_TRY(const auto lock, start_lock(data));
  const auto file = read_server_file(data);
  if (file && answers(file->url)) {
    if (const auto fits = judge_provider(*file, request.provider); !fits) return tl::unexpected(fits.error());
    if (const auto fits = judge_cassettes(*file, request); !fits) return tl::unexpected(fits.error());
    return Server{file->url, key_of(environment, data)};
  }
  if (request.on_start) request.on_start();
  LocalServer server{.data = data,
                     .provider = request.provider.value_or(Provider::configured),
                     .cassettes = request.cassettes,
                     .environment = environment.all,
                     .stop = request.stop};
  AGENTROUTER_TRY(auto url, request.start(server));
  return Server{std::move(url), key_of(environment, data)};
}

}  // namespace

bool is_this_machine(std::string_view url) {
  auto host = url.substr(std::min(url.find("://"), url.size()));
  host.remove_prefix(std::min<std::size_t>(3, host.size()));
  host = host.substr(0, host.find_first_of("/?#"));
  if (const auto at = host.rfind('@'); at != host.npos) host.remove_prefix(at + 1);
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  return host == "localhost" || host.starts_with("127.");
}

Result<Server> connect(const Environment& environment, const ConnectRequest& request) {
  const auto& chosen = request.data.empty() ? std::filesystem::path(environment.data) : request.data;
  const auto data = chosen.empty() ? chosen : std::filesystem::absolute(chosen).lexically_normal();
  if (!environment.base_url.empty()) {
    if (!request.cassettes.record.empty() || !request.cassettes.replay.empty()) {
      return base::fail(Code::invalid,
                        "AGENTROUTER_API_BASE_URL names a server: what it records or replays is said "
                        "where it is started, with agentrouter serve --record or --replay");
    }
    return Server{environment.base_url, key_of(environment, data)};
  }
  if (data.empty()) {
    return base::fail(Code::invalid,
                      "set HOME, --data or AGENTROUTER_API_BASE_URL to say which server is meant");
  }
  return find_or_start(environment, request, data);
}

}  // namespace agentrouter::cli
