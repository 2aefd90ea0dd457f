#pragma once
// Which addresses a connection may go to, judged after the name is looked up: what is connected to is exactly
// the address that was judged, so a name cannot answer differently the second time.

#include <boost/asio/ip/address.hpp>

namespace agentrouter::net {

enum class Reach {
  anywhere,
  not_link_local,  // private networks and this machine, too, but no link-local address and no metadata
                   // service
  public_only,     // nothing of this machine, of a private network, or set apart for another purpose
};

// Pure: the machine's own addresses are not known here (own_address.h). An IPv6 address that stands for an
// IPv4 one (mapped, NAT64, 6to4) is judged as that.
[[nodiscard]] bool may_reach(const boost::asio::ip::address& address, Reach reach);

}  // namespace agentrouter::net
