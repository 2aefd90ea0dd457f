// covers: src/egress/route.cpp
// What a sandbox asks of its way out, from arbitrary bytes: whatever may leave is written as one request that our own strict parser
// reads in the same way, without credentials, cookies and fields of the sandbox's connection. The first byte is the upstream.
#include <string>

#include "bytes_file.h"
#include "egress/route.h"
#include "net/request_parser.h"
#include "require.h"

using namespace agentrouter;

namespace {

const std::vector<std::string> authorities{"127.83.1.1", "127.83.1.1:80"};

net::Request reread(const std::string& head) {
  require(!head.ends_with("\r\n\r\n"));
  net::RequestParser parser(1u << 20);
  const auto whole = head + "\r\n";
  const auto used = parser.feed_head(whole);
  require(used.has_value() && *used == whole.size() && parser.head_done());
  return parser.request();
}

void check(const std::string& head, const net::Request& asked, const net::Url& url) {
  const auto leaving = reread(head);
  require(leaving.method == asked.method && leaving.headers.get("host") == url.authority());
  for (const auto* name : {"proxy-authorization", "keep-alive", "te", "trailer", "upgrade", "expect"}) require(leaving.headers.count(name) == 0);
  const bool chunked = leaving.headers.count("transfer-encoding") > 0;
  require(chunked == (asked.headers.count("transfer-encoding") > 0));
  if (chunked) require(leaving.headers.count("content-length") == 0);
}

void go(const net::Request& request, std::uint8_t choice) {
  const auto url = net::parse_url(choice & 1 ? "https://api.example.com/base" : "http://api.example.com:8080").value();
  // Anything else is refused before.
  if (request.target.starts_with('/')) check(egress::host_head(request, url, choice & 2 ? "x-key" : ""), request, url);
  const auto route = egress::route_of(request, authorities);
  if (route.destination == egress::Destination::refused) {
    require(route.status >= 400 && !route.reason.empty());
    std::ignore = egress::error_response(route.status, route.reason, route.message);
    return;
  }
  const bool mcp = route.destination == egress::Destination::mcp;
  const auto head = mcp ? egress::mcp_head(request, url, {"mcp-key"}) : egress::upstream_head(request, url);
  check(head, request, url);
  const auto leaving = reread(head);
  for (const auto* name : {"authorization", "x-api-key", "cookie", "api-key"}) require(leaving.headers.count(name) == 0);
  if (mcp) require(leaving.headers.count("mcp-key") == 0);
  require(leaving.headers.get("accept-encoding") == "identity" && leaving.headers.get("connection") == "close");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto wire = bytes_of(data + 1, size - 1);
  net::RequestParser parser(4096);
  const auto used = parser.feed_head(wire);
  if (used && parser.head_done()) {
    go(parser.request(), data[0]);
    net::ResponseHead head{.status = 200, .headers = parser.request().headers};
    const auto down = egress::downstream_head(head, data[0] & 4 ? egress::Cookies::pass : egress::Cookies::kept_back);
    for (const auto* name : {"content-length", "transfer-encoding", "connection", "alt-svc"}) require(down.headers.count(name) == 0);
    if (!(data[0] & 4)) require(down.headers.count("set-cookie") == 0);
  }
  return 0;
}
