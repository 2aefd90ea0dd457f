// What an attempt's sandbox can reach, opened for its turns and closed behind them.

#include <fcntl.h>

#include <cerrno>

#include "agents/asking_tools.h"
#include "keeper/attempt.h"

namespace agentrouter::keeper {

base::Result<std::vector<egress::McpUpstream>> Attempt::mcp_upstreams() const {
  std::vector<egress::McpUpstream> upstreams;
  auto secret = needs_.mcp_secrets.begin();
  for (const auto& server : needs_.plan.mcp) {
    AGENTROUTER_TRY(net::Url url, egress::mcp_url(server.url));
    auto& upstream = upstreams.emplace_back(egress::McpUpstream{server.name, std::move(url), {}});
    for (const auto& header : server.headers) upstream.headers.push_back({header.name, &*secret++});
  }
  return upstreams;
}

base::Result<void> Attempt::open_egress() {
  egress::Config config;
  config.models = {needs_.plan.model};
  config.tls = needs_.tls;
  config.spending = &spending_;
  if (const auto& most = needs_.plan.spending.limits.network_bytes)
    config.total_bytes = std::min(config.total_bytes, static_cast<std::uint64_t>(*most));
  watch_.on_request([this](const egress::RequestRecord& record) { limits_.see_request(record); });
  AGENTROUTER_TRY(config.mcp, mcp_upstreams());
  if (needs_.plan.approval_scope == model::ApprovalScope::action) {
    const auto tools = agents::asking_tools(needs_.plan.runtime.kind);
    config.tools = egress::ToolRules{tools.names, tools.wait_only};
    config.gate = &network_;
  }
  if (needs_.plan.provider == Provider::sim) {
    config.simulator = &simulator_;
  } else if (needs_.plan.provider == Provider::upstream) {
    const bool codex = needs_.plan.runtime.kind == model::RuntimeKind::codex;
    const auto kind = codex ? egress::BaseUrl::with_version : egress::BaseUrl::without_version;
    AGENTROUTER_TRY(net::Url base, egress::upstream_base(needs_.plan.base_url, kind));
    (codex ? config.openai : config.anthropic) = egress::Upstream{std::move(base), needs_.key};
  }
  auto taped = tape_.open(config, [this](model::RunFailure failure) {
    if (turn_) turn_->abort(std::move(failure));
  });
  if (!taped) return taped;
  egress_ = std::make_unique<egress::Egress>(needs_.executor, std::move(config), watch_);
  base::Fd listener(::fcntl(needs_.sandbox.listener(), F_DUPFD_CLOEXEC, 0));
  if (!listener) return base::fail_errno("cannot take over the sandbox's listener", errno);
  if (auto done = egress_->serve(std::move(listener)); !done) return tl::unexpected(done.error());
  return way_out_.open();
}

base::Task<void> Attempt::close_egress() {
  co_await way_out_.close();
  if (egress_) co_await egress_->stop();
  egress_.reset();
  needs_.sandbox.close_listener();
}

}  // namespace agentrouter::keeper
