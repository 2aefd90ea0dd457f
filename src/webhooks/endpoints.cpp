#include "webhooks/endpoints.h"

#include <algorithm>

#include "runs/idempotency.h"
#include "runs/outbox.h"
#include "webhooks/schedule.h"
#include "webhooks/signature.h"

namespace agentrouter::webhooks {

namespace {

using base::Code;
using base::Result;
using store::DeliveryState;

constexpr std::string_view test_type = "test";
constexpr int most_sent_at_once = 1000;

Result<std::string> secret_of(std::string given, base::Entropy& entropy) {
  if (given.empty()) return new_secret(entropy);
  if (is_secret(given)) return given;
  return base::fail(Code::invalid, "a secret is \"whsec_\" and the base64 of 24 to 64 bytes",
                    "validation_error",
                    R"({"issues":[{"code":"custom","path":["secret"],)"
                    R"("message":"Invalid secret: expected whsec_ and the base64 of 24 to 64 bytes"}]})");
}

runs::KeyedUse keyed_use(const NewWebhook& request) {
  if (request.idempotency_key.empty()) return {};
  const json::object body{{"url", request.url},
                          {"description", request.description},
                          {"events", json::array(request.events.begin(), request.events.end())},
                          {"secret", request.secret}};
  return {"POST /v1/webhooks", request.idempotency_key, runs::body_hash(body)};
}

base::Error no_webhook(std::string_view id) {
  return {Code::not_found, "there is no webhook " + std::string(id), "webhook_not_found"};
}

void disable(store::Webhook& webhook, std::string reason, base::Time now) {
  webhook.enabled = false;
  webhook.disabled_reason = std::move(reason);
  webhook.updated_at = now;
}

// What waited while the endpoint was disabled is sent soon.
void send_soon(store::Transaction& tx, const store::Webhook& webhook, base::Time now) {
  for (auto& delivery : tx.next_deliveries(webhook.id, most_sent_at_once)) {
    if (delivery.next_at <= now) continue;
    delivery.next_at = now;
    tx.put_delivery(delivery);
  }
}

void note_success(store::Transaction& tx, store::Webhook& webhook) {
  if (!webhook.failing_since) return;
  webhook.failing_since.reset();
  tx.put_webhook(webhook);
}

void note_failure(store::Transaction& tx, store::Webhook& webhook, const store::Delivery& delivery,
                  const Outcome& outcome, base::Time now) {
  const bool first = !webhook.failing_since;
  if (first) webhook.failing_since = now;
  const bool was_enabled = webhook.enabled;
  const bool gave_up =
      delivery.state == DeliveryState::failed && *webhook.failing_since <= delivery.created_at;
  if (outcome.status == 410) {
    disable(webhook, "the endpoint answered 410 (Gone)", now);
  } else if (gave_up || now - *webhook.failing_since >= failing_limit) {
    disable(webhook,
            "nothing was taken since " + base::to_iso(*webhook.failing_since) +
                "; the last time: " + outcome.error,
            now);
  }
  if (first || was_enabled != webhook.enabled) tx.put_webhook(webhook);
}

}  // namespace

bool is_event_choice(std::string_view text) {
  if (text == "*" || text == "run.*" || text == "approval.*" || text == test_type) return true;
  const auto& types = runs::notice_types();
  return std::find(types.begin(), types.end(), text) != types.end();
}

Result<store::Webhook> find_webhook(store::Reader& reader, std::string_view id) {
  auto webhook = reader.webhook(id);
  if (webhook) return std::move(*webhook);
  return tl::unexpected(no_webhook(id));
}

Result<MadeWebhook> create_webhook(store::Transaction& tx, const NewWebhook& request, const GuardRules& rules,
                                   runs::Context context, const vault::SealingKey& key) {
  const auto use = keyed_use(request);
  AGENTROUTER_TRY(const auto earlier, runs::earlier_use(tx, use, context));
  if (earlier) {
    if (auto webhook = tx.webhook(earlier->run_id.str())) return MadeWebhook{std::move(*webhook), true};
    return base::fail(Code::conflict, "the webhook that was made with this Idempotency-Key was deleted",
                      "idempotency_conflict");
  }
  AGENTROUTER_TRY(std::ignore, admit_url(request.url, rules));
  AGENTROUTER_TRY(const auto secret, secret_of(request.secret, context.entropy));
  if (tx.webhooks_of(tx.home()).size() >= most_webhooks)
    return base::fail(Code::conflict, "there are " + std::to_string(most_webhooks) + " webhooks already",
                      "webhook_limit");
  store::Webhook webhook;
  webhook.id = "wh_" + base::new_uuid(context.entropy);
  webhook.workspace = tx.home();
  webhook.url = request.url;
  webhook.description = request.description;
  webhook.events = request.events;
  AGENTROUTER_TRY(webhook.secret, vault::seal_in(tx, key, vault::secret_place(webhook), secret, context.entropy));
  webhook.created_at = webhook.updated_at = context.clock.now();
  tx.put_webhook(webhook);
  runs::remember_use(tx, use, model::RunId(webhook.id), 0, context);
  return MadeWebhook{std::move(webhook), false};
}

Result<store::Webhook> change_webhook(store::Transaction& tx, std::string_view id,
                                      const WebhookChange& change, const GuardRules& rules,
                                      runs::Context context) {
  AGENTROUTER_TRY(auto webhook, find_webhook(tx, id));
  if (change.url) {
    AGENTROUTER_TRY(std::ignore, admit_url(*change.url, rules));
    webhook.url = *change.url;
  }
  if (change.description) webhook.description = *change.description;
  if (change.events) webhook.events = *change.events;
  const auto now = context.clock.now();
  webhook.updated_at = now;
  if (change.enabled && *change.enabled != webhook.enabled) {
    webhook.enabled = *change.enabled;
    webhook.disabled_reason = webhook.enabled ? "" : "disabled by a request";
    webhook.failing_since.reset();
    if (webhook.enabled) send_soon(tx, webhook, now);
  }
  tx.put_webhook(webhook);
  return webhook;
}

Result<void> delete_webhook(store::Transaction& tx, std::string_view id) {
  AGENTROUTER_TRY(const auto webhook, find_webhook(tx, id));
  tx.delete_webhook(webhook.id);
  return {};
}

Result<store::Webhook> rotate_secret(store::Transaction& tx, std::string_view id, std::string secret,
                                     runs::Context context, const vault::SealingKey& key) {
  AGENTROUTER_TRY(auto webhook, find_webhook(tx, id));
  if (webhook.workspace != key.workspace) return tl::unexpected(no_webhook(id));
  AGENTROUTER_TRY(const auto next, secret_of(std::move(secret), context.entropy));
  AGENTROUTER_TRY(auto sealed, vault::seal_in(tx, key, vault::secret_place(webhook), next, context.entropy));
  webhook.old_secret = std::exchange(webhook.secret, std::move(sealed));
  webhook.updated_at = context.clock.now();
  webhook.old_secret_until = webhook.updated_at + old_secret_lifetime;
  tx.put_webhook(webhook);
  return webhook;
}

Result<store::Delivery> test_webhook(store::Transaction& tx, std::string_view id, runs::Context context) {
  AGENTROUTER_TRY(const auto webhook, find_webhook(tx, id));
  if (!webhook.enabled)
    return base::fail(Code::conflict, "webhook " + webhook.id + " is disabled: enable it first",
                      "webhook_disabled");
  const json::object data{{"webhookId", webhook.id}, {"title", "A test of this webhook"}};
  auto delivery =
      runs::make_delivery(webhook, base::new_uuid(context.entropy), test_type, data, context.clock.now());
  tx.put_delivery(delivery);
  return delivery;
}

Result<store::Delivery> redeliver(store::Transaction& tx, std::string_view webhook, std::string_view id,
                                  runs::Context context) {
  AGENTROUTER_TRY(const auto found, find_webhook(tx, webhook));
  auto delivery = tx.delivery(id);
  if (!delivery || delivery->webhook_id != found.id)
    return base::fail(Code::not_found, "webhook " + found.id + " has no message " + std::string(id),
                      "delivery_not_found");
  delivery->state = DeliveryState::pending;
  delivery->attempts = 0;
  delivery->next_at = context.clock.now();
  tx.put_delivery(*delivery);
  return std::move(*delivery);
}

void settle(store::Transaction& tx, std::string_view id, const Outcome& outcome,
            std::chrono::milliseconds duration, runs::Context context) {
  auto delivery = tx.delivery(id);
  if (!delivery || delivery->state != DeliveryState::pending) return;
  auto webhook = tx.webhook(delivery->webhook_id);
  if (!webhook) return;
  const auto now = context.clock.now();
  delivery->attempts += 1;
  delivery->attempted_at = now;
  delivery->status = outcome.status;
  delivery->error = outcome.error;
  delivery->duration_ms = duration.count();
  if (outcome.error.empty()) {
    delivery->state = DeliveryState::delivered;
    note_success(tx, *webhook);
  } else {
    const auto delay = delay_after(delivery->attempts, outcome.retry_after, context.entropy);
    // A test is for whoever waits for it now: it is tried once.
    const bool last = !delay || outcome.status == 410 || delivery->type == test_type;
    if (last) delivery->state = DeliveryState::failed;
    if (!last) delivery->next_at = now + *delay;
    if (delivery->type != test_type || outcome.status == 410)
      note_failure(tx, *webhook, *delivery, outcome, now);
  }
  // Nothing is kept about a run that was deleted meanwhile, once its message has come to its end.
  const bool over = delivery->state != DeliveryState::pending && !delivery->run_id.empty();
  if (over && !tx.run(delivery->run_id)) return tx.delete_delivery(delivery->id);
  tx.put_delivery(*delivery);
}

std::vector<std::string> secrets_now(const store::Webhook& webhook, base::Time now) {
  std::vector<std::string> secrets{webhook.secret};
  if (webhook.old_secret_until && *webhook.old_secret_until > now) secrets.push_back(webhook.old_secret);
  return secrets;
}

base::Task<Result<std::vector<base::SecretBuffer>>> open_secrets(vault::Vault& vault, vault::Place place,
                                                                 std::vector<std::string> stored) {
  std::vector<base::SecretBuffer> secrets;
  for (const auto& text : stored) {
    if (vault::is_sealed(text)) {
      auto opened = co_await vault.open(place, text);
      // The one before matters less than that messages come at all.
      if (!opened && !secrets.empty() && opened.error().code == Code::corrupt) continue;
      if (!opened) co_return tl::unexpected(std::move(opened).error());
      secrets.push_back(std::move(*opened));
    } else {
      // An older version has written it, and it is about to be sealed.
      auto& clear = secrets.emplace_back(std::max<std::size_t>(text.size(), 1),
                                         base::SecretBuffer::Lock::where_possible);
      clear.append(text);
    }
  }
  co_return secrets;
}

Outgoing outgoing_of(const store::Webhook& webhook, const store::Delivery& delivery, const GuardRules& rules,
                     base::Time now, const std::vector<base::SecretBuffer>& secrets) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  Outgoing outgoing;
  outgoing.url = base::value_or_throw(admit_url(webhook.url, rules));
  outgoing.reach = reach_of(outgoing.url, rules);
  outgoing.body = delivery.body;
  outgoing.headers.add("Content-Type", "application/json");
  outgoing.headers.add("User-Agent", "AgentRouter-Webhooks/1");
  outgoing.headers.add("webhook-id", delivery.id);
  outgoing.headers.add("webhook-timestamp", std::to_string(seconds));
  std::vector<std::string_view> views;
  for (const auto& secret : secrets) views.push_back(secret.view());
  outgoing.headers.add("webhook-signature", signatures(views, delivery.id, seconds, delivery.body));
  return outgoing;
}

