#include "egress/outbound_visit.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include "base/log.h"
#include "egress/authority.h"
#include "egress/outbound_requests.h"
#include "egress/presence.h"
#include "net/splice.h"

namespace agentrouter::egress {

using base::Code;
using policy::EgressVerdict;

namespace {

// TLS alerts as they go over the wire: what a client shows instead of a broken connection.
constexpr std::string_view access_denied("\x15\x03\x03\x00\x02\x02\x31", 7);
constexpr std::string_view unrecognized_name("\x15\x03\x03\x00\x02\x02\x70", 7);
constexpr std::string_view decode_error("\x15\x03\x03\x00\x02\x02\x32", 7);
constexpr std::string_view no_application_protocol("\x15\x03\x03\x00\x02\x02\x78", 7);

constexpr unsigned char tls_handshake = 0x16;
// For the first word on a connection that will be refused, so that it is refused in the client's language.
constexpr std::chrono::milliseconds word_grace{1'000};

bool is_address(const std::string& host) {
  boost::system::error_code not_numeric;
  asio::ip::make_address(host, not_numeric);
  return !not_numeric;
}

Result<base::FdPair> make_stream_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
    return base::fail_errno("cannot make a pair of sockets", errno);
  return base::FdPair{base::Fd(fds[0]), base::Fd(fds[1])};
}

std::string_view word_of(net::SpliceEnd end) {
  switch (end) {
    case net::SpliceEnd::near_left:
      return "agent_left";
    case net::SpliceEnd::far_left:
      return "host_unavailable";
    case net::SpliceEnd::idle:
      return "idle_timeout";
    case net::SpliceEnd::stopped:
      return "egress_limit";
    case net::SpliceEnd::done:
      break;
  }
  return "";
}

}  // namespace

OutboundVisit::OutboundVisit(OutboundDesk& desk, base::Fd socket, std::uint16_t port)
    : desk_(desk),
      incoming_(desk.executor(), std::move(socket)),
      begin_(base::SteadyClock::now()),
      port_(port),
      left_(desk.executor()) {}

EgressVerdict OutboundVisit::judge(Scheme scheme) const {
  return desk_.config().judge({.host = host_, .port = port_, .scheme = scheme});
}

bool OutboundVisit::is_open(Scheme scheme) const {
  return judge(scheme).decision != policy::Decision::blocked;
}

void OutboundVisit::refuse(Scheme scheme, const Refusal& refusal, const std::string& rule_id) {
  OutboundTally tally(desk_, scheme, host_, port_);
  tally.record.method = "CONNECT";
  tally.record.reason = refusal.reason;
  tally.record.rule_id = rule_id;
  incoming_.refuse(refusal.alert);
}

Task<void> OutboundVisit::run() {
  const auto destination = incoming_.destination();
  auto host = desk_.host_of(destination);
  if (!host) {
    host_ = destination.to_string();
    refuse(Scheme::tcp, {"address_unknown"});
    co_return;
  }
  host_ = std::move(*host);
  co_await find_scheme();
}

// What is spoken is known from what may be spoken and from the first byte.
Task<void> OutboundVisit::find_scheme() {
  const bool https = is_open(Scheme::https);
  const bool http = is_open(Scheme::http);
  const bool tcp = is_open(Scheme::tcp);
  if (tcp && !https && !http) {
    co_await carry(Scheme::tcp, judge(Scheme::tcp));
    co_return;
  }
  const auto patience = desk_.config().hello_timeout;
  const bool known = https || http || tcp;
  const auto first = co_await incoming_.first_byte(begin_ + (known ? patience : std::min(patience, word_grace)));
  if (!first && first.error().code != Code::timeout) co_return;
  const bool tls = first && *first == tls_handshake;
  if (tls && https) {
    co_await serve_tls();
  } else if (first && !tls && http) {
    co_await serve_http();
  } else if (tcp) {
    co_await carry(Scheme::tcp, judge(Scheme::tcp));
  } else if (!first) {
    const Refusal refusal{known ? "hello_timeout" : "policy_denied"};
    refuse(Scheme::tcp, refusal, known ? "" : judge(Scheme::tcp).rule_id);
  } else if (tls) {
    refuse(Scheme::https, {"policy_denied", access_denied}, judge(Scheme::https).rule_id);
  } else {
    co_await serve_http();
  }
}

Task<bool> OutboundVisit::read_hello(net::ClientHello& hello) {
  for (;;) {
    auto read = net::read_client_hello(incoming_.begun());
    if (read.state == net::HelloState::hello) {
      hello = std::move(read.hello);
      co_return true;
    }
    if (read.state != net::HelloState::need_more) {
      refuse(Scheme::https, {"hello_invalid", decode_error});
      co_return false;
    }
    const auto more = co_await incoming_.read_more(begin_ + desk_.config().hello_timeout);
    if (more) continue;
    if (more.error().code == Code::timeout) refuse(Scheme::https, {"hello_timeout"});
    co_return false;
  }
}

// A real encrypted hello names its front, not the host, and is refused for that.
std::optional<OutboundVisit::Refusal> OutboundVisit::judge_hello(const net::ClientHello& hello) const {
  if (hello.server_name == host_) return std::nullopt;
  if (!hello.server_name.empty()) return Refusal{"sni_mismatch", unrecognized_name};
  if (is_address(host_)) return std::nullopt;
  return Refusal{"sni_missing", unrecognized_name};
}

Task<void> OutboundVisit::serve_tls() {
  net::ClientHello hello;
  const bool read = co_await read_hello(hello);
  if (!read) co_return;
  auto verdict = judge(Scheme::https);
  if (verdict.decision == policy::Decision::blocked) {
    refuse(Scheme::https, {"policy_denied", access_denied}, verdict.rule_id);
  } else if (const auto refusal = judge_hello(hello)) {
    refuse(Scheme::https, *refusal, verdict.rule_id);
  } else if (verdict.inspect) {
    co_await inspect(hello, verdict);
  } else {
    co_await carry(Scheme::https, std::move(verdict));
  }
}

Task<void> OutboundVisit::inspect(const net::ClientHello& hello, const EgressVerdict& verdict) {
  const auto& config = desk_.config();
  if (config.authority == nullptr || config.tls == nullptr) {
    refuse(Scheme::https, {"inspection_unavailable", access_denied}, verdict.rule_id);
    co_return;
  }
  const auto& offered = hello.protocols;
  if (!offered.empty() && std::find(offered.begin(), offered.end(), "http/1.1") == offered.end()) {
    refuse(Scheme::https, {"protocol_unsupported", no_application_protocol}, verdict.rule_id);
    co_return;
  }
  auto identity = base::value_or_throw(config.authority->identity_of(host_));
  auto tls = co_await net::accept_tls(incoming_.release(), incoming_.begun(), std::move(identity),
                                      begin_ + config.hello_timeout);
  if (!tls) {
    refuse(Scheme::https, {"tls_failed"}, verdict.rule_id);
    co_return;
  }
  auto pair = base::value_or_throw(make_stream_pair());
  const auto plain = net::adopt_stream(desk_.executor(), std::move(pair.first));
  OutboundRequests requests(desk_, Scheme::https, host_, port_);
  using namespace asio::experimental::awaitable_operators;
  // The server behind it has timeouts of its own; this one is for a server that waits for an answer.
  const net::SpliceOptions options{.idle_timeout = config.head_timeout + config.idle_timeout};
  std::ignore = co_await (net::splice(**tls, *plain, options) &&
                          desk_.server().serve_one(std::move(pair.second), requests, requests.error_reply()));
}

Task<void> OutboundVisit::serve_http() {
  OutboundRequests requests(desk_, Scheme::http, host_, port_);
  co_await desk_.server().serve_one(incoming_.release(), requests, requests.error_reply());
}

Task<void> OutboundVisit::ask_gate(HeldRequest held, Pass& pass) {
  pass = co_await desk_.config().gate->pass(std::move(held), {left_, gone_});
  incoming_.settle();
}

Task<void> OutboundVisit::watch_peer() {
  gone_ = co_await incoming_.left();
  if (gone_) left_.notify();
}

// Whether a connection that is carried may leave; why not is in the record then.
Task<bool> OutboundVisit::may_leave(const EgressVerdict& verdict, Scheme scheme, RequestRecord& record,
                                    Pass& pass) {
  if (desk_.is_spent()) {
    record.reason = "egress_limit";
    co_return false;
  }
  if (verdict.decision == policy::Decision::requires_approval) {
    pass.reason = "approval_unavailable";
    if (desk_.config().gate != nullptr) {
      using namespace asio::experimental::awaitable_operators;
      HeldRequest held;
      held.host = host_;
      held.method = "CONNECT";
      held.port = port_;
      held.scheme = policy::to_string(scheme);
      held.rule_id = verdict.rule_id;
      held.reason = verdict.reason;
      co_await (ask_gate(std::move(held), pass) && watch_peer());
    }
    record.action_id = pass.action_id;
    record.reason = pass.allowed ? "" : pass.reason;
    if (!pass.allowed) co_return false;
  }
  const auto permitted = co_await desk_.departure().permit();
  if (!permitted) record.reason = "held";
  co_return permitted.has_value();
}

Task<void> OutboundVisit::carry(Scheme scheme, EgressVerdict verdict) {
  OutboundTally tally(desk_, scheme, host_, port_);
  auto& record = tally.record;
  record.method = "CONNECT";
  record.rule_id = verdict.rule_id;
  const std::string_view alert = scheme == Scheme::https ? access_denied : std::string_view();
  Pass pass;
  const bool leaves = co_await may_leave(verdict, scheme, record, pass);
  const Ticket ticket(desk_.config().gate, leaves ? pass.call_id : "", record);
  if (!leaves) {
    incoming_.refuse(alert);
    co_return;
  }
  auto far = co_await desk_.dial(host_, port_, OutboundDesk::Wrap::none);
  if (far) {
    record.decision = Decision::forwarded;
    co_await join(**far, record);
    co_return;
  }
  const bool denied = far.error().reason == "address_denied";
  record.decision = denied ? Decision::denied : Decision::forwarded;
  record.reason = denied ? "address_denied" : far.error().code == Code::timeout ? "host_timeout" : "host_unavailable";
  incoming_.refuse(denied ? alert : "");
}

Task<void> OutboundVisit::join(net::Stream& far, RequestRecord& record) {
  const auto& config = desk_.config();
  const auto counts = [&](std::uint64_t from_near, std::uint64_t from_far) {
    if (desk_.total_bytes() + from_near + from_far > config.total_bytes) return false;
    desk_.total_bytes() += from_near + from_far;
    record.bytes_out += from_near;
    record.bytes_in += from_far;
    return true;
  };
  const auto& begun = incoming_.begun();
  if (!counts(begun.size(), 0)) {
    record.reason = "egress_limit";
    co_return;
  }
  auto written = co_await far.write(begun, base::after(config.idle_timeout));
  if (!written) {
    record.reason = "host_unavailable";
    co_return;
  }
  const auto near = net::adopt_stream(desk_.executor(), incoming_.release());
  const net::SpliceOptions options{.idle_timeout = config.idle_timeout, .counts = counts};
  record.reason = word_of(co_await net::splice(*near, far, options));
}

}  // namespace agentrouter::egress
