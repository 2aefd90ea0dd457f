#include "agents/claude/claude_failure.h"

#include <utility>

#include "agents/payload.h"
#include "agents/provider_failure.h"

namespace agentrouter::agents::claude {

namespace {

constexpr std::pair<std::string_view, std::string_view> causes[] = {
    {"authentication_failed", "provider_auth_failed"},
    {"billing_error", "provider_quota_exhausted"},
    {"model_not_found", "model_not_found"},
    {"rate_limit", "provider_rate_limited"},
    {"overloaded", "provider_unavailable"},
    {"max_output_tokens", "output_tokens_exceeded"},
};

std::string_view cause_of(const json::object& result, std::string_view word) {
  const auto why = base::get_string(result, "terminal_reason").value_or("");
  if (why == "prompt_too_long") return "context_window_exceeded";
  if (why.starts_with("aborted")) return "interrupted";
  if (base::get_string(result, "stop_reason") == "refusal") return "provider_refused";
  for (const auto& [name, cause] : causes) {
    if (word == name) return cause;
  }
  if (const auto status = base::get_int(result, "api_error_status")) return cause_of_status(*status);
  const auto error = base::get_string(result, "api_error").value_or("");
  if (error == "max_output_tokens") return "output_tokens_exceeded";
  return error == "connection_failed" || word == "server_error" ? "provider_unavailable" : "";
}

std::string reason_of(const json::object& result) {
  const auto said = base::get_string(result, "result").value_or("");
  if (!said.empty()) return std::string(said);
  const auto* errors = base::get_array(result, "errors");
  if (errors && !errors->empty() && errors->front().is_string()) {
    return std::string(errors->front().get_string());
  }
  return "the agent gave no reason";
}

}  // namespace

model::RunFailure failure_of(const json::object& result, std::string_view word) {
  model::RunFailure failure;
  failure.code = "provider_runtime_failed";
  failure.cause = cause_of(result, word);
  failure.reason =
      failure.cause == "interrupted" ? "the agent interrupted its turn by itself" : reason_of(result);
  return failure;
}

json::object retry_of(const json::object& line, int counted) {
  json::object fields;
  fields["attempt"] = base::get_int(line, "attempt").value_or(counted);
  if (const auto max = base::get_int(line, "max_retries")) fields["max"] = *max;
  if (const auto status = base::get_int(line, "error_status")) fields["status"] = *status;
  if (const auto delay = base::get_int(line, "retry_delay_ms")) fields["delayMs"] = *delay;
  fields["message"] = text_of(line, "error");
  return fields;
}

}  // namespace agentrouter::agents::claude
