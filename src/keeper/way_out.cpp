#include "keeper/way_out.h"

#include "keeper/action_judge.h"

namespace agentrouter::keeper {

egress::OutboundConfig WayOut::config() {
  egress::OutboundConfig config;
  config.knows_host = [this](const std::string& host) {
    return needs_.plan.rules && needs_.plan.rules->egress().knows_host(host);
  };
  config.judge = [this](const policy::EgressRequest& request) {
    return judge_egress(needs_.plan, request, needs_.clock.now());
  };
  const auto& plan = needs_.plan.egress;
  for (std::size_t i = 0; i < plan.secrets.size(); ++i) {
    const auto& secret = plan.secrets[i];
    const auto& values = needs_.secrets.secrets[i];
    config.secrets.emplace(secret.name,
                           egress::OutboundSecret{.name = secret.name,
                                                  .host = secret.host,
                                                  .methods = secret.methods,
                                                  .paths = secret.paths,
                                                  .header = secret.header,
                                                  .value = &values.field,
                                                  .plain = values.plain ? &*values.plain : nullptr});
  }
  config.private_hosts = plan.private_hosts;
  config.authority = needs_.secrets.authority.get();
  config.gate = &needs_.gate;
  config.tls = needs_.tls;
  if (const auto& most = needs_.plan.spending.limits.network_bytes)
    config.total_bytes = std::min(config.total_bytes, static_cast<std::uint64_t>(*most));
  return config;
}

base::Result<void> WayOut::open() {
  auto sockets = needs_.sandbox.take_outbound();
  if (sockets.listeners.empty()) return {};
  outbound_ = std::make_unique<egress::Outbound>(needs_.executor, config(), needs_.observer);
  for (auto& listener : sockets.listeners) {
    if (auto serving = outbound_->serve(std::move(listener.fd), listener.port); !serving) return serving;
  }
  return outbound_->serve_names(std::move(sockets.names_udp), std::move(sockets.names_tcp));
}

base::Task<void> WayOut::close() {
  if (outbound_) co_await outbound_->stop();
  outbound_.reset();
}

void WayOut::hold() {
  if (outbound_) outbound_->hold();
}

void WayOut::release() {
  if (outbound_) outbound_->release();
}

}  // namespace agentrouter::keeper
