#pragma once
// What a request of the sandbox may do, judged from its head alone, and the heads that cross the border.
// Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/client.h"
#include "net/http.h"
#include "net/url.h"

namespace agentrouter::egress {

enum class Destination { openai, anthropic, models, mcp, refused };

struct Route {
  Destination destination = Destination::refused;
  int status = 403;         // of a refusal
  std::string reason = {};  // a stable word: host_denied, target_denied, path_denied, method_denied,
                            // websocket_unsupported
  std::string message = {};
  std::string mcp_server = {};  // of Destination::mcp: which one is asked for, known or not
};

// `authorities`: what the Host field may say.
[[nodiscard]] Route route_of(const net::Request& request, const std::vector<std::string>& authorities);

// The head that leaves, up to the place where the credential follows: without the empty line at its end. No
// credential, cookie or proxy field of the sandbox is in it, nor anything that belongs to its own connection.
// Throws Failure(invalid) as net::request_head().
// `body_bytes`: how long the body is, where it is not what the sandbox has sent.
[[nodiscard]] std::string upstream_head(const net::Request& request, const net::Url& base,
                                        std::optional<std::size_t> body_bytes = {});

// The same for an MCP server at `url`: only what that protocol needs, and no field that is added outside.
[[nodiscard]] std::string mcp_head(const net::Request& request, const net::Url& url,
                                   const std::vector<std::string>& added);

// The same for any other host at `url`: everything that is not of the sandbox's own connection. `added` is the
// name of a field that follows, or "": then nothing that could hide an echo of it is asked for.
[[nodiscard]] std::string host_head(const net::Request& request, const net::Url& url, std::string_view added);

// Whether a request field may leave.
[[nodiscard]] bool may_leave(const net::Headers& all, std::string_view name);

// The answer as the sandbox sees it: without what belongs to the upstream's connection.
enum class Cookies { pass, kept_back };
[[nodiscard]] net::Response downstream_head(const net::ResponseHead& head, Cookies cookies);

// {"type":"error","error":{...}}: both providers' clients read it.
[[nodiscard]] net::Response error_response(int status, std::string_view reason, std::string_view message);

}  // namespace agentrouter::egress
