#include "net/url.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"
#include "net/http.h"

namespace agentrouter::net {

namespace {

base::Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 5 || parsed.ec != std::errc() ||
      parsed.ptr != text.data() + text.size() || value == 0 || value > 65535) {
    return base::fail(base::Code::invalid, "bad port \"" + std::string(text) + "\"");
  }
  return static_cast<std::uint16_t>(value);
}

bool is_host_name(std::string_view host) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !host.empty() && host.size() <= 253 && host.front() != '-' && host.front() != '.' &&
         host.find("..") == std::string_view::npos && std::all_of(host.begin(), host.end(), plain);
}

bool is_ipv6(std::string_view host) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' || c == '.';
  };
  return host.find(':') != std::string_view::npos && host.size() <= 45 &&
         std::all_of(host.begin(), host.end(), plain);
}

std::string to_lower(std::string_view text) {
  return base::ascii_lower(text);
}

bool is_url_text(std::string_view text) {
  constexpr std::string_view refused = "\"<>\\^`{|}#";
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c > 0x20 && c < 0x7f && refused.find(c) == std::string_view::npos;
  });
}

}  // namespace

base::Result<Authority> parse_authority(std::string_view text) {
  const auto bad = [&] { return base::fail(base::Code::invalid, "bad host \"" + std::string(text) + "\""); };
  Authority out;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos || !is_ipv6(text.substr(1, end - 1))) return bad();
    out.host = to_lower(text.substr(1, end - 1));
    const auto rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return bad();
    has_port = !rest.empty();
    port = has_port ? rest.substr(1) : rest;
  } else {
    const auto colon = text.find(':');
    if (!is_host_name(text.substr(0, colon))) return bad();
    out.host = to_lower(text.substr(0, colon));
    has_port = colon != std::string_view::npos;
    port = has_port ? text.substr(colon + 1) : std::string_view();
  }
  if (has_port) {
    AGENTROUTER_TRY(out.port, parse_port(port));
  }
  return out;
}

base::Result<Url> parse_url(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return base::fail(base::Code::invalid, "bad URL \"" + std::string(text) + "\": " + std::string(why));
  };
  Url url;
  std::string_view rest = text;
  const auto scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos) return bad("no scheme");
  const auto scheme = rest.substr(0, scheme_end);
  if (iequals(scheme, "https")) {
    url.scheme = Scheme::https;
  } else if (!iequals(scheme, "http")) {
    return bad("the scheme must be http or https");
  }
  rest.remove_prefix(scheme_end + 3);
  const auto host_end = std::min(rest.find_first_of("/?#"), rest.size());
  auto authority = parse_authority(rest.substr(0, host_end));
  if (!authority) return bad(authority.error().message);
  url.host = std::move(authority->host);
  url.port = authority->port != 0 ? authority->port : (url.scheme == Scheme::https ? 443 : 80);
  rest.remove_prefix(host_end);
  if (!is_url_text(rest)) return bad("a character that must be percent-encoded, or a fragment");
  const auto query = rest.find('?');
  if (query != std::string_view::npos) url.query = rest.substr(query + 1);
  const auto path = rest.substr(0, query);
  if (!percent_decode(path)) return bad("a broken percent sign");
  if (!path.empty()) url.path = path;
  return url;
}

std::string Url::authority() const {
  std::string out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (scheme == Scheme::https ? 443 : 80)) out += ":" + std::to_string(port);
  return out;
}

std::string Url::target() const {
  return query.empty() ? path : path + "?" + query;
}

}  // namespace agentrouter::net
