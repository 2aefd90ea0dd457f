#include "vault/values.h"

namespace agentrouter::vault {

Place place_of(const store::ProviderKey& key) {
  return {key.workspace, "provider_key", key.provider};
}

Place place_of(const store::DataKey& key) {
  return {key.workspace, "data_key", std::to_string(key.version)};
}

Place secret_place(const store::Webhook& webhook) {
  return {webhook.workspace, "webhook_secret", webhook.id};
}

std::vector<StoredValue> stored_values(store::Reader& reader) {
  std::vector<StoredValue> all;
  for (auto& key : reader.provider_keys()) all.push_back({Field::provider_key, place_of(key), std::move(key.sealed)});
  for (auto& webhook : reader.webhooks()) {
    const auto place = secret_place(webhook);
    all.push_back({Field::webhook_secret, place, std::move(webhook.secret)});
    if (!webhook.old_secret.empty())
      all.push_back({Field::webhook_old_secret, place, std::move(webhook.old_secret)});
  }
  return all;
}

bool replace_value(store::Transaction& tx, const StoredValue& before, std::string text) {
  if (before.field == Field::provider_key) {
    auto key = tx.provider_key(before.place.workspace, before.place.id);
    if (!key || key->sealed != before.text) return false;
    key->sealed = std::move(text);
    tx.put_provider_key(*key);
    return true;
  }
  auto webhook = tx.webhook(before.place.id);
  if (!webhook) return false;
  auto& secret = before.field == Field::webhook_secret ? webhook->secret : webhook->old_secret;
  if (secret != before.text) return false;
  secret = std::move(text);
  tx.put_webhook(*webhook);
  return true;
}

}  // namespace agentrouter::vault
