#include "net/address.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace agentrouter::net {

namespace {

namespace ip = boost::asio::ip;

struct AddressBlock {
  std::uint32_t first;
  unsigned bits;
};
constexpr std::uint32_t octets(std::uint32_t a, std::uint32_t b, std::uint32_t c = 0) {
  return a << 24 | b << 16 | c << 8;
}
// Of IANA's registry: what is not globally reachable, multicast, and what is reserved.
constexpr std::array<AddressBlock, 15> not_public{{{octets(0, 0), 8},
                                                   {octets(10, 0), 8},
                                                   {octets(100, 64), 10},
                                                   {octets(127, 0), 8},
                                                   {octets(169, 254), 16},
                                                   {octets(172, 16), 12},
                                                   {octets(192, 0), 24},
                                                   {octets(192, 0, 2), 24},
                                                   {octets(192, 88, 99), 24},
                                                   {octets(192, 168), 16},
                                                   {octets(198, 18), 15},
                                                   {octets(198, 51, 100), 24},
                                                   {octets(203, 0, 113), 24},
                                                   {octets(224, 0), 4},
                                                   {octets(240, 0), 4}}};

bool is_in_block(std::uint32_t number, const AddressBlock& block) {
  return (number ^ block.first) >> (32 - block.bits) == 0;
}

bool is_public(const ip::address_v4& one) {
  return std::none_of(not_public.begin(), not_public.end(),
                      [&](const AddressBlock& block) { return is_in_block(one.to_uint(), block); });
}

bool begins_with(const ip::address_v6::bytes_type& bytes, std::initializer_list<std::uint8_t> first) {
  return std::equal(first.begin(), first.end(), bytes.begin());
}

ip::address_v4 four_at(const ip::address_v6::bytes_type& bytes, std::size_t at) {
  return ip::address_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]});
}

// The IPv4 address that it leads to.
std::optional<ip::address_v4> stands_for(const ip::address_v6& one) {
  const auto bytes = one.to_bytes();
  if (one.is_v4_mapped() || begins_with(bytes, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}))
    return four_at(bytes, 12);
  if (begins_with(bytes, {0x20, 0x02})) return four_at(bytes, 2);
  return std::nullopt;
}

bool is_public(const ip::address_v6& one) {
  const auto bytes = one.to_bytes();
  const bool global = (bytes[0] & 0xe0) == 0x20;
  const bool special = begins_with(bytes, {0x20, 0x01}) && bytes[2] < 0x02;  // Teredo and other protocols
  const bool example = begins_with(bytes, {0x20, 0x01, 0x0d, 0xb8}) || begins_with(bytes, {0x3f, 0xff, 0x00});
  return global && !special && !example;
}

bool is_link_local(const ip::address& one) {
  return one.is_v4() ? is_in_block(one.to_v4().to_uint(), {octets(169, 254), 16})
                     : one.to_v6().is_link_local();
}

// Metadata and platform services of clouds that are not link-local: Alibaba's, Azure's and Oracle's in IPv4,
// Amazon's fd00:ec2::/32 and Google's fd20:ce::254.
bool is_metadata(const ip::address& one) {
  if (one.is_v4()) {
    constexpr std::array<std::uint32_t, 3> services{octets(100, 100, 100) + 200, octets(168, 63, 129) + 16,
                                                    octets(192, 0, 0) + 192};
    return std::ranges::find(services, one.to_v4().to_uint()) != services.end();
  }
  const auto bytes = one.to_v6().to_bytes();
  return begins_with(bytes, {0xfd, 0x00, 0x0e, 0xc2}) || begins_with(bytes, {0xfd, 0x20, 0x00, 0xce});
}

}  // namespace

bool may_reach(const ip::address& one, Reach reach) {
  if (reach == Reach::anywhere) return true;
  if (one.is_v6()) {
    if (const auto inner = stands_for(one.to_v6())) return may_reach(ip::address(*inner), reach);
  }
  if (is_metadata(one)) return false;
  if (reach == Reach::not_link_local)
    return !is_link_local(one) && !one.is_multicast() && !one.is_unspecified();
  return one.is_v4() ? is_public(one.to_v4()) : is_public(one.to_v6());
}

}  // namespace agentrouter::net
