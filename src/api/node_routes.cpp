// Routes of the servers themselves: who is there, and who is to take nothing new.

#include "api/body.h"
#include "api/call.h"
#include "runs/nodes.h"

namespace agentrouter::api {

base::Task<void> Api::list_nodes(Call& call) {
  const auto text = co_await needs_.store.read(
      [](store::Reader& reader) { return runs::nodes_wire(runs::nodes(reader)); });
  co_await call.respond_json(200, text);
}

base::Task<void> Api::drain_node(Call& call) {
  co_await set_draining(call, true);
}

base::Task<void> Api::undrain_node(Call& call) {
  co_await set_draining(call, false);
}

base::Task<void> Api::set_draining(Call& call, bool draining) {
  const auto body = co_await call.read_json();
  if (!body) throw base::Failure(body.error());
  base::value_or_throw(parse_empty_body(*body));
  const auto& id = call.item_id;
  const auto node = co_await write(
      call, [&id, draining](store::Transaction& tx) { return runs::set_draining(tx, id, draining); });
  if (!node) throw base::Failure(node.error());
  co_await call.respond_json(200, base::to_text(json::object{{"node", runs::to_json(*node)}}));
}

}  // namespace agentrouter::api
