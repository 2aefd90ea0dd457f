#include "keeper/provider_watch.h"

#include "agents/provider_failure.h"

namespace agentrouter::keeper {

namespace {

constexpr std::size_t place_bytes = 256;

}  // namespace

void name_cause(model::RunFailure& failure, const std::optional<ProviderTrouble>& trouble) {
  constexpr std::string_view ours[] = {
      "egress_limit", "provider_certificate", "provider_encoding", "response_too_large", "key_echo", "held",
                                       "request_not_understood"};
  if (!trouble || failure.code != "provider_runtime_failed") return;
  for (const auto reason : ours) {
    if (trouble->reason == reason) failure.cause = reason;
  }
  if (!failure.cause.empty()) return;
  if (trouble->status >= 400) failure.cause = agents::cause_of_status(trouble->status);
  if (trouble->status < 400 && trouble->reason.starts_with("provider_"))
    failure.cause = "provider_unavailable";
}

base::Task<base::Result<void>> ProviderWatch::on_first_forward() {
  try {
    recorder_.durable("forwarded", {});
  } catch (const base::Failure& failure) {
    trouble_ = failure.error();
    if (traffic_) traffic_();
    co_return tl::unexpected(failure.error());
  }
  co_return base::Result<void>{};
}

void ProviderWatch::on_request_done(const egress::RequestRecord& record) {
  if (record.decision == egress::Decision::forwarded && record.mcp_server.empty() && !record.outbound) {
    ++requests_;
    bytes_in_ += static_cast<std::int64_t>(record.bytes_in);
    bytes_out_ += static_cast<std::int64_t>(record.bytes_out);
  }
  if (record.usage) {
    metered_ = true;
    tokens_.input_tokens += record.usage->input_tokens.value_or(0);
    tokens_.cached_input_tokens += record.usage->cached_input_tokens.value_or(0);
    tokens_.output_tokens += record.usage->output_tokens.value_or(0);
    tokens_.reasoning_output_tokens += record.usage->reasoning_output_tokens.value_or(0);
  }
  remember(record);
  if (ungated_tool_.empty()) ungated_tool_ = record.tool;
  this->record(record, std::nullopt);
}

// A request that the agent left says nothing about the provider, nor does one to somebody else.
void ProviderWatch::remember(const egress::RequestRecord& record) {
  if (record.by_keeper || record.outbound || !record.mcp_server.empty() || record.reason == "agent_left") return;
  if (record.decision == egress::Decision::answered) return;
  last_.reset();
  if (record.status >= 400 || !record.reason.empty())
    last_ = ProviderTrouble{record.status, record.reason, record.retry_after};
}

void ProviderWatch::on_denied(const egress::RequestRecord& record, std::uint64_t total) {
  if (record.reason == "egress_limit" || record.reason == "held" || record.reason == "request_not_understood")
    remember(record);
  this->record(record, total);
}

void ProviderWatch::record(const egress::RequestRecord& record, std::optional<std::uint64_t> total) {
  const auto& hidden = recorder_.redactor();
  json::object payload{{"host", hidden.cut(record.host, place_bytes)},
                       {"method", record.method},
                       {"path", hidden.cut(record.path, place_bytes)},
                       {"decision", egress::to_string(record.decision)},
                       {"status", record.status},
                       {"bytesOut", record.bytes_out},
                       {"bytesIn", record.bytes_in},
                       {"durationMs", record.duration.count()}};
  if (!record.reason.empty()) payload["reason"] = record.reason;
  if (total) payload["deniedSoFar"] = *total;
  if (record.by_keeper) payload["purpose"] = "review";
  if (!record.tool.empty()) payload["tool"] = record.tool;
  if (!record.action_id.empty()) payload["actionId"] = record.action_id;
  if (record.belief && *record.belief != policy::Belief::reported)
    payload["usage"] = policy::to_string(*record.belief);
  if (request_) request_(record);
  if (!record.mcp_server.empty()) {
    payload["purpose"] = "mcp";
    payload["server"] = record.mcp_server;
  }
  if (record.outbound) {
    payload["purpose"] = "network";
    payload["scheme"] = record.scheme;
    payload["port"] = record.port;
    if (!record.rule_id.empty()) payload["rule"] = record.rule_id;
  }
  try {
    recorder_.event("egress.request", model::Visibility::open, std::move(payload));
  } catch (const base::Failure& failure) {
    trouble_ = failure.error();
  }
  if (traffic_) traffic_();
}

json::object ProviderWatch::usage(const std::optional<agents::TokenUsage>& of_agent) const {
  const agents::TokenUsage tokens = metered_ ? tokens_ : of_agent.value_or(agents::TokenUsage{});
  return {{"inputTokens", tokens.input_tokens},
          {"cachedInputTokens", tokens.cached_input_tokens},
          {"outputTokens", tokens.output_tokens},
          {"reasoningOutputTokens", tokens.reasoning_output_tokens},
          {"requests", requests_},
          {"bytesIn", bytes_in_},
          {"bytesOut", bytes_out_}};
}

}  // namespace agentrouter::keeper
