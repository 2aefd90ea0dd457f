#pragma once
// What the connections of one Outbound share: rules, names, limits, and who is told. Internal to egress.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/task_scope.h"
#include "egress/counted.h"
#include "egress/credential.h"
#include "egress/departure.h"
#include "egress/names.h"
#include "egress/outbound.h"
#include "net/server.h"

namespace agentrouter::egress {

[[nodiscard]] net::Url url_of(policy::EgressScheme scheme, const std::string& host, std::uint16_t port);

// Whether a secret may go there: its own binding, whatever a rule says. `path` as it was sent.
[[nodiscard]] bool is_bound_to(const OutboundSecret& secret, const policy::EgressRequest& request);

class OutboundDesk final : private net::Handler {
 public:
  OutboundDesk(base::Executor executor, OutboundConfig config, Observer& observer);
  ~OutboundDesk() override;

  [[nodiscard]] Result<void> serve(base::Fd listener, std::uint16_t port);
  [[nodiscard]] Result<void> serve_names(base::Fd datagrams, base::Fd listener);
  [[nodiscard]] Task<void> stop();
  [[nodiscard]] Departure& departure() { return departure_; }
  [[nodiscard]] std::size_t open() const { return open_; }

  // For the connections.
  [[nodiscard]] const OutboundConfig& config() const { return config_; }
  [[nodiscard]] base::Executor executor() const { return executor_; }
  [[nodiscard]] net::Server& server() { return server_; }
  // The name that an address stands for, or the address itself where a rule knows it; nothing: neither.
  [[nodiscard]] std::optional<std::string> host_of(const asio::ip::address& address) const;
  // Null: there is no such secret.
  struct Added {
    const OutboundSecret& secret;
    Credential credential;
  };
  [[nodiscard]] const Added* secret(const std::string& name) const;
  // All that has been carried, of config().total_bytes.
  [[nodiscard]] std::uint64_t& total_bytes() { return total_bytes_; }
  [[nodiscard]] bool is_spent() const { return total_bytes_ >= config_.total_bytes; }
  // Bodies that somebody is asked about: false where there are too many.
  [[nodiscard]] bool may_hold(std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t& held_bytes() { return held_bytes_; }
  [[nodiscard]] std::size_t& reading() { return reading_; }

  // Looks `host` up, judges every address, and connects to one of those that were judged. With TLS it is
  // verified. Errors: those of net::connect_tls, denied (address_denied).
  enum class Wrap { none, tls };
  [[nodiscard]] Task<Result<std::unique_ptr<net::Stream>>> dial(std::string host, std::uint16_t port, Wrap wrap);

  void report(const RequestRecord& record);

 private:
  friend class OutboundTally;
  struct Listener;

  // Nobody is accepted by `server_` itself.
  [[nodiscard]] Task<void> handle(net::Exchange& exchange) override;
  [[nodiscard]] Task<void> accept(Listener& listener);
  [[nodiscard]] Task<void> visit(base::Fd socket, std::uint16_t port);
  void deny_name(const std::string& name, std::string_view reason);
  [[nodiscard]] net::Reach reach_of(const std::string& host, std::uint16_t port) const;

  base::Executor executor_;
  OutboundConfig config_;
  Observer& observer_;
  Departure departure_;
  std::map<std::string, Added> secrets_;
  NameTable table_;
  NameServer names_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t held_bytes_ = 0;
  std::size_t reading_ = 0;
  std::uint64_t denials_ = 0;
  std::size_t open_ = 0;
  bool stopping_ = false;
  base::Event room_;  // a connection has ended
  net::Server server_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  base::TaskScope accepting_;
  base::TaskScope visits_;
};

// The record of one request or connection, reported when it ends in whatever way.
class OutboundTally {
 public:
  OutboundTally(OutboundDesk& desk, policy::EgressScheme scheme, const std::string& host, std::uint16_t port);
  OutboundTally(const OutboundTally&) = delete;
  OutboundTally& operator=(const OutboundTally&) = delete;
  ~OutboundTally();

  RequestRecord record;

 private:
  OutboundDesk& desk_;
  base::Counted open_;
  base::Deadline begin_ = base::SteadyClock::now();
};

}  // namespace agentrouter::egress
