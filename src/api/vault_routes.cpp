// Keys of model providers that a workspace brings along, and the keys that seal them.

#include "api/call.h"
#include "api/schema.h"
#include "base/log.h"
#include "model/audit.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t longest_base_url = 2048;

// {value, baseUrl?}. What is wrong with a value is said without it.
base::Result<vault::NewProviderKey> parse_provider_key(const json::value& body, const std::string& workspace,
                                                       const std::string& provider) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  vault::NewProviderKey request{.workspace = workspace, .provider = provider, .value = {}};
  if (!vault::is_provider(provider))
    issues.other({"provider"}, "Invalid provider: expected openai or anthropic");
  const auto* value = object->if_contains("value");
  const auto* text = value ? value->if_string() : nullptr;
  if (!text) {
    issues.wrong_type({"value"}, "string", value);
  } else if (!vault::is_provider_key(*text)) {
    issues.other({"value"}, "Invalid key: expected 8 to 4096 printable ASCII characters without blanks");
  } else {
    request.value = std::string(*text);
  }
  if (const auto* url = object->if_contains("baseUrl"))
    request.base_url = text_of(issues, {"baseUrl"}, url, {1, longest_base_url}).value_or("");
  check_keys(issues, {}, *object, {"value", "baseUrl"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return request;
}

bool flag_of(Issues& issues, const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (!value) return false;
  if (!value->is_bool()) issues.wrong_type({std::string(name)}, "boolean", value);
  return value->is_bool() && value->get_bool();
}

// {masterKey?, dataKeys?, abandonLost?}
base::Result<vault::RotationOrder> parse_rotation_order(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  const vault::RotationOrder order{.master_key = flag_of(issues, *object, "masterKey"),
                                   .data_keys = flag_of(issues, *object, "dataKeys"),
                                   .abandon = flag_of(issues, *object, "abandonLost")};
  check_keys(issues, {}, *object, {"masterKey", "dataKeys", "abandonLost"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return order;
}

std::string status_text(const vault::VaultStatus& status) {
  json::object object{
      {"hasMasterKey", status.has_master_key}, {"oldMasterKeys", status.old_master_keys},
      {"dataKeys", status.data_keys},          {"dataKeysOfOldMasterKeys", status.data_keys_of_old},
      {"retiringDataKeys", status.retiring},   {"sealedValues", status.values},
      {"clearValues", status.clear},           {"rotationOpen", status.rotation_open()}};
  if (!status.master_key.empty()) object["masterKey"] = status.master_key;
  if (!status.problem.empty()) object["problem"] = status.problem;
  return base::to_text(object);
}

std::string step_text(const vault::RotationStep& step) {
  json::object object{{"done", step.done()},
                      {"progress", step.progress()},
                      {"wrappedDataKeys", step.wrapped},
                      {"sealedValues", step.sealed},
                      {"retiredDataKeys", step.retired},
                      {"abandonedDataKeys", step.abandoned},
                      {"left", step.left},
                      {"stuck", step.stuck}};
  if (!step.problem.empty()) object["problem"] = step.problem;
  return base::to_text(object);
}

}  // namespace

base::Task<vault::SealingKeyHandle> Api::sealing_key(const Call& call) {
  co_await check_again(call);
  co_return base::value_or_throw(co_await needs_.vault.sealing_key(call.workspace));
}

base::Task<void> Api::list_provider_keys(Call& call) {
  const auto body = co_await needs_.store.read([&call](store::Reader& reader) {
    std::string items;
    for (const auto* provider : {"anthropic", "openai"}) {
      const auto key = reader.provider_key(call.workspace, provider);
      if (key) items += (items.empty() ? "" : ",") + vault::to_wire(*key);
    }
    return "{\"items\":[" + items + "]}";
  });
  co_await call.respond_json(200, body);
}

base::Task<void> Api::get_provider_key(Call& call) {
  const auto key = co_await needs_.store.read([&call](store::Reader& reader) {
    return vault::find_provider_key(reader, call.workspace, call.item_id);
  });
  if (!key) throw base::Failure(key.error());
  co_await call.respond_json(200, vault::to_wire(*key));
}

base::Task<void> Api::put_provider_key(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  auto request = base::value_or_throw(parse_provider_key(*json_body, call.workspace, call.item_id));
  request.set_by = call.caller.key;
  const auto sealing = co_await sealing_key(call);
  const auto put = co_await write(call, [&](store::Transaction& tx) {
    return vault::put_provider_key(tx, request, options_.provider_keys, *sealing, needs_.clock,
                                   needs_.entropy);
  });
  base::wipe(request.value);
  if (!put) throw base::Failure(put.error());
  base::log(base::LogLevel::info, "a provider key was set",
            {{"workspace", request.workspace}, {"provider", request.provider}, {"by", request.set_by}});
  co_await call.respond_json(put->made ? 201 : 200, vault::to_wire(put->key));
}

base::Task<void> Api::delete_provider_key(Call& call) {
  const std::string workspace(call.workspace);
  const auto gone = co_await write(
      call, [&](store::Transaction& tx) { return vault::delete_provider_key(tx, workspace, call.item_id); });
  if (!gone) throw base::Failure(gone.error());
  base::log(base::LogLevel::info, "a provider key was deleted",
            {{"workspace", workspace}, {"provider", call.item_id}, {"by", call.caller.key}});
  co_await call.respond_json(200, base::to_text(json::object{{"provider", call.item_id}, {"deleted", true}}));
}

base::Task<void> Api::get_vault(Call& call) {
  const auto status = co_await needs_.vault.status();
  co_await call.respond_json(200, status_text(status));
}

base::Task<void> Api::rotate_vault(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto order = base::value_or_throw(parse_rotation_order(*json_body));
  co_await check_again(call);
  const auto step = co_await needs_.vault.rotate(order);
  if (!step) throw base::Failure(step.error());
  co_await call.respond_json(200, step_text(*step));
}

}  // namespace agentrouter::api
