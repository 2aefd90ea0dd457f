#include "net/dns_message.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/error.h"

namespace agentrouter::net {

namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t max_name_bytes = 255;
constexpr std::size_t max_label_bytes = 63;
constexpr std::uint16_t internet = 1;
constexpr std::uint16_t extension_type = 41;
constexpr std::uint16_t our_datagram_bytes = 1232;

constexpr std::uint16_t flag_answer = 0x8000;
constexpr std::uint16_t flag_authoritative = 0x0400;
constexpr std::uint16_t flag_recursion_desired = 0x0100;
constexpr std::uint16_t flag_recursion_available = 0x0080;
constexpr std::uint16_t opcode_mask = 0x7800;

std::uint16_t number_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                    static_cast<unsigned char>(bytes[at + 1]));
}

void put16(std::string& out, std::uint32_t number) {
  out += static_cast<char>(number >> 8 & 0xff);
  out += static_cast<char>(number & 0xff);
}

bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// Reads the labels of a name from `bytes` on; returns where they end, nothing when they are broken.
std::optional<std::size_t> read_name(std::string_view bytes, std::size_t at, DnsQuery& query) {
  const auto begin = at;
  for (;;) {
    if (at >= bytes.size()) return std::nullopt;
    const std::size_t length = static_cast<unsigned char>(bytes[at++]);
    if (at - begin + length > max_name_bytes) return std::nullopt;
    if (length == 0) return at;
    // Also what would be a pointer.
    if (length > max_label_bytes || length > bytes.size() - at) return std::nullopt;
    const auto label = base::ascii_lower(bytes.substr(at, length));
    query.is_host = query.is_host && std::all_of(label.begin(), label.end(), is_host_byte);
    if (!query.name.empty()) query.name += '.';
    query.name += label;
    at += length;
  }
}

// The one record that may follow a question. False when it is anything else.
bool is_extension(std::string_view record) {
  constexpr std::size_t fixed_bytes = 11;  // root, type, class, time to live, length
  return record.size() >= fixed_bytes && record[0] == '\0' && number_at(record, 1) == extension_type &&
         number_at(record, 9) == record.size() - fixed_bytes;
}

}  // namespace

tl::expected<DnsQuery, DnsProblem> parse_dns_query(std::string_view message) {
  if (message.size() < header_bytes) return tl::unexpected(DnsProblem{});
  DnsQuery query;
  query.id = number_at(message, 0);
  const auto flags = number_at(message, 2);
  if ((flags & flag_answer) != 0) return tl::unexpected(DnsProblem{});
  const auto problem = [&](DnsCode code) { return tl::unexpected(DnsProblem{code, query.id}); };
  if ((flags & opcode_mask) != 0) return problem(DnsCode::not_implemented);
  query.recursion_desired = (flags & flag_recursion_desired) != 0;
  const auto additional = number_at(message, 10);
  if (number_at(message, 4) != 1 || number_at(message, 6) != 0 || number_at(message, 8) != 0 || additional > 1)
    return problem(DnsCode::format_error);
  const auto name_end = read_name(message, header_bytes, query);
  if (!name_end || message.size() - *name_end < 4) return problem(DnsCode::format_error);
  query.type = number_at(message, *name_end);
  const auto kind = number_at(message, *name_end + 2);
  query.question = message.substr(header_bytes, *name_end + 4 - header_bytes);
  const auto rest = message.substr(*name_end + 4);
  query.extended = additional == 1;
  if (query.extended ? !is_extension(rest) : !rest.empty()) return problem(DnsCode::format_error);
  if (kind != internet) return problem(DnsCode::not_implemented);
  return query;
}

std::string dns_answer(const DnsQuery& query, const DnsAnswer& answer) {
  constexpr std::uint16_t pointer_to_question = 0xc000 | header_bytes;
  std::string out;
  const std::uint16_t wish = query.recursion_desired ? flag_recursion_desired : 0;
  put16(out, query.id);
  put16(out, flag_answer | flag_authoritative | flag_recursion_available | wish |
                 static_cast<std::uint16_t>(answer.code));
  put16(out, 1);
  put16(out, answer.address ? 1 : 0);
  put16(out, 0);
  put16(out, query.extended ? 1 : 0);
  out += query.question;
  if (answer.address) {
    put16(out, pointer_to_question);
    put16(out, dns_type::a);
    put16(out, internet);
    put16(out, answer.seconds >> 16);
    put16(out, answer.seconds & 0xffff);
    put16(out, 4);
    for (const auto byte : answer.address->to_bytes()) out += static_cast<char>(byte);
  }
  if (query.extended) {
    out += '\0';
    put16(out, extension_type);
    put16(out, our_datagram_bytes);
    put16(out, 0);
    put16(out, 0);
    put16(out, 0);
  }
  return out;
}

std::string dns_refusal(std::uint16_t id, DnsCode code) {
  std::string out;
  put16(out, id);
  put16(out, flag_answer | flag_recursion_available | static_cast<std::uint16_t>(code));
  out.append(header_bytes - out.size(), '\0');
  return out;
}

std::string dns_framed(std::string_view message) {
  AGENTROUTER_CHECK(message.size() <= 0xffff);
  std::string out;
  put16(out, static_cast<std::uint32_t>(message.size()));
  return out.append(message);
}

std::optional<std::string_view> dns_unframed(std::string_view bytes) {
  if (bytes.size() < 2 || bytes.size() - 2 < number_at(bytes, 0)) return std::nullopt;
  return bytes.substr(2, number_at(bytes, 0));
}

}  // namespace agentrouter::net
