#include "egress/egress.h"

#include "egress/front.h"

namespace agentrouter::egress {

using base::Code;

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::forwarded:
      return "forwarded";
    case Decision::answered:
      return "answered";
    case Decision::denied:
      break;
  }
  return "denied";
}

namespace {

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.substr(0, 4) == "127." && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

Result<net::Url> upstream_base(std::string_view text, BaseUrl kind) {
  constexpr std::string_view version = "/v1";
  AGENTROUTER_TRY(auto url, net::parse_url(text));
  const auto refuse = [&](const std::string& why) {
    return base::fail(Code::invalid, "cannot use the provider address " + std::string(text) + ": " + why);
  };
  if (!url.query.empty()) return refuse("it has a query");
  if (url.scheme == net::Scheme::http && !is_loopback(url.host)) {
    return refuse("plain http would show the key on the network; use https");
  }
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  const bool has_version = url.path.size() >= version.size() &&
                           url.path.compare(url.path.size() - version.size(), version.size(), version) == 0;
  if (kind == BaseUrl::with_version && !has_version) return refuse("it must end with /v1");
  if (kind == BaseUrl::without_version && has_version) return refuse("it must not end with /v1");
  if (has_version) url.path.resize(url.path.size() - version.size());
  if (url.path.empty()) url.path = "/";
  return url;
}

Result<net::Url> mcp_url(std::string_view text) {
  AGENTROUTER_TRY(auto url, net::parse_url(text));
  const auto refuse = [&](const std::string& why) {
    return base::fail(Code::invalid, "cannot use the MCP server's address " + std::string(text) + ": " + why);
  };
  if (!url.query.empty()) return refuse("it has a query; what is secret belongs in a header");
  if (url.scheme == net::Scheme::http && !is_loopback(url.host))
    return refuse("plain http would show what is said on the network; use https");
  return url;
}

Egress::Egress(base::Executor executor, Config config, Observer& observer)
    : front_(std::make_unique<Front>(executor, std::move(config), observer)) {}

Egress::~Egress() = default;

Result<void> Egress::serve(base::Fd listener) {
  return front_->server().adopt(std::move(listener));
}

Task<void> Egress::stop() {
  co_await front_->server().stop(base::SteadyClock::now());
}

Task<Result<Answer>> Egress::ask(std::string path, std::string body, base::Deadline deadline) {
  return front_->ask(std::move(path), std::move(body), deadline);
}

void Egress::hold() {
  front_->hold();
}

void Egress::release() {
  front_->release();
}

std::size_t Egress::open_forwards() const {
  return front_->open_forwards();
}

}  // namespace agentrouter::egress
