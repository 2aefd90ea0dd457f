#pragma once
// The requests of one connection whose requests are seen: http, or https that ends here. Each is judged, maybe
// asked about, and forwarded. Internal to egress.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "egress/outbound_desk.h"
#include "net/exchange.h"

namespace agentrouter::egress {

// Why a head cannot be passed on to its host, whatever the rules say.
struct HeadRefusal {
  int status = 403;
  std::string reason;  // a stable word: host_mismatch, target_denied, method_denied, websocket_unsupported
  std::string message;
};
// Pure.
[[nodiscard]] std::optional<HeadRefusal> refusal_of_head(const net::Request& request, const net::Url& host);

class OutboundRequests final : public net::Handler {
 public:
  // `desk` outlives it. `host` is the name that was connected to.
  OutboundRequests(OutboundDesk& desk, policy::EgressScheme scheme, std::string host, std::uint16_t port);

  [[nodiscard]] Task<void> handle(net::Exchange& exchange) override;
  // For what never becomes a request.
  [[nodiscard]] const net::ErrorReply& error_reply() const { return error_reply_; }

 private:
  [[nodiscard]] Task<void> deny(net::Exchange& exchange, HeadRefusal refusal, RequestRecord& record);
  // Judges a request; what is added to it is in `added`. Nothing: it was answered.
  [[nodiscard]] Task<std::optional<policy::EgressVerdict>> judge(net::Exchange& exchange, RequestRecord& record,
                                                                const OutboundDesk::Added*& added);
  // The body as far as it has to be read before the request leaves. Nothing: it was answered.
  [[nodiscard]] Task<std::optional<std::string>> read_body(net::Exchange& exchange, bool whole,
                                                           RequestRecord& record);
  // Asks the gate. Nothing: it was answered.
  [[nodiscard]] Task<std::optional<Pass>> ask_gate(net::Exchange& exchange, const policy::EgressVerdict& verdict,
                                                   const std::string& head, const std::string& body,
                                                   RequestRecord& record);
  [[nodiscard]] Task<void> send(net::Exchange& exchange, const policy::EgressVerdict& verdict,
                                const OutboundDesk::Added* added, RequestRecord& record);

  OutboundDesk& desk_;
  policy::EgressScheme scheme_;
  net::Url host_;
  net::ErrorReply error_reply_;
  std::unique_ptr<net::Stream> kept_;  // to the host, when no request uses it
};

}  // namespace agentrouter::egress
