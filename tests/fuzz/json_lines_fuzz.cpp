// covers: src/base/json.cpp src/net/url.cpp src/net/address.cpp
// Lines of JSON and addresses from arbitrary bytes: no crash; canonical text is read as the same value, and a URL is written as one
// that is read in the same way.
#include <string_view>

#include "base/json.h"
#include "net/address.h"
#include "net/url.h"
#include "require.h"

using namespace agentrouter;

namespace {

void look(std::string_view line) {
  if (const auto value = base::parse_json(line)) {
    const auto text = base::to_canonical(*value);
    const auto again = base::parse_json(text);
    require(again.has_value() && base::to_canonical(*again) == text && base::json_digest(*again) == base::json_digest(*value));
    require(base::parse_json(base::to_text(*value)).has_value());
  }
  if (const auto url = net::parse_url(line)) {
    const auto text = std::string(url->scheme == net::Scheme::https ? "https://" : "http://") + url->authority() + url->target();
    const auto again = net::parse_url(text);
    require(again.has_value() && again->host == url->host && again->port == url->port && again->target() == url->target());
  }
  std::ignore = net::parse_authority(line);
  boost::system::error_code bad;
  const auto address = boost::asio::ip::make_address(std::string(line.substr(0, 64)), bad);
  if (!bad && net::may_reach(address, net::Reach::public_only)) require(net::may_reach(address, net::Reach::not_link_local));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    look(line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}
