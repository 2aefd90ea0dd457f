#pragma once
// Webhooks as people manage them, and what becomes of a message: use cases over a store transaction.

#include "runs/context.h"
#include "store/store.h"
#include "vault/vault.h"
#include "webhooks/guard.h"
#include "webhooks/sender.h"

namespace agentrouter::webhooks {

inline constexpr std::size_t most_webhooks = 50;  // of a workspace
// How long messages are signed with the secret before the last one, too.
inline constexpr std::chrono::hours old_secret_lifetime{24};

struct NewWebhook {
  std::string url;
  std::string description;
  std::vector<std::string> events;   // is_event_choice of each
  std::string secret = {};           // empty: one is made
  std::string idempotency_key = {};  // as the client sent it; empty for none
};

// A type, "test", "run.*", "approval.*" or "*".
[[nodiscard]] bool is_event_choice(std::string_view text);

struct MadeWebhook {
  store::Webhook webhook;
  bool replayed = false;  // an earlier request with this key made it

  // Whether its secret is the one that the request which made it was answered with: a later one is told to
  // whoever rotated, not to whoever repeats that request.
  [[nodiscard]] bool has_first_secret() const { return !webhook.old_secret_until; }
};

// It belongs to the transaction's workspace, and hears of that one's runs only.
// Of the workspace of `key`, which seals its secret.
//
// Errors: those of admit_url; invalid (validation_error: the secret); conflict (webhook_limit,
// idempotency_conflict: the key was used with another body, or what it made was deleted); those of seal_in.
[[nodiscard]] base::Result<MadeWebhook> create_webhook(store::Transaction& tx, const NewWebhook& request,
                                                       const GuardRules& rules, runs::Context context,
                                                       const vault::SealingKey& key);

struct WebhookChange {
  std::optional<std::string> url = {};
  std::optional<std::string> description = {};
  std::optional<std::vector<std::string>> events = {};
  // Enabling forgets the failures; what waits is then sent at once.
  std::optional<bool> enabled = {};
};

// Errors: not_found (webhook_not_found); those of admit_url.
[[nodiscard]] base::Result<store::Webhook> change_webhook(store::Transaction& tx, std::string_view id,
                                                          const WebhookChange& change,
                                                          const GuardRules& rules, runs::Context context);

// With its messages. Errors: not_found (webhook_not_found).
[[nodiscard]] base::Result<void> delete_webhook(store::Transaction& tx, std::string_view id);

// From now on messages are signed with another secret, and for a day with the one before, too.
//
// Errors: not_found (webhook_not_found: also one of another workspace than the key's), invalid (validation_error: the
// secret), those of seal_in.
[[nodiscard]] base::Result<store::Webhook> rotate_secret(store::Transaction& tx, std::string_view id,
                                                         std::string secret, runs::Context context,
                                                         const vault::SealingKey& key);

// A message of type "test" to this endpoint, whatever it has asked for. It is tried once.
//
// Errors: not_found (webhook_not_found), conflict (webhook_disabled).
[[nodiscard]] base::Result<store::Delivery> test_webhook(store::Transaction& tx, std::string_view id,
                                                         runs::Context context);

// Sends a message again from the first attempt on, under the same id.
//
// Errors: not_found (webhook_not_found, delivery_not_found).
[[nodiscard]] base::Result<store::Delivery> redeliver(store::Transaction& tx, std::string_view webhook,
                                                      std::string_view delivery, runs::Context context);

// Records an attempt: the message is delivered, waits for the next attempt, or has failed. An endpoint that
// answers 410, or took nothing for failing_limit, is disabled with the reason. Nothing when the message is
// not pending any more.
void settle(store::Transaction& tx, std::string_view delivery, const Outcome& outcome,
            std::chrono::milliseconds duration, runs::Context context);

// The secrets that messages are signed with now, as they are stored.
[[nodiscard]] std::vector<std::string> secrets_now(const store::Webhook& webhook, base::Time now);
// In clear, from their sealed form; without an old one that is damaged. Errors: those of Vault::open.
[[nodiscard]] base::Task<base::Result<std::vector<base::SecretBuffer>>> open_secrets(vault::Vault& vault,
                                                                                     vault::Place place,
                                                                                     std::vector<std::string> stored);

// What is sent for a message now, signed with these secrets. Throws Failure(invalid): those of admit_url.
[[nodiscard]] Outgoing outgoing_of(const store::Webhook& webhook, const store::Delivery& delivery,
                                   const GuardRules& rules, base::Time now,
                                   const std::vector<base::SecretBuffer>& secrets);

// The Webhook and the WebhookDelivery of the wire. `secret` is shown when it is given.
[[nodiscard]] std::string to_wire(const store::Webhook& webhook, std::string_view secret = {});
[[nodiscard]] std::string to_wire(const store::Delivery& delivery);

// Errors: not_found (webhook_not_found).
[[nodiscard]] base::Result<store::Webhook> find_webhook(store::Reader& reader, std::string_view id);

}  // namespace agentrouter::webhooks
