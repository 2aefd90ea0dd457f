#pragma once
// One question of DNS read, and the few answers that are given here. Pure: no sockets.
//
// Strict: exactly one question without compression, nothing behind it but one EDNS record, no bytes left over.

#include <boost/asio/ip/address_v4.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace agentrouter::net {

enum class DnsCode : std::uint8_t { none = 0, format_error = 1, no_such_name = 3, not_implemented = 4 };

// Those that somebody asks for here.
namespace dns_type {
constexpr std::uint16_t a = 1;
constexpr std::uint16_t aaaa = 28;
constexpr std::uint16_t any = 255;
}  // namespace dns_type

struct DnsQuery {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  bool extended = false;  // it has an EDNS record, so the answer has one
  // In lower case, without a dot at its end; "" is the root. Where a label holds anything but letters, digits,
  // "-" and "_" it is no name of a host: `is_host` is false and the name is for people only.
  std::string name;
  bool is_host = true;
  std::uint16_t type = 0;
  std::string question;  // its bytes, for the answer
};

// What is wrong and can be answered. Without `id` it is no question at all, and nobody is answered.
struct DnsProblem {
  DnsCode code = DnsCode::format_error;
  std::optional<std::uint16_t> id;
};

[[nodiscard]] tl::expected<DnsQuery, DnsProblem> parse_dns_query(std::string_view message);

struct DnsAnswer {
  DnsCode code = DnsCode::none;
  std::optional<boost::asio::ip::address_v4> address = {};  // none: there is nothing of this type
  std::uint32_t seconds = 60;                               // for so long it may be remembered
};
// At most 512 bytes.
[[nodiscard]] std::string dns_answer(const DnsQuery& query, const DnsAnswer& answer);
[[nodiscard]] std::string dns_refusal(std::uint16_t id, DnsCode code);

// A message as it goes over TCP: behind its length. At most 65,535 bytes.
[[nodiscard]] std::string dns_framed(std::string_view message);
// The first framed message of `bytes` without its length; nothing: more has to come.
[[nodiscard]] std::optional<std::string_view> dns_unframed(std::string_view bytes);

}  // namespace agentrouter::net
