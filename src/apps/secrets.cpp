#include "apps/secrets.h"

#include <vector>

#include "base/hmac.h"
#include "store/postgres/failure.h"

namespace agentrouter::apps {

base::Needles needles_of_secrets(const Config& config, std::string_view api_key) {
  constexpr std::size_t least_api_key = 16;
  constexpr std::size_t least_password = 8;
  std::vector<std::string_view> secrets;
  if (api_key.size() >= least_api_key) secrets.push_back(api_key);
  for (const auto* key : {&config.openai_key, &config.anthropic_key}) {
    if (*key) secrets.push_back(**key);
  }
  for (const auto& one : config.mcp_servers) {
    for (const auto& header : one.upstream.headers) secrets.push_back(header.value);
  }
  for (const auto& one : config.egress.plan.secrets) secrets.push_back(one.plain.empty() ? one.field : one.plain);
  for (const auto& one : config.push.credentials) secrets.push_back(one.secret);
  if (!config.vault.master_keys.empty()) secrets.push_back(config.vault.master_keys);
  std::vector<std::string> tokens;  // of "user:token"
  for (const auto& [host, credential] : config.trees.git.fetching.credentials) {
    const auto pair = base::from_base64(credential).value_or("");
    tokens.push_back(pair.substr(pair.find(':') + 1));
  }
  for (const auto* url : {&config.store.postgres.url, &config.store.postgres.listen_url}) {
    // A short password would be found in every other word, too.
    for (auto& secret : {*url, store::postgres::password_of(*url)})
      if (secret.size() >= least_password) tokens.push_back(secret);
  }
  for (const auto* key : {&config.blobs.first.secret_key, &config.blobs.first.session_token}) {
    if (!key->empty()) secrets.push_back(*key);
  }
  secrets.insert(secrets.end(), tokens.begin(), tokens.end());
  return {secrets, base::system_entropy()};
}

base::Needles needles_of_blob_keys(const blobs::Credentials& keys) {
  std::vector<std::string_view> secrets{keys.secret_key};
  if (!keys.session_token.empty()) secrets.push_back(keys.session_token);
  return {secrets, base::system_entropy()};
}

}  // namespace agentrouter::apps
