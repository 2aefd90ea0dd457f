#include "vault/provider_keys.h"

#include <algorithm>
#include <tuple>

#include "base/json.h"

namespace agentrouter::vault {

namespace {

using base::Code;

// The last characters tell one key from another; of a short one they would tell too much.
constexpr std::size_t hint_bytes = 4;
constexpr std::size_t least_bytes_with_hint = 24;

std::string hint_of(std::string_view value) {
  if (value.size() < least_bytes_with_hint) return {};
  return std::string(value.substr(value.size() - hint_bytes));
}

// Errors: invalid (provider_url_refused).
base::Result<std::string> admit_base_url(std::string url, const ProviderKeyRules& rules) {
  while (url.ends_with('/')) url.pop_back();
  if (url.empty() || std::ranges::find(rules.base_urls, url) != rules.base_urls.end()) return url;
  json::array allowed(rules.base_urls.begin(), rules.base_urls.end());
  return base::fail(
      Code::invalid,
      "this server lets no key of a workspace name that base URL: providers.base_urls lists those that "
      "it does",
      "provider_url_refused", base::to_text(json::object{{"allowed", std::move(allowed)}}));
}

}  // namespace

bool is_provider(std::string_view name) {
  return name == "openai" || name == "anthropic";
}

bool is_provider_key(std::string_view value) {
  return value.size() >= least_key_bytes && value.size() <= most_key_bytes &&
         std::ranges::all_of(value, [](char c) { return c >= '!' && c <= '~'; });
}

base::Result<PutProviderKey> put_provider_key(store::Transaction& tx, const NewProviderKey& request,
                                              const ProviderKeyRules& rules, const SealingKey& key,
                                              const base::Clock& clock, base::Entropy& entropy) {
  AGENTROUTER_TRY(auto base_url, admit_base_url(request.base_url, rules));
  const auto now = clock.now();
  const auto before = tx.provider_key(request.workspace, request.provider);
  store::ProviderKey row{.workspace = request.workspace,
                         .provider = request.provider,
                         .sealed = {},
                         .hint = hint_of(request.value),
                         .base_url = std::move(base_url),
                         .set_by = request.set_by,
                         .created_at = before ? before->created_at : now,
                         .changed_at = now};
  AGENTROUTER_TRY(row.sealed, seal_in(tx, key, place_of(row), request.value, entropy));
  tx.put_provider_key(row);
  return PutProviderKey{std::move(row), !before};
}

base::Result<store::ProviderKey> find_provider_key(store::Reader& reader, std::string_view workspace,
                                                   std::string_view provider) {
  auto key = reader.provider_key(workspace, provider);
  if (key) return std::move(*key);
  return base::fail(Code::not_found,
                    is_provider(provider) ? "the workspace has no key of its own for " + std::string(provider)
                                          : "there is no such provider: use openai or anthropic",
                    "provider_key_not_found");
}

base::Result<void> delete_provider_key(store::Transaction& tx, std::string_view workspace,
                                       std::string_view provider) {
  AGENTROUTER_TRY(std::ignore, find_provider_key(tx, workspace, provider));
  tx.delete_provider_key(workspace, provider);
  return {};
}

std::string to_wire(const store::ProviderKey& key) {
  json::object object{{"provider", key.provider},
                      {"createdAt", base::to_iso(key.created_at)},
                      {"changedAt", base::to_iso(key.changed_at)},
                      {"setBy", key.set_by}};
  if (!key.hint.empty()) object["lastCharacters"] = key.hint;
  if (!key.base_url.empty()) object["baseUrl"] = key.base_url;
  if (key.used_at) object["lastUsedAt"] = base::to_iso(*key.used_at);
  return base::to_text(object);
}

}  // namespace agentrouter::vault
