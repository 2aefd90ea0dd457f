#pragma once
// Which addresses are this machine's own, as its kernel routes them: of its interfaces, and whatever else
// leads to itself. They change while it runs, so nothing is kept.

#include <boost/asio/ip/address.hpp>
#include <vector>

#include "base/error.h"
#include "net/address.h"

namespace agentrouter::net {

// Asks the kernel of this network namespace (rtnetlink(7), RTM_GETROUTE); it answers without waiting for
// anybody. False for what has no route. Errors: those of socket(2), send(2), recv(2); invalid (an answer that
// is none).
[[nodiscard]] base::Result<bool> is_own_address(const boost::asio::ip::address& address);

// Which of them may be connected to: those of may_reach(), for public_only without the machine's own, however
// public. One about which the kernel does not answer is left out, and the log says so.
[[nodiscard]] std::vector<boost::asio::ip::address> reachable(std::vector<boost::asio::ip::address> found,
                                                              Reach reach);

}  // namespace agentrouter::net
