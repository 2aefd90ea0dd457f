// Webhooks and their messages.

#include "store/postgres/transaction.h"
#include "store/text_forms.h"

namespace agentrouter::store::postgres {

namespace {

#define PG_WEBHOOK_COLUMNS                                                                          \
  "SELECT id, workspace, url, description, events, secret, old_secret, old_secret_until, enabled, " \
  "disabled_reason, failing_since, created_at, updated_at FROM webhooks "
#define PG_DELIVERY_COLUMNS                                                                                 \
  "SELECT id, webhook_id, type, run_id, body, created_at, state, attempts, next_at, attempted_at, status, " \
  "error, duration_ms, n FROM webhook_deliveries "

Webhook read_webhook(const Cells& row) {
  Webhook webhook;
  webhook.id = row.text(0);
  webhook.workspace = row.text(1);
  webhook.url = row.text(2);
  webhook.description = row.text(3);
  webhook.events = parse_names(row.text(4));
  webhook.secret = row.text(5);
  webhook.old_secret = row.text(6);
  webhook.old_secret_until = row.maybe_time(7);
  webhook.enabled = row.integer(8) == 1;
  webhook.disabled_reason = row.text(9);
  webhook.failing_since = row.maybe_time(10);
  webhook.created_at = row.time(11);
  webhook.updated_at = row.time(12);
  return webhook;
}

Delivery read_delivery(const Cells& row) {
  Delivery delivery;
  delivery.id = row.text(0);
  delivery.webhook_id = row.text(1);
  delivery.type = row.text(2);
  delivery.run_id = model::RunId(row.text(3));
  delivery.body = row.text(4);
  delivery.created_at = row.time(5);
  delivery.state = parse_delivery_state(row.text(6));
  delivery.attempts = static_cast<int>(row.integer(7));
  delivery.next_at = row.time(8);
  delivery.attempted_at = row.maybe_time(9);
  delivery.status = static_cast<int>(row.integer(10));
  delivery.error = row.text(11);
  delivery.duration_ms = row.integer(12);
  delivery.number = row.integer(13);
  return delivery;
}

}  // namespace

std::vector<Webhook> Tables::webhooks(const std::string& scope) {
  static constexpr Statement find{"webhooks", PG_WEBHOOK_COLUMNS "ORDER BY n"};
  static constexpr Statement within{"webhooks_of_workspace",
                                    PG_WEBHOOK_COLUMNS "WHERE workspace = $1 ORDER BY n"};
  return all(scope.empty() ? ask(find) : ask(within, scope), read_webhook);
}

std::optional<Webhook> Tables::webhook(const std::string& scope, std::string_view id) {
  static constexpr Statement within{"webhook_of_workspace",
                                    PG_WEBHOOK_COLUMNS "WHERE workspace = $1 AND id = $2"};
  if (!scope.empty()) return one(ask(within, scope, id), read_webhook);
  static constexpr Statement find{"webhook", PG_WEBHOOK_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_webhook);
}

std::optional<Delivery> Tables::delivery(std::string_view id) {
  static constexpr Statement find{"delivery", PG_DELIVERY_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_delivery);
}

std::vector<Delivery> Tables::deliveries(const DeliveryQuery& query) {
  static constexpr Statement page{
      "deliveries", PG_DELIVERY_COLUMNS "WHERE webhook_id = $1 AND n < $2 ORDER BY n DESC LIMIT $3"};
  return all(ask(page, query.webhook, query.before > 0 ? query.before : INT64_MAX, query.limit),
             read_delivery);
}

std::vector<Delivery> Tables::next_deliveries(std::string_view webhook, int limit) {
  static constexpr Statement find{"next_deliveries", PG_DELIVERY_COLUMNS
                                  "WHERE webhook_id = $1 AND state = 'pending' ORDER BY next_at, n LIMIT $2"};
  return all(ask(find, webhook, limit), read_delivery);
}

std::int64_t Tables::pending_deliveries(std::string_view webhook) {
  static constexpr Statement count{
      "pending_deliveries",
      "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'pending'"};
  return ask(count, webhook).front().integer(0);
}

void PgTransaction::put_webhook(const Webhook& webhook) {
  static constexpr Statement put{
      "put_webhook",
      "INSERT INTO webhooks (id, workspace, url, description, events, secret, old_secret, old_secret_until, "
      "enabled, disabled_reason, failing_since, created_at, updated_at) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO UPDATE SET "
      "url = excluded.url, description = excluded.description, events = excluded.events, secret = "
      "excluded.secret, "
      "old_secret = excluded.old_secret, old_secret_until = excluded.old_secret_until, "
      "enabled = excluded.enabled, disabled_reason = excluded.disabled_reason, "
      "failing_since = excluded.failing_since, updated_at = excluded.updated_at"};
  tell(put, webhook.id, webhook.workspace, webhook.url, webhook.description, names_text(webhook.events),
       webhook.secret, webhook.old_secret, webhook.old_secret_until, webhook.enabled, webhook.disabled_reason,
       webhook.failing_since, webhook.created_at, webhook.updated_at);
  capture_.outbox_changed = true;
}

void PgTransaction::delete_webhook(std::string_view id) {
  static constexpr Statement messages{"delete_messages",
                                      "DELETE FROM webhook_deliveries WHERE webhook_id = $1"};
  static constexpr Statement remove{"delete_webhook", "DELETE FROM webhooks WHERE id = $1"};
  tell(messages, id);
  tell(remove, id);
  capture_.outbox_changed = true;
}

void PgTransaction::put_delivery(const Delivery& delivery) {
  static constexpr Statement put{
      "put_delivery",
      "INSERT INTO webhook_deliveries (id, webhook_id, type, run_id, body, created_at, state, attempts, "
      "next_at, attempted_at, status, error, duration_ms) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
      "ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, "
      "next_at = excluded.next_at, attempted_at = excluded.attempted_at, status = excluded.status, "
      "error = excluded.error, duration_ms = excluded.duration_ms"};
  tell(put, delivery.id, delivery.webhook_id, delivery.type, delivery.run_id, delivery.body,
       delivery.created_at, to_string(delivery.state), delivery.attempts, delivery.next_at,
       delivery.attempted_at, delivery.status, delivery.error, delivery.duration_ms);
  capture_.outbox_changed = true;
}

int PgTransaction::purge_deliveries(base::Time made_before, int limit) {
  static constexpr Statement purge{
      "purge_deliveries",
      "DELETE FROM webhook_deliveries WHERE n = ANY (ARRAY(SELECT d.n FROM webhook_deliveries d "
      "WHERE d.created_at < $1 AND (d.state <> 'pending' OR NOT EXISTS "
      "(SELECT 1 FROM webhooks w WHERE w.id = d.webhook_id AND w.enabled = 1)) ORDER BY d.created_at LIMIT "
      "$2))"};
  return change(purge, made_before, limit);
}

void PgTransaction::delete_delivery(std::string_view id) {
  static constexpr Statement remove{"delete_delivery", "DELETE FROM webhook_deliveries WHERE id = $1"};
  tell(remove, id);
}

}  // namespace agentrouter::store::postgres
