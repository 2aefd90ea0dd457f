// Keys and workspaces. They are judged by what the caller's key opens, not by the workspace of the request.

#include "api/call.h"
#include "api/key_body.h"
#include "api/query.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t longest_id = 256;

struct Places {
  std::string after;
  int limit = 0;
};

base::Result<Places> places_of(const net::Request& request) {
  Issues issues;
  Query query(request, issues);
  Places places;
  places.after = query.text("after", longest_id).value_or("");
  places.limit = static_cast<int>(query.number("limit", 100, 1, 500));
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return places;
}

// {items, nextAfter?}
template <class Page, class ToWire>
std::string page_text(const Page& page, ToWire to_wire) {
  std::string text = "{\"items\":[";
  for (std::size_t i = 0; i < page.items.size(); ++i)
    text.append(i ? "," : "").append(to_wire(page.items[i]));
  text += "]";
  if (page.next) text += ",\"nextAfter\":" + base::to_text(json::value(*page.next));
  return text + "}";
}

// A key that is shown once is not for anybody's cache; every answer says no-store (problem.h).
net::Response made_key(int status, const tenancy::MadeKey& made, base::Time now) {
  return json_response(status, tenancy::to_wire(made.key, now, made.text));
}

}  // namespace

base::Task<void> Api::list_keys(Call& call) {
  const auto places = base::value_or_throw(places_of(call.request()));
  const auto now = needs_.clock.now();
  const auto page = co_await needs_.store.read([&](store::Reader& reader) -> base::Result<std::string> {
    AGENTROUTER_TRY(const auto keys, tenancy::list_keys(reader, call.caller, places.after, places.limit));
    return page_text(keys, [&](const store::ApiKey& key) { return tenancy::to_wire(key, now); });
  });
  if (!page) throw base::Failure(page.error());
  co_await call.respond_json(200, *page);
}

base::Task<void> Api::create_key(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  auto body = base::value_or_throw(parse_key_body(*json_body));
  if (!body.workspaces) body.workspaces = std::vector{base::value_or_throw(call.place)};
  const tenancy::NewKey request{body.name, *body.workspaces, body.scopes, body.expires_at};
  const auto made = co_await write_as(
      call, [&request, context = context()](store::Transaction& tx, const tenancy::Caller& caller) {
        return tenancy::make_key(tx, caller, request, context);
      });
  if (!made) throw base::Failure(made.error());
  auto response = made_key(201, *made, needs_.clock.now());
  response.headers.add("Location", "/v1/keys/" + made->key.id);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::get_key(Call& call) {
  const auto key = co_await needs_.store.read(
      [&call](store::Reader& reader) { return tenancy::find_key(reader, call.caller, call.item_id); });
  if (!key) throw base::Failure(key.error());
  co_await call.respond_json(200, tenancy::to_wire(*key, needs_.clock.now()));
}

base::Task<void> Api::revoke_key(Call& call) {
  const auto key = co_await write_as(
      call, [&call, context = context()](store::Transaction& tx, const tenancy::Caller& caller) {
        return tenancy::revoke_key(tx, caller, call.item_id, context);
      });
  if (!key) throw base::Failure(key.error());
  co_await call.respond_json(200, tenancy::to_wire(*key, needs_.clock.now()));
}

base::Task<void> Api::rotate_key(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto overlap = base::value_or_throw(parse_key_rotation(*json_body));
  const auto made = co_await write_as(
      call, [&call, overlap, context = context()](store::Transaction& tx, const tenancy::Caller& caller) {
        return tenancy::rotate_key(tx, caller, call.item_id, overlap, context);
      });
  if (!made) throw base::Failure(made.error());
  auto response = made_key(201, *made, needs_.clock.now());
  response.headers.add("Location", "/v1/keys/" + made->key.id);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::list_workspaces(Call& call) {
  const auto places = base::value_or_throw(places_of(call.request()));
  const auto page = co_await needs_.store.read([&](store::Reader& reader) -> base::Result<std::string> {
    AGENTROUTER_TRY(const auto all,
                    tenancy::list_workspaces(reader, call.caller, places.after, places.limit));
    return page_text(all, [](const store::WorkspaceRecord& one) { return tenancy::to_wire(one); });
  });
  if (!page) throw base::Failure(page.error());
  co_await call.respond_json(200, *page);
}

base::Task<void> Api::create_workspace(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto request = base::value_or_throw(parse_new_workspace(*json_body));
  const auto made = co_await write_as(
      call, [&request, context = context()](store::Transaction& tx, const tenancy::Caller& caller) {
        return tenancy::make_workspace(tx, caller, request, context);
      });
  if (!made) throw base::Failure(made.error());
  auto response = json_response(201, tenancy::to_wire(*made));
  response.headers.add("Location", "/v1/workspaces/" + made->id);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::get_workspace(Call& call) {
  const auto found = co_await needs_.store.read(
      [&call](store::Reader& reader) { return tenancy::find_workspace(reader, call.caller, call.item_id); });
  if (!found) throw base::Failure(found.error());
  co_await call.respond_json(200, tenancy::to_wire(*found));
}

base::Task<void> Api::change_workspace(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto change = base::value_or_throw(parse_workspace_change(*json_body));
  const auto changed = co_await write_as(
      call, [&, context = context()](store::Transaction& tx, const tenancy::Caller& caller) {
        return tenancy::change_workspace(tx, caller, call.item_id, change, context);
      });
  if (!changed) throw base::Failure(changed.error());
  co_await call.respond_json(200, tenancy::to_wire(*changed));
}

}  // namespace agentrouter::api
