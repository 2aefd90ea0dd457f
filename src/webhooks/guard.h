#pragma once
// Where messages may go. A person who may create a webhook must not reach with it what only the server's
// machine reaches: https and public addresses, unless the configuration names the host. Addresses are judged
// after the look-up, and the judged one is connected to (net/address.h). Pure.

#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/url.h"

namespace agentrouter::webhooks {

struct GuardRules {
  // "host" or "host:port": http is taken, too, and addresses of this machine and of private networks, but no
  // link-local ones (metadata services).
  std::vector<std::string> allow_hosts;
};

// Errors: invalid (webhook_url_refused): no address that is read strictly, over 2048 bytes, http or an address
// that is not public without the configuration's word.
[[nodiscard]] base::Result<net::Url> admit_url(std::string_view text, const GuardRules& rules);

[[nodiscard]] net::Reach reach_of(const net::Url& url, const GuardRules& rules);

}  // namespace agentrouter::webhooks
