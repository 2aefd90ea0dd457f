#include "egress/names.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>

#include "net/dns_message.h"
#include "net/stream.h"

namespace agentrouter::egress {

using base::Result;
using base::Task;
using boost::system::error_code;
using Descriptor = asio::posix::basic_stream_descriptor<base::Executor>;

namespace {

constexpr std::size_t addresses = (1u << 17) - 2;  // its first and last ones stand for nothing
constexpr std::size_t max_question_bytes = 4096;
// Datagrams that are answered in one go, before others get a turn.
constexpr int datagrams_at_once = 64;
constexpr std::size_t max_streams = 16;
constexpr std::chrono::milliseconds names_accept_pause{100};
constexpr std::uint32_t localhost_address = 127u << 24 | 1;

bool ends_with_label(std::string_view name, std::string_view label) {
  return name == label || (name.size() > label.size() && name.ends_with(label) &&
                           name[name.size() - label.size() - 1] == '.');
}

bool has_option(int fd, int option, int expected) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == expected;
}

}  // namespace

NameTable::NameTable(asio::ip::address_v4 network, std::size_t max_names)
    : network_(network.to_uint()), max_names_(std::min(max_names, addresses)) {}

std::optional<asio::ip::address_v4> NameTable::address_of(const std::string& name) {
  const auto known = numbers_.find(name);
  if (known != numbers_.end()) return asio::ip::address_v4(network_ + known->second);
  if (names_.size() >= max_names_) return std::nullopt;
  names_.push_back(name);
  const auto number = static_cast<std::uint32_t>(names_.size());
  numbers_.emplace(name, number);
  return asio::ip::address_v4(network_ + number);
}

const std::string* NameTable::name_of(const asio::ip::address& address) const {
  if (!address.is_v4()) return nullptr;
  const auto number = address.to_v4().to_uint() - network_;
  return number == 0 || number > names_.size() ? nullptr : &names_[number - 1];
}

bool is_host_name(std::string_view name) {
  constexpr std::size_t max_host_bytes = 253;
  if (name.empty() || name.size() > max_host_bytes) return false;
  if (name.front() == '.' || name.back() == '.' || name.find("..") != std::string_view::npos) return false;
  // "2130706433", "10.0.1" and "0x7f.1" are addresses to those who look names up.
  const auto last = name.substr(name.rfind('.') + 1);
  return last[0] < '0' || last[0] > '9';
}

struct NameServer::Socket {
  Socket(base::Executor executor, int fd) : descriptor(executor, fd) { descriptor.non_blocking(true); }
  Descriptor descriptor;
};

NameServer::NameServer(base::Executor executor, NameTable& table, Hooks hooks,
                       std::chrono::milliseconds patience)
    : executor_(executor),
      table_(table),
      hooks_(std::move(hooks)),
      patience_(patience),
      streams_(executor),
      scope_(executor) {}

NameServer::~NameServer() = default;

Result<void> NameServer::serve(base::Fd datagrams, base::Fd listener) {
  if (!has_option(datagrams.get(), SO_TYPE, SOCK_DGRAM) || !has_option(listener.get(), SO_ACCEPTCONN, 1))
    return base::fail(base::Code::invalid, "cannot answer names: not a datagram socket and a listening one");
  auto& udp = *sockets_.emplace_back(std::make_unique<Socket>(executor_, datagrams.release()));
  auto& tcp = *sockets_.emplace_back(std::make_unique<Socket>(executor_, listener.release()));
  scope_.spawn(answer_datagrams(udp));
  scope_.spawn(accept(tcp));
  return {};
}

Task<void> NameServer::stop() {
  for (auto& socket : sockets_) socket->descriptor.close();
  co_await scope_.cancel_and_join();
  co_await streams_.cancel_and_join();
}

std::optional<std::string> NameServer::answer(std::string_view message) {
  const auto query = net::parse_dns_query(message);
  if (query) return answer_question(*query);
  if (!query.error().id) return std::nullopt;
  return net::dns_refusal(*query.error().id, query.error().code);
}

std::string NameServer::answer_question(const net::DnsQuery& query) {
  const bool asks_address = query.type == net::dns_type::a || query.type == net::dns_type::any;
  net::DnsAnswer answer;
  if (ends_with_label(query.name, "localhost")) {
    if (asks_address) answer.address = asio::ip::address_v4(localhost_address);
    return net::dns_answer(query, answer);
  }
  answer.code = net::DnsCode::no_such_name;
  // Who asks which name an address has does not want to go anywhere.
  if (ends_with_label(query.name, "arpa")) return net::dns_answer(query, answer);
  if (!query.is_host || !is_host_name(query.name) || !hooks_.knows(query.name)) {
    deny(query, "name_denied");
    return net::dns_answer(query, answer);
  }
  const auto address = table_.address_of(query.name);
  if (!address) {
    deny(query, "too_many_names");
    return net::dns_answer(query, answer);
  }
  answer.code = net::DnsCode::none;
  if (asks_address) answer.address = *address;
  return net::dns_answer(query, answer);
}

void NameServer::deny(const net::DnsQuery& query, std::string_view reason) {
  const bool again = query.name == denied_name_ && query.type != denied_type_;
  if (again) return;
  denied_name_ = query.name;
  denied_type_ = query.type;
  hooks_.denied(query.name, reason);
}

Task<void> NameServer::answer_datagrams(Socket& socket) {
  std::array<char, max_question_bytes> buffer;
  while (socket.descriptor.is_open()) {
    error_code error;
    co_await socket.descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                          asio::redirect_error(base::use_task, error));
    if (error) co_return;
    for (int i = 0; i < datagrams_at_once; ++i) {
      sockaddr_storage from{};
      socklen_t from_size = sizeof from;
      auto* const peer = reinterpret_cast<sockaddr*>(&from);
      const int fd = socket.descriptor.native_handle();
      const auto got = ::recvfrom(fd, buffer.data(), buffer.size(), MSG_DONTWAIT, peer, &from_size);
      if (got < 0) break;
      const auto reply = answer({buffer.data(), static_cast<std::size_t>(got)});
      // One that cannot be sent is asked for again.
      if (reply) std::ignore = ::sendto(fd, reply->data(), reply->size(), MSG_DONTWAIT, peer, from_size);
    }
  }
}

Task<void> NameServer::accept(Socket& socket) {
  while (socket.descriptor.is_open()) {
    error_code error;
    co_await socket.descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                          asio::redirect_error(base::use_task, error));
    if (error) co_return;
    base::Fd fd(::accept4(socket.descriptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && errno != EAGAIN) co_await base::sleep_for(names_accept_pause);
    if (!fd || streams_.size() >= max_streams) continue;
    streams_.spawn(answer_stream(net::adopt_stream(executor_, std::move(fd))));
  }
}

Task<void> NameServer::answer_stream(std::unique_ptr<net::Stream> stream) {
  std::string seen;
  std::array<char, 512> buffer;
  for (;;) {
    auto got = co_await stream->read_some(buffer, base::after(patience_));
    if (!got || *got == 0) co_return;
    seen.append(buffer.data(), *got);
    while (const auto message = net::dns_unframed(seen)) {
      const auto reply = answer(*message);
      seen.erase(0, message->size() + 2);
      if (!reply) co_return;
      const auto framed = net::dns_framed(*reply);
      auto written = co_await stream->write(framed, base::after(patience_));
      if (!written) co_return;
    }
    if (seen.size() > max_question_bytes) co_return;
  }
}

}  // namespace agentrouter::egress
