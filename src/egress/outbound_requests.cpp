#include "egress/outbound_requests.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "base/utf8.h"
#include "egress/forward.h"
#include "egress/presence.h"
#include "egress/route.h"

namespace agentrouter::egress {

using policy::EgressScheme;
using policy::EgressVerdict;

namespace {

constexpr std::size_t held_bodies_read_at_once = 16;

// What some servers take for the method or the path, in place of those that were judged.
constexpr std::array<std::string_view, 6> overriding{"x-http-method-override", "x-http-method",
                                                     "x-method-override",      "x-original-method",
                                                     "x-original-url",         "x-rewrite-url"};

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

// All fields of the name, as a list.
std::string list_of(const net::Headers& headers, std::string_view name) {
  std::string list;
  for (const auto& field : headers) {
    if (net::iequals(field.name, name)) list += (list.empty() ? "" : ", ") + field.value;
  }
  return list;
}

std::string query_of(const net::Request& request) {
  const auto question = request.target.find('?');
  return question == std::string::npos ? "" : request.target.substr(question + 1);
}

ForwardLimits forward_limits(const OutboundConfig& config) {
  return {config.response_bytes, config.total_bytes, config.head_timeout, config.idle_timeout};
}

// Bytes that are kept for somebody who has not decided yet.
class HeldBytes {
 public:
  HeldBytes(std::uint64_t& total, std::uint64_t bytes) : total_(total), bytes_(bytes) { total_ += bytes_; }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;
  ~HeldBytes() { total_ -= bytes_; }

