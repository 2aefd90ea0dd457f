// Requests to the run's MCP servers: read whole, passed by the gate where there is one, and then forwarded.

#include <algorithm>

#include "egress/front.h"
#include "egress/own_request.h"
#include "egress/presence.h"

namespace agentrouter::egress {

Task<void> Egress::Front::forward_to_mcp(net::Exchange& exchange, const std::string& name,
                                         RequestRecord& record) {
  const auto& request = exchange.request();
  const auto found =
      std::find_if(mcp_.begin(), mcp_.end(), [&](const Mcp& one) { return one.upstream.name == name; });
  const bool exact = request.target == request.path;
  if (found == mcp_.end() || !exact ||
      (found->upstream.url.scheme == net::Scheme::https && config_.tls == nullptr)) {
    co_await deny(exchange, 403, "path_denied", "this run has no such MCP server", record);
    co_return;
  }
  record.mcp_server = name;
  auto body = co_await whole_body(exchange, config_.held_bytes, record);
  if (!body) co_return;
  auto message = read_mcp_message(request.method, *body);
  std::string rpc_id = message.id;
  auto pass = co_await let_pass(exchange, *found, *body, std::move(message), record);
  if (!pass) co_return;
  record.action_id = pass->action_id;
  const Ticket ticket(config_.gate, pass->call_id, record);
  co_await send_to_mcp(exchange, *found, std::move(*body), std::move(rpc_id), record);
}

Task<std::optional<Pass>> Egress::Front::let_pass(net::Exchange& exchange, const Mcp& server,
                                                  const std::string& body, McpMessage message,
                                                  RequestRecord& record) {
  if (config_.gate == nullptr) co_return Pass{.allowed = true};
  const auto& url = server.upstream.url;
  HeldRequest held{.server = server.upstream.name,
                   .host = url.host,
                   .method = exchange.request().method,
                   .path = url.path,
                   .head = mcp_head(exchange.request(), url, server.added),
                   .body = body,
                   .message = std::move(message)};
  Pass pass;
  {
    Presence presence(exchange, co_await base::this_executor);
    pass = co_await config_.gate->pass(std::move(held), presence.asker());
  }
  if (pass.allowed) co_return pass;
  record.host = url.authority();
  record.action_id = pass.action_id;
  co_await deny(exchange, pass.reason == "held" ? 503 : 403, pass.reason, pass.message, record);
  co_return std::nullopt;
}

Task<void> Egress::Front::send_to_mcp(net::Exchange& exchange, const Mcp& server, std::string body,
                                      std::string rpc_id, RequestRecord& record) {
  const auto& request = exchange.request();
  const bool permitted = co_await permit(exchange, record);
  if (!permitted) co_return;
  record.host = server.upstream.url.authority();
  // A stream of the server's own messages may stay open and silent as long as the agent likes.
  std::optional<base::Counted> open;
  if (request.method != "GET") open.emplace(open_forwards_);
  const auto& url = server.upstream.url;
  Forward context{.limits = limits_of(config_),
                  .connect = [this, &url] { return connect_to(url, config_.tls, base::after(config_.connect_timeout),
                                                              net::Reach::not_link_local); },
                  .credential = &server.credential,
                  .head = mcp_head(request, server.upstream.url, server.added),
                  .peer = Peer::mcp,
                  .record = record,
                  .total_bytes = total_bytes_,
                  .rpc_id = std::move(rpc_id)};
  co_await forward(std::move(context), exchange, std::move(body));
}

}  // namespace agentrouter::egress
