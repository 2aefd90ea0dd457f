// Webhooks: who is told of what, and what became of the messages.

#include "api/body.h"
#include "api/call.h"
#include "api/query.h"
#include "api/webhook_body.h"
#include "model/audit.h"

namespace agentrouter::api {

namespace {

using webhooks::to_wire;

constexpr std::int64_t any_delivery = 9007199254740991;

base::Result<store::DeliveryQuery> delivery_query(const net::Request& request, std::string webhook) {
  Issues issues;
  Query query(request, issues);
  store::DeliveryQuery wanted{.webhook = std::move(webhook)};
  wanted.before = query.number("before", 0, 0, any_delivery);
  wanted.limit = static_cast<int>(query.number("limit", 50, 1, 200));
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return wanted;
}

base::Result<std::string> deliveries_text(store::Reader& reader, const store::DeliveryQuery& query) {
  AGENTROUTER_TRY(std::ignore, webhooks::find_webhook(reader, query.webhook));
  std::string items;
  const auto page = reader.deliveries(query);
  for (const auto& delivery : page) items += (items.empty() ? "" : ",") + to_wire(delivery);
  std::string text = "{\"items\":[" + items + "]";
  if (static_cast<int>(page.size()) == query.limit)
    text += ",\"nextBefore\":" + std::to_string(page.back().number);
  return text + "}";
}

}  // namespace

base::Task<void> Api::list_webhooks(Call& call) {
  const auto body = co_await needs_.store.read_in(call.workspace, [](store::Reader& reader) {
    std::string items;
    for (const auto& webhook : reader.webhooks()) items += (items.empty() ? "" : ",") + to_wire(webhook);
    return "{\"items\":[" + items + "]}";
  });
  co_await call.respond_json(200, body);
}

base::Task<void> Api::create_webhook(Call& call) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  auto request = base::value_or_throw(parse_new_webhook(*json_body));
  request.idempotency_key = key;
  const auto sealing = co_await sealing_key(call);
  auto made = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return webhooks::create_webhook(tx, request, options_.webhook_rules, context, *sealing);
  });
  if (!made) throw base::Failure(made.error());
  const int status = made->replayed ? 200 : 201;
  if (made->has_first_secret()) co_return co_await respond_with_secret(call, status, *made);
  auto response = json_response(status, to_wire(made->webhook));
  call.mark_replay(response, made->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::respond_with_secret(Call& call, int status, webhooks::MadeWebhook made) {
  std::vector<std::string> stored{made.webhook.secret};
  const auto secrets = base::value_or_throw(
      co_await webhooks::open_secrets(needs_.vault, vault::secret_place(made.webhook), std::move(stored)));
  auto response = json_response(status, to_wire(made.webhook, secrets.front().view()));
  call.mark_replay(response, made.replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::get_webhook(Call& call) {
  const auto webhook = co_await needs_.store.read_in(call.workspace, [&call](store::Reader& reader) {
    return webhooks::find_webhook(reader, call.item_id);
  });
  if (!webhook) throw base::Failure(webhook.error());
  co_await call.respond_json(200, to_wire(*webhook));
}

base::Task<void> Api::change_webhook(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto change = base::value_or_throw(parse_webhook_change(*json_body));
  const auto changed = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return webhooks::change_webhook(tx, call.item_id, change, options_.webhook_rules, context);
  });
  if (!changed) throw base::Failure(changed.error());
  co_await call.respond_json(200, to_wire(*changed));
}

base::Task<void> Api::delete_webhook(Call& call) {
  const auto gone = co_await write(
      call, [&call](store::Transaction& tx) { return webhooks::delete_webhook(tx, call.item_id); });
  if (!gone) throw base::Failure(gone.error());
  co_await call.respond_json(200, base::to_text(json::object{{"id", call.item_id}, {"deleted", true}}));
}

base::Task<void> Api::rotate_webhook_secret(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto secret = base::value_or_throw(parse_rotation(*json_body));
  const auto sealing = co_await sealing_key(call);
  auto rotated = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return webhooks::rotate_secret(tx, call.item_id, secret, context, *sealing);
  });
  if (!rotated) throw base::Failure(rotated.error());
  co_await respond_with_secret(call, 200, {std::move(*rotated)});
}

base::Task<void> Api::test_webhook(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  base::value_or_throw(parse_empty_body(*json_body));
  const auto queued = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return webhooks::test_webhook(tx, call.item_id, context);
  });
  if (!queued) throw base::Failure(queued.error());
  co_await call.respond_json(202, to_wire(*queued));
}

base::Task<void> Api::list_deliveries(Call& call) {
  const auto wanted = base::value_or_throw(delivery_query(call.request(), call.item_id));
  const auto page = co_await needs_.store.read_in(
      call.workspace, [&wanted](store::Reader& reader) { return deliveries_text(reader, wanted); });
  if (!page) throw base::Failure(page.error());
  co_await call.respond_json(200, *page);
}

base::Task<void> Api::redeliver(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  base::value_or_throw(parse_empty_body(*json_body));
  const auto queued = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return webhooks::redeliver(tx, call.item_id, call.part_id, context);
  });
  if (!queued) throw base::Failure(queued.error());
  co_await call.respond_json(202, to_wire(*queued));
}

}  // namespace agentrouter::api
