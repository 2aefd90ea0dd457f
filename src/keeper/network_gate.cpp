#include "keeper/network_gate.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "egress/egress.h"

namespace agentrouter::keeper {
namespace {

using egress::McpMessage;
using egress::Pass;

constexpr std::size_t title_bytes = 200;

Pass refusal(std::string reason, std::string message) {
  return {.allowed = false, .reason = std::move(reason), .message = std::move(message)};
}

Pass pass_of(const ActionReply& reply) {
  if (reply.answer == agents::Answer::accept)
    return {.allowed = true, .action_id = reply.action_id, .call_id = reply.call_id};
  auto pass = refusal(reply.code, reply.reason.empty() ? "this request was not allowed" : reply.reason);
  pass.action_id = reply.action_id;
  return pass;
}

// To a host that is no MCP server's.
agents::Ask ask_of_outbound(const egress::HeldRequest& request, std::string id,
                            const base::Redactor& hidden) {
  const auto place = request.host + ":" + std::to_string(request.port);
  agents::Ask ask{.ask_id = id,
                  .tool = "network",
                  .title = request.method + " " + request.scheme + "://" + place + request.path};
  ask.args = {{"scheme", request.scheme},
              {"host", request.host},
              {"port", request.port},
              {"method", request.method},
              {"path", request.path}};
  if (!request.query.empty()) ask.args["query"] = base::to_utf8(request.query);
  if (!request.body.empty()) ask.args["body"] = base::to_utf8(request.body);
  if (!request.encoding.empty()) ask.args["bodyEncoding"] = base::to_utf8(request.encoding);
  ask.title = hidden.cut(base::to_utf8(ask.title), title_bytes);
  ask.call_id = std::move(id);
  ask.input_digest = base::json_digest(json::object{{"place", request.scheme + "://" + place},
                                                    {"target", base::Sha256::hex_of(request.path + "?" + request.query)},
                                                    {"head", base::Sha256::hex_of(request.head)},
                                                    {"body", base::Sha256::hex_of(request.body)}});
  return ask;
}

}  // namespace

agents::Ask ask_of(const egress::HeldRequest& request, std::string id, const base::Redactor& hidden) {
  if (request.server.empty()) return ask_of_outbound(request, std::move(id), hidden);
  const auto& message = request.message;
  agents::Ask ask{
      .ask_id = id, .tool = "network", .title = request.method + " " + request.host + request.path};
  ask.args = {
      {"server", request.server}, {"host", request.host}, {"method", request.method}, {"path", request.path}};
  if (!message.method.empty()) {
    ask.args["rpcMethod"] = message.method;
    ask.title += " " + message.method;
  }
  if (message.kind == McpMessage::Kind::tool_call) {
    ask.args["tool"] = message.tool;
    ask.args["arguments"] = message.arguments;
    ask.title += " " + message.tool;
  }
  if (!message.plain && !request.body.empty()) ask.args["body"] = base::to_utf8(request.body);
  ask.title = hidden.cut(base::to_utf8(ask.title), title_bytes);
  ask.call_id = std::move(id);
  ask.input_digest = base::json_digest(json::object{{"server", request.server},
                                                    {"head", base::Sha256::hex_of(request.head)},
                                                    {"body", base::Sha256::hex_of(request.body)}});
  return ask;
}

// One held request in the list of all; taken back when nobody waits for it any more.
class NetworkGate::Place {
 public:
  Place(NetworkGate& gate, std::string ask_id, Held& held)
      : gate_(gate), ask_id_(std::move(ask_id)), held_(held) {
    gate_.held_.emplace(ask_id_, &held_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    gate_.held_.erase(ask_id_);
    if (!held_.pass && gate_.turn_ != nullptr) gate_.turn_->withdraw_request(ask_id_);
  }

 private:
  NetworkGate& gate_;
  std::string ask_id_;
  Held& held_;
};

void NetworkGate::open(Turn& turn, ActionGate& actions) {
  turn_ = &turn;
  actions_ = &actions;
}

void NetworkGate::close() {
  turn_ = nullptr;
  actions_ = nullptr;
  for (const auto& [ask_id, held] : held_) {
    if (!held->pass) held->pass = refusal("withdrawn", "the turn is over");
    held->changed.notify();
  }
}

bool NetworkGate::answer(const ActionReply& reply) {
  const auto found = held_.find(reply.ask_id);
  if (found == held_.end()) return false;
  found->second->pass = pass_of(reply);
  found->second->changed.notify();
  return true;
}

bool NetworkGate::keeps_up(const egress::HeldRequest& request) const {
  if (request.message.kind != McpMessage::Kind::keeps_up) return false;
  return judge_connection(needs_.plan, ask_of(request, {}, needs_.hidden), needs_.clock.now());
}

base::Task<Pass> NetworkGate::pass(egress::HeldRequest request, Asker asker) {
  if (turn_ == nullptr) co_return refusal("held", "no turn of the agent is running");
  const bool to_server = !request.server.empty();
  if (to_server && keeps_up(request)) co_return Pass{.allowed = true};
  const auto& message = request.message;
  if (to_server && message.plain) {
    auto action = actions_->take_call(request.server, message.tool, message.arguments);
    if (action) co_return Pass{.allowed = true, .action_id = std::move(*action)};
  }
  if (held_.size() >= held_at_most) co_return refusal("held", "too many requests wait for a decision");
  auto ask = ask_of(request, "request_" + base::new_uuid(needs_.entropy), needs_.hidden);
  request = {};
  co_return co_await hold(std::move(ask), asker);
}

base::Task<Pass> NetworkGate::hold(agents::Ask ask, Asker asker) {
  const auto deadline = base::after(needs_.held_for);
  Held held{.changed = asker.left};
  const Place place(*this, ask.ask_id, held);
  turn_->propose_request(ask);
  ask = {};
  while (!held.pass && !asker.is_gone && !base::passed(deadline))
    std::ignore = co_await held.changed.wait_until(deadline);
  if (held.pass) co_return *held.pass;
  co_return refusal("withdrawn", asker.is_gone ? "who asked has left" : "nobody decided in time");
}

void NetworkGate::done(const std::string& call_id, const egress::RequestRecord& record) {
  if (turn_ != nullptr) turn_->request_done(call_id, record);
}

}  // namespace agentrouter::keeper
