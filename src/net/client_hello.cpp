#include "net/client_hello.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>

#include "base/ascii.h"

namespace agentrouter::net {

namespace {

constexpr std::size_t record_head_bytes = 5;
constexpr std::size_t handshake_head_bytes = 4;
constexpr std::uint8_t handshake_record = 22;
constexpr std::uint8_t client_hello_message = 1;
constexpr std::size_t max_record_bytes = 1u << 14;
constexpr std::size_t max_host_bytes = 253;

constexpr std::uint32_t extension_server_name = 0;
constexpr std::uint32_t extension_protocols = 16;
constexpr std::uint32_t extension_encrypted_hello = 0xfe0d;

// Takes bytes from the front of a message. After the first one that is not there everything fails.
class HelloCursor {
 public:
  explicit HelloCursor(std::string_view bytes) : rest_(bytes) {}

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) good_ = false;
    if (!good_) return {};
    const auto out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::uint32_t number(std::size_t bytes) {
    std::uint32_t out = 0;
    for (const char c : take(bytes)) out = out << 8 | static_cast<unsigned char>(c);
    return out;
  }
  // A vector behind its length of so many bytes.
  std::string_view vector(std::size_t length_bytes) { return take(number(length_bytes)); }

  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool read_server_name(std::string_view data, ClientHello& hello) {
  HelloCursor outer(data);
  HelloCursor list(outer.vector(2));
  const auto kind = list.number(1);
  hello.server_name = base::ascii_lower(list.vector(2));
  const auto& name = hello.server_name;
  return outer.good() && outer.empty() && list.good() && list.empty() && kind == 0 && !name.empty() &&
         name.size() <= max_host_bytes && std::all_of(name.begin(), name.end(), is_name_byte);
}

bool read_protocols(std::string_view data, ClientHello& hello) {
  HelloCursor outer(data);
  HelloCursor list(outer.vector(2));
  while (list.good() && !list.empty()) {
    hello.protocols.emplace_back(list.vector(1));
    if (hello.protocols.back().empty()) return false;
  }
  return outer.good() && outer.empty() && list.good() && !hello.protocols.empty();
}

bool read_extensions(std::string_view data, ClientHello& hello) {
  HelloCursor list(data);
  std::set<std::uint32_t> seen;
  while (list.good() && !list.empty()) {
    const auto type = list.number(2);
    const auto body = list.vector(2);
    if (!list.good() || !seen.insert(type).second) return false;
    if (type == extension_server_name && !read_server_name(body, hello)) return false;
    if (type == extension_protocols && !read_protocols(body, hello)) return false;
    if (type == extension_encrypted_hello) hello.encrypted = true;
  }
  return list.good();
}

std::optional<ClientHello> read_message(std::string_view body) {
  constexpr std::size_t random_bytes = 32;
  constexpr std::size_t max_session_bytes = 32;
  HelloCursor cursor(body);
  ClientHello hello;
  const auto version = cursor.number(2);
  cursor.take(random_bytes);
  const auto session = cursor.vector(1);
  const auto ciphers = cursor.vector(2);
  const auto compressions = cursor.vector(1);
  const bool plausible = version >> 8 == 3 && session.size() <= max_session_bytes && !ciphers.empty() &&
                         ciphers.size() % 2 == 0 && !compressions.empty();
  if (!cursor.good() || !plausible) return std::nullopt;
  if (cursor.empty()) return hello;
  const auto extensions = cursor.vector(2);
  if (!cursor.good() || !cursor.empty() || !read_extensions(extensions, hello)) return std::nullopt;
  return hello;
}

// What is there of the first handshake message, out of its records.
struct Fragments {
  HelloState state = HelloState::need_more;
  std::string message;
};

std::size_t whole_bytes(std::string_view message) {
  if (message.size() < handshake_head_bytes) return handshake_head_bytes;
  HelloCursor length(message.substr(1, 3));
  return handshake_head_bytes + length.number(3);
}

Fragments join_records(std::string_view bytes) {
  Fragments out;
  for (bool first = true;; first = false) {
    const auto wrong = first ? HelloState::not_tls : HelloState::broken;
    if (!bytes.empty() && static_cast<std::uint8_t>(bytes[0]) != handshake_record) return {wrong, {}};
    if (bytes.size() > 1 && bytes[1] != 3) return {wrong, {}};
    if (bytes.size() < record_head_bytes) return out;
    HelloCursor head(bytes.substr(3, 2));
    const std::size_t length = head.number(2);
    if (length == 0 || length > max_record_bytes) return {wrong, {}};
    out.message.append(bytes.substr(record_head_bytes, length));
    if (static_cast<std::uint8_t>(out.message.empty() ? client_hello_message : out.message[0]) !=
        client_hello_message)
      return {HelloState::broken, {}};
    const auto whole = whole_bytes(out.message);
    if (whole > max_hello_bytes || (out.message.size() >= handshake_head_bytes && out.message.size() > whole))
      return {HelloState::broken, {}};
    const bool complete = out.message.size() >= handshake_head_bytes && out.message.size() == whole;
    if (complete && bytes.size() - record_head_bytes >= length) {
      out.state = HelloState::hello;
      return out;
    }
    // A record that goes on behind the message would have made it longer than it says.
    if (complete) return {HelloState::broken, {}};
    if (bytes.size() - record_head_bytes < length) return out;
    bytes.remove_prefix(record_head_bytes + length);
  }
}

}  // namespace

HelloRead read_client_hello(std::string_view bytes) {
  const auto joined = join_records(bytes);
  if (joined.state != HelloState::hello) return {joined.state, {}};
  auto hello = read_message(std::string_view(joined.message).substr(handshake_head_bytes));
  if (!hello) return {HelloState::broken, {}};
  return {HelloState::hello, std::move(*hello)};
}

}  // namespace agentrouter::net
