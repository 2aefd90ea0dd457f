#include "agents/codex/codex_failure.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "agents/provider_failure.h"

namespace agentrouter::agents::codex {

namespace {

constexpr std::pair<std::string_view, std::string_view> causes[] = {
    {"usageLimitExceeded", "provider_quota_exhausted"},
    {"rateLimitExceeded", "provider_rate_limited"},
    {"unauthorized", "provider_auth_failed"},
    {"contextWindowExceeded", "context_window_exceeded"},
    {"modelNotFound", "model_not_found"},
    {"internalServerError", "provider_unavailable"},
    {"serverOverloaded", "provider_unavailable"},
    {"flexUnavailable", "provider_unavailable"},
    {"policyCapacityUnavailable", "provider_unavailable"},
    {"badRequest", "provider_rejected_request"},
    {"cyberPolicy", "provider_refused"},
    {"misalignmentPolicyViolation", "provider_refused"},
    {"inferenceHookDenied", "provider_refused"},
};

// {"httpConnectionFailed": {"httpStatusCode": 401}} -> the inner object. Nothing for the word-only forms.
const json::object* http_facts(const json::object& error) {
  const auto* info = base::get_object(error, "codexErrorInfo");
  if (!info || info->empty()) return nullptr;
  return info->begin()->value().if_object();
}

std::optional<std::int64_t> http_status(const json::object& error) {
  const auto* facts = http_facts(error);
  return facts ? base::get_int(*facts, "httpStatusCode") : std::nullopt;
}

// Codex passes a provider's JSON error body on as the message: its own message is the sentence. Sets `type`.
std::string readable(std::string_view message, std::string& type) {
  std::string text(message);
  if (const auto body = base::parse_json(message); body && body->is_object()) {
    if (const auto* inner = base::get_object(body->get_object(), "error")) {
      type = base::get_string(*inner, "type").value_or("");
      text = base::get_string(*inner, "message").value_or(message);
    }
  }
  return text;
}

// Codex takes an answer that the provider calls incomplete for one that was cut, and says why behind this.
std::string_view cause_of_incomplete(std::string_view message) {
  constexpr std::string_view mark = "Incomplete response returned, reason: ";
  const auto at = message.find(mark);
  if (at == std::string_view::npos) return "";
  const auto why = message.substr(at + mark.size());
  if (why.starts_with("max_output_tokens")) return "output_tokens_exceeded";
  return why.starts_with("content_filter") ? "provider_refused" : "";
}

std::string_view cause_of(const json::object& error, std::string_view message, std::string_view body_type) {
  if (const auto word = base::get_string(error, "codexErrorInfo")) {
    for (const auto& [name, cause] : causes) {
      if (*word == name) return cause;
    }
    if (const auto cause = cause_of_incomplete(message); !cause.empty()) return cause;
    if (message.starts_with("stream disconnected")) return "provider_unavailable";
    return body_type.starts_with("invalid_request") ? "provider_rejected_request" : "";
  }
  if (!http_facts(error)) return "";
  const auto status = http_status(error);
  return status ? cause_of_status(*status) : "provider_unavailable";  // refused, cut, no answer
}

std::optional<int> number_at(std::string_view text, std::size_t position) {
  int number = 0;
  const auto* end = text.data() + text.size();
  if (position > text.size() || std::from_chars(text.data() + position, end, number).ec != std::errc()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

model::RunFailure failure_of(const json::object& error) {
  const auto message = base::get_string(error, "message").value_or("the agent gave no reason");
  std::string body_type;
  model::RunFailure failure;
  failure.code = "provider_runtime_failed";
  failure.reason = readable(message, body_type);
  failure.cause = cause_of(error, message, body_type);
  return failure;
}

json::object retry_of(const json::object& error, int counted) {
  const auto message = base::get_string(error, "message").value_or("");  // "Reconnecting... 1/2"
  json::object fields;
  fields["attempt"] = counted;
  if (const auto slash = message.rfind('/'); slash != std::string_view::npos) {
    const auto start = message.rfind(' ', slash);
    const auto attempt = number_at(message, start == std::string_view::npos ? 0 : start + 1);
    const auto max = number_at(message, slash + 1);
    if (attempt && max) {
      fields["attempt"] = *attempt;
      fields["max"] = *max;
    }
  }
  if (const auto status = http_status(error)) fields["status"] = *status;
  fields["message"] = base::get_string(error, "additionalDetails").value_or(message);
  return fields;
}

}  // namespace agentrouter::agents::codex
