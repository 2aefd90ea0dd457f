#pragma once
// The names of one sandbox: each that is looked up gets an address of 198.18.0.0/15 that stands for it in this
// sandbox only. Nobody outside is asked here; a host is looked up when something connects to it. Internal to
// egress.

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/asio.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/task_scope.h"

namespace agentrouter::net {
class Stream;
struct DnsQuery;
}  // namespace agentrouter::net

namespace agentrouter::egress {

class NameTable {
 public:
  // Addresses of a /15; at most as many names as there are addresses.
  NameTable(asio::ip::address_v4 network, std::size_t max_names);

  // The same each time; nothing when there are too many names.
  [[nodiscard]] std::optional<asio::ip::address_v4> address_of(const std::string& name);
  // Null for an address that stands for no name. Dies with the next name.
  [[nodiscard]] const std::string* name_of(const asio::ip::address& address) const;

 private:
  std::uint32_t network_;
  std::size_t max_names_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

// Whether a name can be one of a host out there: no number that programs read as an address, no empty label.
[[nodiscard]] bool is_host_name(std::string_view name);

// Answers questions about names with addresses of a table: A is answered, everything else about a known name
// is empty, so that IPv6 and encrypted hellos are not tried. A name that is not known does not exist.
class NameServer {
 public:
  struct Hooks {
    std::function<bool(const std::string& name)> knows;
    // A name that was not answered, once for all types that are asked for one after the other.
    std::function<void(const std::string& name, std::string_view reason)> denied;
  };
  NameServer(base::Executor executor, NameTable& table, Hooks hooks, std::chrono::milliseconds patience);

  ~NameServer();

  // Errors: invalid (no sockets of these kinds).
  [[nodiscard]] base::Result<void> serve(base::Fd datagrams, base::Fd listener);
  [[nodiscard]] base::Task<void> stop();

  // What `message` is answered; nothing: it is not.
  [[nodiscard]] std::optional<std::string> answer(std::string_view message);

 private:
  struct Socket;

  [[nodiscard]] base::Task<void> answer_datagrams(Socket& socket);
  [[nodiscard]] base::Task<void> accept(Socket& socket);
  [[nodiscard]] base::Task<void> answer_stream(std::unique_ptr<net::Stream> stream);
  [[nodiscard]] std::string answer_question(const net::DnsQuery& query);
  void deny(const net::DnsQuery& query, std::string_view reason);

  base::Executor executor_;
  NameTable& table_;
  Hooks hooks_;
  std::chrono::milliseconds patience_;
  std::string denied_name_;  // reported last
  std::uint16_t denied_type_ = 0;
  std::vector<std::unique_ptr<Socket>> sockets_;
  base::TaskScope streams_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::egress