 private:
  std::uint64_t& total_;
  std::uint64_t bytes_;
};

}  // namespace

std::optional<HeadRefusal> refusal_of_head(const net::Request& request, const net::Url& host) {
  if (std::ranges::any_of(request.method, is_lower))
    return HeadRefusal{405, "method_denied",
                       "methods are written in capitals: what is judged is then what is done"};
  if (request.method == "CONNECT")
    return HeadRefusal{405, "method_denied", "this is not a proxy: connect to the host"};
  if (request.target.empty() || request.target[0] != '/')
    return HeadRefusal{403, "target_denied", "this is not a proxy: ask for a path"};
  const auto named = net::parse_authority(request.headers.get("host"));
  const std::uint16_t usual = host.scheme == net::Scheme::https ? 443 : 80;
  if (!named || base::ascii_lower(named->host) != host.host ||
      (named->port == 0 ? usual : named->port) != host.port)
    return HeadRefusal{421, "host_mismatch", "the Host field is not the host that this connection goes to"};
  if (request.headers.has_token("upgrade", "websocket"))
    return HeadRefusal{426, "websocket_unsupported", "websockets are not carried where requests are judged"};
  // What came behind it would be read by nobody who judges; a server that takes it up anyway would be another
  // one.
  if (request.headers.find("upgrade"))
    return HeadRefusal{
        403, "upgrade_denied",
        "another protocol cannot be changed to where requests are judged: ask in HTTP/1.1 alone"};
  for (const auto name : overriding) {
    if (request.headers.find(name))
      return HeadRefusal{
          403, "override_denied",
          "a field that may make another request of this one is not carried where requests are judged: " +
              std::string(name)};
  }
  return std::nullopt;
}

OutboundRequests::OutboundRequests(OutboundDesk& desk, EgressScheme scheme, std::string host,
                                   std::uint16_t port)
    : desk_(desk), scheme_(scheme), host_(url_of(scheme, host, port)) {
  error_reply_ = [this](const net::ServerError& error) {
    OutboundTally tally(desk_, scheme_, host_.host, host_.port);
    tally.record.status = error.status;
    tally.record.reason = error.code;
    return error_response(error.status, error.code, error.message);
  };
}

Task<void> OutboundRequests::handle(net::Exchange& exchange) {
  const auto& request = exchange.request();
  OutboundTally tally(desk_, scheme_, host_.host, host_.port);
  auto& record = tally.record;
  record.method = shown(request.method, 32);
  record.path = base::to_utf8(request.path);
  if (auto refusal = refusal_of_head(request, host_)) {
    co_await deny(exchange, std::move(*refusal), record);
    co_return;
  }
  if (desk_.is_spent()) {
    co_await deny(exchange, {403, "egress_limit", "this run has used up its traffic"}, record);
    co_return;
  }
  const OutboundDesk::Added* added = nullptr;
  const auto verdict = co_await judge(exchange, record, added);
  if (verdict) co_await send(exchange, *verdict, added, record);
}

Task<std::optional<EgressVerdict>> OutboundRequests::judge(net::Exchange& exchange, RequestRecord& record,
                                                           const OutboundDesk::Added*& added) {
  const auto& request = exchange.request();
  const policy::EgressRequest asked{host_.host, host_.port, scheme_, request.method, request.path};
  auto verdict = desk_.config().judge(asked);
  record.rule_id = verdict.rule_id;
  if (verdict.decision == policy::Decision::blocked) {
    co_await deny(exchange, {403, "policy_denied", verdict.reason}, record);
    co_return std::nullopt;
  }
  if (verdict.secret.empty()) co_return verdict;
  added = desk_.secret(verdict.secret);
  if (added == nullptr) {
    co_await deny(exchange, {403, "secret_unknown", "the rule adds a secret that this run does not have"},
                  record);
    co_return std::nullopt;
  }
  if (!is_bound_to(added->secret, asked)) added = nullptr;
  co_return verdict;
}

Task<std::optional<std::string>> OutboundRequests::read_body(net::Exchange& exchange, bool whole,
                                                             RequestRecord& record) {
  if (whole && desk_.reading() >= held_bodies_read_at_once) {
    co_await deny(exchange, {503, "held", "too many requests come at once"}, record);
    co_return std::nullopt;
  }
  std::optional<base::Counted> reading;
  if (whole) {
    reading.emplace(desk_.reading());
    exchange.limit_body(std::min(desk_.config().held_bytes, desk_.config().request_bytes));
  }
  auto reader = whole ? exchange.read_body() : exchange.read_some();
  auto body = co_await std::move(reader);
  if (body) co_return std::move(*body);
  const auto error = std::move(body).error();
  co_await deny(exchange, {net::status_of_body_error(error), "request_body", error.message}, record);
  co_return std::nullopt;
}

Task<std::optional<Pass>> OutboundRequests::ask_gate(net::Exchange& exchange, const EgressVerdict& verdict,
                                                     const std::string& head, const std::string& body,
                                                     RequestRecord& record) {
  const auto& request = exchange.request();
  auto* const gate = desk_.config().gate;
  if (gate == nullptr) {
    co_await deny(exchange, {403, "approval_unavailable", "nobody can be asked about this request"}, record);
    co_return std::nullopt;
  }
  if (!desk_.may_hold(body.size())) {
    co_await deny(exchange, {503, "held", "too many requests wait for a decision"}, record);
    co_return std::nullopt;
  }
  HeldRequest held;
  held.host = host_.host;
  held.method = request.method;
  held.path = request.path;
  held.head = head;
  held.body = body;
  held.port = host_.port;
  held.scheme = policy::to_string(scheme_);
  held.query = query_of(request);
  held.encoding = list_of(request.headers, "content-encoding");
  held.rule_id = verdict.rule_id;
  held.reason = verdict.reason;
  Pass pass;
  {
    const HeldBytes bytes(desk_.held_bytes(), body.size());
    Presence presence(exchange, desk_.executor());
    pass = co_await gate->pass(std::move(held), presence.asker());
  }
  record.action_id = pass.action_id;
  if (pass.allowed) co_return pass;
  co_await deny(exchange, {pass.reason == "held" ? 503 : 403, pass.reason, pass.message}, record);
  co_return std::nullopt;
}

Task<void> OutboundRequests::send(net::Exchange& exchange, const EgressVerdict& verdict,
                                  const OutboundDesk::Added* added, RequestRecord& record) {
  const auto& config = desk_.config();
  const bool asks = verdict.decision == policy::Decision::requires_approval;
  auto body = co_await read_body(exchange, asks, record);
  if (!body) co_return;
  auto head =
      host_head(exchange.request(), host_, added != nullptr ? std::string_view(added->secret.header) : "");
  Pass pass{.allowed = true};
  if (asks) {
    auto decided = co_await ask_gate(exchange, verdict, head, *body, record);
    if (!decided) co_return;
    pass = std::move(*decided);
  }
  const Ticket ticket(config.gate, pass.call_id, record);
  const auto permitted = co_await desk_.departure().permit();
  if (!permitted) {
    co_await deny(exchange, {503, "held", permitted.error().message}, record);
    co_return;
  }
  record.decision = Decision::forwarded;
  const auto wrap = scheme_ == EgressScheme::https ? OutboundDesk::Wrap::tls : OutboundDesk::Wrap::none;
  Forward context{.limits = forward_limits(config),
                  .connect = [this, wrap] { return desk_.dial(host_.host, host_.port, wrap); },
                  .kept = &kept_,
                  .credential = added != nullptr ? &added->credential : nullptr,
                  .head = std::move(head),
                  .peer = Peer::host,
                  .record = record,
                  .total_bytes = desk_.total_bytes()};
  co_await forward(std::move(context), exchange, std::move(*body));
  if (record.reason == "address_denied") record.decision = Decision::denied;
}

Task<void> OutboundRequests::deny(net::Exchange& exchange, HeadRefusal refusal, RequestRecord& record) {
  record.decision = Decision::denied;
  record.status = refusal.status;
  record.reason = refusal.reason;
  co_await exchange.respond(error_response(refusal.status, refusal.reason, refusal.message));
}

}  // namespace agentrouter::egress
