#include "egress/outbound_desk.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cstring>

#include "base/ascii.h"
#include "base/log.h"
#include "egress/outbound_visit.h"
#include "net/own_address.h"
#include "policy/egress_path.h"
#include "policy/glob.h"

namespace agentrouter::egress {

using base::Code;
using boost::system::error_code;
using policy::EgressScheme;

namespace {

constexpr std::size_t outbound_head_bytes = 32 * 1024;
constexpr std::chrono::milliseconds outbound_accept_pause{100};
// Bodies of that many times the longest one may be held at once.
constexpr std::uint64_t longest_held_at_once = 16;
constexpr std::uint16_t https_port = 443;
constexpr std::uint16_t dns_port = 53;

net::ServerOptions options_of(const OutboundConfig& config) {
  net::ServerOptions options;
  options.head_bytes = outbound_head_bytes;
  options.body_bytes = config.request_bytes;
  options.head_timeout = config.hello_timeout;
  options.body_timeout = config.idle_timeout;
  options.write_timeout = config.idle_timeout;
  return options;
}

bool is_empty_or_holds(const std::vector<std::string>& words, std::string_view word) {
  return words.empty() || std::find(words.begin(), words.end(), word) != words.end();
}

std::string with_port(const std::string& host, std::uint16_t port) {
  return host + ":" + std::to_string(port);
}

}  // namespace

net::Url url_of(EgressScheme scheme, const std::string& host, std::uint16_t port) {
  net::Url url;
  url.scheme = scheme == EgressScheme::https ? net::Scheme::https : net::Scheme::http;
  url.host = host;
  url.port = port;
  return url;
}

bool is_bound_to(const OutboundSecret& secret, const policy::EgressRequest& request) {
  const auto bound = net::parse_authority(secret.host);
  if (request.scheme != EgressScheme::https || !bound || base::ascii_lower(bound->host) != request.host ||
      (bound->port == 0 ? https_port : bound->port) != request.port)
    return false;
  if (!is_empty_or_holds(secret.methods, request.method)) return false;
  if (secret.paths.empty()) return true;
  const auto path = policy::egress_path(request.path);
  return path.kind == policy::PathKind::plain &&
         std::any_of(secret.paths.begin(), secret.paths.end(), [&](const std::string& pattern) {
           return policy::matches_path(pattern, path.text);
         });
}

struct OutboundDesk::Listener {
  Listener(base::Executor executor, int fd, std::uint16_t port) : descriptor(executor, fd), port(port) {}
  asio::posix::basic_stream_descriptor<base::Executor> descriptor;
  std::uint16_t port;
};

OutboundDesk::OutboundDesk(base::Executor executor, OutboundConfig config, Observer& observer)
    : executor_(executor),
      config_(std::move(config)),
      observer_(observer),
      departure_(executor, observer),
      table_(config_.names_network, config_.max_names),
      names_(executor, table_,
             {.knows = [this](const std::string& name) { return config_.knows_host(name); },
              .denied = [this](const std::string& name, std::string_view reason) { deny_name(name, reason); }},
             config_.hello_timeout),
      room_(executor),
      server_(executor, *this, [](const net::ServerError&) { return net::Response(); }, options_of(config_)),
      accepting_(executor),
      visits_(executor) {
  for (const auto& [name, secret] : config_.secrets) {
    const std::vector<Credential::Field> fields{{secret.header, secret.value, secret.plain}};
    secrets_.emplace(name, Added{secret, Credential(fields)});
  }
}

OutboundDesk::~OutboundDesk() = default;

Result<void> OutboundDesk::serve(base::Fd listener, std::uint16_t port) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(listener.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
    return base::fail(Code::invalid, "cannot accept connections: not a listening socket");
  auto& added = *listeners_.emplace_back(std::make_unique<Listener>(executor_, listener.release(), port));
  added.descriptor.non_blocking(true);
  accepting_.spawn(accept(added));
  return {};
}

Result<void> OutboundDesk::serve_names(base::Fd datagrams, base::Fd listener) {
  return names_.serve(std::move(datagrams), std::move(listener));
}

Task<void> OutboundDesk::stop() {
  stopping_ = true;
  for (auto& listener : listeners_) listener->descriptor.close();
  co_await accepting_.cancel_and_join();
  co_await names_.stop();
  co_await server_.stop(base::SteadyClock::now());
  co_await visits_.cancel_and_join();
}

Task<void> OutboundDesk::handle(net::Exchange& exchange) {
  co_await exchange.respond({.status = 404});
}

Task<void> OutboundDesk::accept(Listener& listener) {
  while (listener.descriptor.is_open()) {
    while (visits_.size() >= config_.max_connections) co_await room_.wait();
    base::Fd fd(
        ::accept4(listener.descriptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int problem = fd ? 0 : errno;
    if (fd) {
      visits_.spawn(visit(std::move(fd), listener.port));
    } else if (problem == EAGAIN) {
      error_code error;
      co_await listener.descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                              asio::redirect_error(base::use_task, error));
      if (error) co_return;
    } else if (problem != EINTR && problem != ECONNABORTED && problem != EPROTO) {
      base::log(base::LogLevel::warn, "cannot accept a connection of a sandbox", {{"error", std::strerror(problem)}});
      co_await base::sleep_for(outbound_accept_pause);
    }
  }
}

Task<void> OutboundDesk::visit(base::Fd socket, std::uint16_t port) {
  try {
    OutboundVisit visit(*this, std::move(socket), port);
    co_await visit.run();
  } catch (const std::exception& error) {
    if (!stopping_)
      base::log(base::LogLevel::error, "a connection of a sandbox failed", {{"error", error.what()}});
  }
  room_.notify();
}

std::optional<std::string> OutboundDesk::host_of(const asio::ip::address& address) const {
  if (const auto* name = table_.name_of(address)) return *name;
  const auto text = address.to_string();
  if (!config_.knows_host(text)) return std::nullopt;
  return text;
}

const OutboundDesk::Added* OutboundDesk::secret(const std::string& name) const {
  const auto found = secrets_.find(name);
  return found == secrets_.end() ? nullptr : &found->second;
}

bool OutboundDesk::may_hold(std::uint64_t bytes) const {
  return held_bytes_ + bytes <= longest_held_at_once * config_.held_bytes;
}

net::Reach OutboundDesk::reach_of(const std::string& host, std::uint16_t port) const {
  const auto& hosts = config_.private_hosts;
  const bool named = std::any_of(hosts.begin(), hosts.end(), [&](const std::string& one) {
    return one == host || one == with_port(host, port);
  });
  return named ? net::Reach::not_link_local : net::Reach::public_only;
}

Task<Result<std::unique_ptr<net::Stream>>> OutboundDesk::dial(std::string host, std::uint16_t port, Wrap wrap) {
  const auto deadline = base::after(config_.connect_timeout);
  Result<std::vector<asio::ip::address>> found;
  if (config_.resolver) {
    found = co_await config_.resolver(host, deadline);
  } else {
    found = co_await net::look_up(host, deadline);
  }
  if (!found) co_return tl::unexpected(std::move(found).error());
  *found = net::reachable(std::move(*found), reach_of(host, port));
  if (found->empty())
    co_return base::fail(Code::denied, "cannot connect to " + with_port(host, port) +
                                           ": its address may not be reached from a sandbox",
                         "address_denied");
  net::Addressed to{std::move(host), std::move(*found), port};
  if (wrap == Wrap::none) co_return co_await net::connect_tcp(std::move(to), deadline);
  co_return co_await net::connect_tls(std::move(to), *config_.tls, deadline);
}

void OutboundDesk::deny_name(const std::string& name, std::string_view reason) {
  RequestRecord record;
  record.outbound = true;
  record.host = shown(name, 256);
  record.port = dns_port;
  record.scheme = "dns";
  record.reason = reason;
  report(record);
}

void OutboundDesk::report(const RequestRecord& record) {
  if (record.decision != Decision::denied) {
    observer_.on_request_done(record);
    return;
  }
  ++denials_;
  if (is_worth_reporting(denials_, config_.denials_reported)) observer_.on_denied(record, denials_);
}

OutboundTally::OutboundTally(OutboundDesk& desk, EgressScheme scheme, const std::string& host, std::uint16_t port)
    : desk_(desk), open_(desk.open_) {
  record.outbound = true;
  record.host = host;
  record.port = port;
  record.scheme = policy::to_string(scheme);
}

OutboundTally::~OutboundTally() {
  record.duration =
      std::chrono::duration_cast<std::chrono::milliseconds>(base::SteadyClock::now() - begin_);
  desk_.report(record);
}

}  // namespace agentrouter::egress
