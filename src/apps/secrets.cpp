#include "apps/secrets.h"

#include <vector>

#include "base/hmac.h"

namespace agentrouter::apps {

base::Needles needles_of_secrets(const Config& config, std::string_view api_key) {
  constexpr std::size_t least_api_key = 16;
  std::vector<std::string_view> secrets;
  if (api_key.size() >= least_api_key) secrets.push_back(api_key);
  for (const auto* key : {&config.openai_key, &config.anthropic_key}) {
    if (*key) secrets.push_back(**key);
  }
  for (const auto& one : config.mcp_servers) {
    for (const auto& header : one.upstream.headers) secrets.push_back(header.value);
  }
  for (const auto& one : config.egress.plan.secrets) secrets.push_back(one.plain.empty() ? one.field : one.plain);
  std::vector<std::string> tokens;  // of "user:token"
  for (const auto& [host, credential] : config.trees.git.fetching.credentials) {
    const auto pair = base::from_base64(credential).value_or("");
    tokens.push_back(pair.substr(pair.find(':') + 1));
  }
  secrets.insert(secrets.end(), tokens.begin(), tokens.end());
  return {secrets, base::system_entropy()};
}

}  // namespace agentrouter::apps
