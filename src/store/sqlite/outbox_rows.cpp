// Webhooks and their messages.

#include "store/sqlite/columns.h"
#include "store/sqlite/transaction.h"
#include "store/text_forms.h"

namespace agentrouter::store {

namespace {

#define WEBHOOK_COLUMNS                                                                             \
  "SELECT id, workspace, url, description, events, secret, old_secret, old_secret_until, enabled, " \
  "disabled_reason, failing_since, created_at, updated_at FROM webhooks "
#define DELIVERY_COLUMNS                                                                                    \
  "SELECT id, webhook_id, type, run_id, body, created_at, state, attempts, next_at, attempted_at, status, " \
  "error, duration_ms, n FROM webhook_deliveries "

Webhook read_webhook(const Statement& row) {
  Webhook webhook;
  webhook.id = row.text(0);
  webhook.workspace = row.text(1);
  webhook.url = row.text(2);
  webhook.description = row.text(3);
  webhook.events = parse_names(row.text(4));
  webhook.secret = row.text(5);
  webhook.old_secret = row.text(6);
  webhook.old_secret_until = maybe_time(row, 7);
  webhook.enabled = row.integer(8) == 1;
  webhook.disabled_reason = row.text(9);
  webhook.failing_since = maybe_time(row, 10);
  webhook.created_at = time_at(row, 11);
  webhook.updated_at = time_at(row, 12);
  return webhook;
}

Delivery read_delivery(const Statement& row) {
  Delivery delivery;
  delivery.id = row.text(0);
  delivery.webhook_id = row.text(1);
  delivery.type = row.text(2);
  delivery.run_id = model::RunId(row.text(3));
  delivery.body = row.text(4);
  delivery.created_at = time_at(row, 5);
  delivery.state = parse_delivery_state(row.text(6));
  delivery.attempts = static_cast<int>(row.integer(7));
  delivery.next_at = time_at(row, 8);
  delivery.attempted_at = maybe_time(row, 9);
  delivery.status = static_cast<int>(row.integer(10));
  delivery.error = row.text(11);
  delivery.duration_ms = row.integer(12);
  delivery.number = row.integer(13);
  return delivery;
}

}  // namespace

std::vector<Webhook> Rows::webhooks(const std::string& scope) {
  if (!scope.empty()) {
    auto own = connection_.statement(WEBHOOK_COLUMNS
                                     "INDEXED BY webhooks_by_workspace WHERE workspace = ? ORDER BY n");
    own.bind(scope);
    return all(std::move(own), read_webhook);
  }
  return all(connection_.statement(WEBHOOK_COLUMNS "ORDER BY n"), read_webhook);
}

std::optional<Webhook> Rows::webhook(const std::string& scope, std::string_view id) {
  if (!scope.empty()) {
    auto own = connection_.statement(WEBHOOK_COLUMNS
                                     "INDEXED BY webhooks_of_workspace WHERE workspace = ? AND id = ?");
    own.bind(scope).bind(id);
    return one(std::move(own), read_webhook);
  }
  auto statement = connection_.statement(WEBHOOK_COLUMNS "WHERE id = ?");
  statement.bind(id);
  return one(std::move(statement), read_webhook);
}

std::optional<Delivery> Rows::delivery(std::string_view id) {
  auto statement = connection_.statement(DELIVERY_COLUMNS "WHERE id = ?");
  statement.bind(id);
  return one(std::move(statement), read_delivery);
}

std::vector<Delivery> Rows::deliveries(const DeliveryQuery& query) {
  auto statement =
      connection_.statement(DELIVERY_COLUMNS "WHERE webhook_id = ? AND n < ? ORDER BY n DESC LIMIT ?");
  statement.bind(query.webhook).bind(query.before > 0 ? query.before : INT64_MAX);
  statement.bind(std::int64_t{query.limit});
  return all(std::move(statement), read_delivery);
}

std::vector<Delivery> Rows::next_deliveries(std::string_view webhook, int limit) {
  auto statement = connection_.statement(
      DELIVERY_COLUMNS "WHERE webhook_id = ? AND state = 'pending' ORDER BY next_at, n LIMIT ?");
  statement.bind(webhook).bind(std::int64_t{limit});
  return all(std::move(statement), read_delivery);
}

std::int64_t Rows::pending_deliveries(std::string_view webhook) {
  auto statement = connection_.statement(
      "SELECT count(*) FROM webhook_deliveries INDEXED BY webhook_deliveries_pending "
      "WHERE webhook_id = ? AND state = 'pending'");
  statement.bind(webhook);
  return statement.step() ? statement.integer(0) : 0;
}

void SqliteTransaction::put_webhook(const Webhook& webhook) {
  const auto events = names_text(webhook.events);
  auto statement = connection_.statement(
      "INSERT INTO webhooks (id, workspace, url, description, events, secret, old_secret, old_secret_until, "
      "enabled, disabled_reason, failing_since, created_at, updated_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET url = excluded.url, "
      "description = excluded.description, events = excluded.events, secret = excluded.secret, "
      "old_secret = excluded.old_secret, old_secret_until = excluded.old_secret_until, "
      "enabled = excluded.enabled, disabled_reason = excluded.disabled_reason, "
      "failing_since = excluded.failing_since, updated_at = excluded.updated_at");
  statement.bind(webhook.id).bind(webhook.workspace).bind(webhook.url).bind(webhook.description);
  statement.bind(events).bind(webhook.secret).bind(webhook.old_secret);
  statement.bind(to_column(webhook.old_secret_until)).bind(std::int64_t{webhook.enabled});
  statement.bind(webhook.disabled_reason).bind(to_column(webhook.failing_since));
  statement.bind(to_column(webhook.created_at)).bind(to_column(webhook.updated_at)).run();
  outbox_changed_ = true;
}

void SqliteTransaction::delete_webhook(std::string_view id) {
  connection_.statement("DELETE FROM webhook_deliveries WHERE webhook_id = ?").bind(id).run();
  connection_.statement("DELETE FROM webhooks WHERE id = ?").bind(id).run();
  outbox_changed_ = true;
}

void SqliteTransaction::put_delivery(const Delivery& delivery) {
  auto statement = connection_.statement(
      "INSERT INTO webhook_deliveries (id, webhook_id, type, run_id, body, created_at, state, attempts, "
      "next_at, attempted_at, status, error, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, "
      "next_at = excluded.next_at, attempted_at = excluded.attempted_at, status = excluded.status, "
      "error = excluded.error, duration_ms = excluded.duration_ms");
  statement.bind(delivery.id).bind(delivery.webhook_id).bind(delivery.type).bind(delivery.run_id.str());
  statement.bind(delivery.body).bind(to_column(delivery.created_at)).bind(to_string(delivery.state));
  statement.bind(std::int64_t{delivery.attempts}).bind(to_column(delivery.next_at));
  statement.bind(to_column(delivery.attempted_at)).bind(std::int64_t{delivery.status}).bind(delivery.error);
  statement.bind(delivery.duration_ms).run();
  outbox_changed_ = true;
}

int SqliteTransaction::purge_deliveries(base::Time made_before, int limit) {
  connection_
      .statement(
          "DELETE FROM webhook_deliveries WHERE n IN (SELECT d.n FROM webhook_deliveries d "
          "LEFT JOIN webhooks w ON w.id = d.webhook_id WHERE d.created_at < ? "
          "AND (d.state <> 'pending' OR coalesce(w.enabled, 0) = 0) ORDER BY d.created_at LIMIT ?)")
      .bind(to_column(made_before))
      .bind(std::int64_t{limit})
      .run();
  return sqlite3_changes(connection_.handle());
}

}  // namespace agentrouter::store
