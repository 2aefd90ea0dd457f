#include "egress/route.h"

#include <algorithm>
#include <array>

#include "base/json.h"

namespace agentrouter::egress {

namespace {

// Of one connection, and of who asks: neither passes the border in either direction.
constexpr std::array<std::string_view, 9> hop_by_hop{"connection", "keep-alive",        "te",
                                                     "trailer",    "transfer-encoding", "upgrade",
                                                     "expect",     "content-length",    "http2-settings"};
constexpr std::array<std::string_view, 8> replaced{"host",   "authorization",   "x-api-key", "api-key",
                                                   "cookie", "accept-encoding", "forwarded", "via"};

bool is_one_of(std::string_view name, const auto& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view one) { return net::iequals(one, name); });
}

bool begins_with(std::string_view name, std::string_view prefix) {
  return net::iequals(name.substr(0, prefix.size()), prefix);
}

Route refuse(int status, std::string reason, std::string message) {
  return {Destination::refused, status, std::move(reason), std::move(message)};
}

constexpr std::string_view mcp_prefix = "/mcp/";

Destination destination_of(std::string_view path) {
  if (path.starts_with(mcp_prefix)) return Destination::mcp;
  if (path == "/v1/responses") return Destination::openai;
  if (path == "/v1/messages" || path == "/v1/messages/count_tokens") return Destination::anthropic;
  return path == "/v1/models" ? Destination::models : Destination::refused;
}

bool carries(Destination destination, std::string_view method) {
  if (destination == Destination::mcp) return method == "POST" || method == "GET" || method == "DELETE";
  return method == (destination == Destination::models ? "GET" : "POST");
}

// How the body of a request is framed on the way on.
void add_framing(net::ClientRequest& out, const net::Request& request, bool wants_length,
                 std::optional<std::size_t> body_bytes = {}) {
  const auto length = request.headers.find("content-length");
  if (request.headers.count("transfer-encoding") > 0) {
    out.headers.add("transfer-encoding", "chunked");
  } else if (body_bytes) {
    out.headers.add("content-length", std::to_string(*body_bytes));
  } else if (length || wants_length) {
    out.headers.add("content-length", std::string(length.value_or("0")));
  }
}

// Without the empty line at its end.
std::string open_head(const net::ClientRequest& out) {
  auto head = net::request_head(out);
  head.resize(head.size() - std::string_view("\r\n").size());
  return head;
}

}  // namespace

Route route_of(const net::Request& request, const std::vector<std::string>& authorities) {
  const auto host = request.headers.get("host");
  if (!is_one_of(host, authorities))
    return refuse(403, "host_denied", "this host cannot be reached from here");
  if (request.target.empty() || request.target[0] != '/') {
    return refuse(403, "target_denied", "this is not a proxy: ask for a path");
  }
  if (request.headers.has_token("upgrade", "websocket")) {
    return refuse(426, "websocket_unsupported", "websockets are not carried: use POST");
  }
  if (request.headers.find("upgrade"))
    return refuse(403, "upgrade_denied", "another protocol cannot be changed to: ask in HTTP/1.1 alone");
  const auto destination = destination_of(request.path);
  if (destination == Destination::refused)
    return refuse(403, "path_denied", "this path cannot be reached from here");
  if (!carries(destination, request.method)) {
    return refuse(403, "method_denied", "this method is not carried to this path");
  }
  Route route{destination, 200};
  if (destination == Destination::mcp) route.mcp_server = request.path.substr(mcp_prefix.size());
  return route;
}

bool may_leave(const net::Headers& all, std::string_view name) {
  return !is_one_of(name, hop_by_hop) && !is_one_of(name, replaced) && !begins_with(name, "proxy-") &&
         !begins_with(name, "x-forwarded-") && !all.has_token("connection", name);
}

std::string upstream_head(const net::Request& request, const net::Url& base,
                          std::optional<std::size_t> body_bytes) {
  net::ClientRequest out;
  out.method = request.method;
  const std::string_view prefix = base.path == "/" ? "" : std::string_view(base.path);
  out.target = std::string(prefix) + request.target;
  out.headers.add("Host", base.authority());
  for (const auto& field : request.headers) {
    if (may_leave(request.headers, field.name)) out.headers.add(field.name, field.value);
  }
  out.headers.add("accept-encoding", "identity");
  out.headers.add("connection", "close");
  add_framing(out, request, true, body_bytes);
  return open_head(out);
}

std::string mcp_head(const net::Request& request, const net::Url& url,
                     const std::vector<std::string>& added) {
  net::ClientRequest out;
  out.method = request.method;
  out.target = url.path;
  out.headers.add("Host", url.authority());
  constexpr std::array<std::string_view, 4> carried{"accept", "content-type", "last-event-id", "user-agent"};
  for (const auto& field : request.headers) {
    const bool known = is_one_of(field.name, carried) || begins_with(field.name, "mcp-");
    if (known && !is_one_of(field.name, added)) out.headers.add(field.name, field.value);
  }
  out.headers.add("accept-encoding", "identity");
  out.headers.add("connection", "close");
  add_framing(out, request, request.method == "POST");
  return open_head(out);
}

std::string host_head(const net::Request& request, const net::Url& url, std::string_view added) {
  // Parts of an answer, or an answer in another coding, could not be searched.
  constexpr std::array<std::string_view, 4> hiding{"accept-encoding", "range", "if-range", "request-range"};
  net::ClientRequest out;
  out.method = request.method;
  out.target = request.target;
  out.headers.add("Host", url.authority());
  for (const auto& field : request.headers) {
    const bool of_connection = net::iequals(field.name, "host") || is_one_of(field.name, hop_by_hop) ||
                               begins_with(field.name, "proxy-") ||
                               request.headers.has_token("connection", field.name);
    const bool dropped = !added.empty() && (net::iequals(field.name, added) || is_one_of(field.name, hiding));
    if (!of_connection && !dropped) out.headers.add(field.name, field.value);
  }
  if (!added.empty()) out.headers.add("accept-encoding", "identity");
  add_framing(out, request, false);
  return open_head(out);
}

net::Response downstream_head(const net::ResponseHead& head, Cookies cookies) {
  net::Response out;
  out.status = head.status;
  for (const auto& field : head.headers) {
    const bool passes = !is_one_of(field.name, hop_by_hop) && !begins_with(field.name, "proxy-") &&
                        (cookies == Cookies::pass || !net::iequals(field.name, "set-cookie")) &&
                        !net::iequals(field.name, "alt-svc") && !net::iequals(field.name, "date") &&
                        !head.headers.has_token("connection", field.name);
    if (passes) out.headers.add(field.name, field.value);
  }
  return out;
}

net::Response error_response(int status, std::string_view reason, std::string_view message) {
  net::Response response;
  response.status = status;
  response.headers.add("content-type", "application/json");
  const std::string_view type = status >= 500 ? "server_error" : "invalid_request_error";
  response.body = base::to_text(
      json::object{{"type", "error"},
                   {"error", {{"type", type}, {"code", reason}, {"message", message}, {"param", nullptr}}}});
  return response;
}

}  // namespace agentrouter::egress
