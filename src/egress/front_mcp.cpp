// Requests to the run's MCP servers: read whole, passed by the gate where there is one, and then forwarded.

#include <algorithm>

#include "egress/front.h"

namespace agentrouter::egress {
namespace {

// Tells the gate when what it let go is over, in whatever way.
class Ticket {
 public:
  Ticket(RequestGate* gate, std::string call_id, const RequestRecord& record)
      : gate_(gate), call_id_(std::move(call_id)), record_(record) {}
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  ~Ticket() {
    if (gate_ != nullptr && !call_id_.empty()) gate_->done(call_id_, record_);
  }

 private:
  RequestGate* gate_;
  std::string call_id_;
  const RequestRecord& record_;
};

// Whether who asked is still there, while the request is held.
class Presence {
 public:
  Presence(net::Exchange& exchange, base::Executor executor) : exchange_(exchange), left_(executor) {
    exchange_.on_gone([this] {
      gone_ = true;
      left_.notify();
    });
  }
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;
  ~Presence() { exchange_.on_gone(nullptr); }
  [[nodiscard]] RequestGate::Asker asker() { return {left_, gone_}; }

 private:
  net::Exchange& exchange_;
  base::Event left_;
  bool gone_ = false;
};

}  // namespace

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
  std::optional<Counted> open;
  if (request.method != "GET") open.emplace(open_forwards_);
  Forward context{.config = config_,
                  .url = server.upstream.url,
                  .credential = server.credential,
                  .head = mcp_head(request, server.upstream.url, server.added),
                  .peer = Peer::mcp,
                  .record = record,
                  .total_bytes = total_bytes_,
                  .rpc_id = std::move(rpc_id)};
  co_await forward(std::move(context), exchange, std::move(body));
}

}  // namespace agentrouter::egress
