#include "webhooks/guard.h"

#include <algorithm>

namespace agentrouter::webhooks {

namespace {

constexpr std::size_t longest_url = 2048;

tl::unexpected<base::Error> refuse(std::string why) {
  return base::fail(base::Code::invalid, "cannot send to this address: " + std::move(why),
                    "webhook_url_refused");
}

bool is_named(const net::Url& url, const GuardRules& rules) {
  return std::any_of(rules.allow_hosts.begin(), rules.allow_hosts.end(), [&](const std::string& allowed) {
    const auto named = net::parse_authority(allowed);
    return named && named->host == url.host && (named->port == 0 || named->port == url.port);
  });
}

// A name is judged when it is looked up.
bool is_reachable_address(const net::Url& url, net::Reach reach) {
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(url.host, no_address);
  return no_address || net::may_reach(address, reach);
}

}  // namespace

base::Result<net::Url> admit_url(std::string_view text, const GuardRules& rules) {
  if (text.size() > longest_url) return refuse("it is over 2048 bytes");
  auto url = net::parse_url(text);
  if (!url) return refuse(url.error().message);
  if (url->scheme != net::Scheme::https && !is_named(*url, rules))
    return refuse("https is needed, unless [webhooks] allow_hosts names the host");
  if (!is_reachable_address(*url, reach_of(*url, rules)))
    return refuse("it is not public, and [webhooks] allow_hosts does not name it");
  return std::move(*url);
}

net::Reach reach_of(const net::Url& url, const GuardRules& rules) {
  return is_named(url, rules) ? net::Reach::not_link_local : net::Reach::public_only;
}

}  // namespace agentrouter::webhooks