std::string to_wire(const store::Webhook& webhook, std::string_view secret) {
  json::array events;
  for (const auto& event : webhook.events) events.emplace_back(event);
  json::object object{{"id", webhook.id},
                      {"url", webhook.url},
                      {"description", webhook.description},
                      {"events", std::move(events)},
                      {"enabled", webhook.enabled},
                      {"createdAt", base::to_iso(webhook.created_at)},
                      {"updatedAt", base::to_iso(webhook.updated_at)}};
  if (!webhook.disabled_reason.empty()) object["disabledReason"] = webhook.disabled_reason;
  if (webhook.failing_since) object["failingSince"] = base::to_iso(*webhook.failing_since);
  if (webhook.old_secret_until) object["oldSecretUntil"] = base::to_iso(*webhook.old_secret_until);
  if (!secret.empty()) object["secret"] = secret;
  return base::to_text(object);
}

std::string to_wire(const store::Delivery& delivery) {
  json::object object{{"id", delivery.id},
                      {"webhookId", delivery.webhook_id},
                      {"type", delivery.type},
                      {"state", to_string(delivery.state)},
                      {"attempts", delivery.attempts},
                      {"createdAt", base::to_iso(delivery.created_at)}};
  if (!delivery.run_id.empty()) object["runId"] = delivery.run_id.str();
  if (delivery.state == DeliveryState::pending) object["nextAttemptAt"] = base::to_iso(delivery.next_at);
  if (delivery.attempted_at) {
    object["attemptedAt"] = base::to_iso(*delivery.attempted_at);
    object["durationMs"] = delivery.duration_ms;
  }
  if (delivery.status != 0) object["status"] = delivery.status;
  if (!delivery.error.empty()) object["error"] = delivery.error;
  return base::to_text(object);
}

}  // namespace agentrouter::webhooks
