#pragma once
// One connection that a program of the sandbox has made: what it speaks, where it may go, and how it is
// carried. Internal to egress.

#include <cstdint>
#include <string>
#include <string_view>

#include "egress/outbound_desk.h"
#include "net/client_hello.h"
#include "net/incoming.h"

namespace agentrouter::egress {

class OutboundVisit {
 public:
  // `desk` outlives it.
  OutboundVisit(OutboundDesk& desk, base::Fd socket, std::uint16_t port);

  [[nodiscard]] Task<void> run();

 private:
  using Scheme = policy::EgressScheme;
  struct Refusal {
    std::string_view reason;
    std::string_view alert = {};  // said to a TLS client; empty: the connection is reset
  };

  [[nodiscard]] policy::EgressVerdict judge(Scheme scheme) const;
  [[nodiscard]] bool is_open(Scheme scheme) const;
  void refuse(Scheme scheme, const Refusal& refusal, const std::string& rule_id = {});

  [[nodiscard]] Task<void> find_scheme();
  [[nodiscard]] Task<void> serve_tls();
  // Reads until the ClientHello is there. False: it was refused, or nobody is left.
  [[nodiscard]] Task<bool> read_hello(net::ClientHello& hello);
  [[nodiscard]] std::optional<Refusal> judge_hello(const net::ClientHello& hello) const;
  [[nodiscard]] Task<void> inspect(const net::ClientHello& hello, const policy::EgressVerdict& verdict);
  [[nodiscard]] Task<void> serve_http();
  [[nodiscard]] Task<void> carry(Scheme scheme, policy::EgressVerdict verdict);
  [[nodiscard]] Task<bool> may_leave(const policy::EgressVerdict& verdict, Scheme scheme, RequestRecord& record,
                                     Pass& pass);
  [[nodiscard]] Task<void> ask_gate(HeldRequest held, Pass& pass);
  [[nodiscard]] Task<void> watch_peer();
  [[nodiscard]] Task<void> join(net::Stream& far, RequestRecord& record);

  OutboundDesk& desk_;
  net::Incoming incoming_;
  base::Deadline begin_;
  std::uint16_t port_;
  std::string host_;
  base::Event left_;
  bool gone_ = false;
};

}  // namespace agentrouter::egress
