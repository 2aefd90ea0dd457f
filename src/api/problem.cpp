#include "api/problem.h"

#include <algorithm>
#include <array>

#include "api/codes.h"
#include "base/json.h"
#include "base/log.h"
#include "base/redactor.h"
#include "base/shown.h"

namespace agentrouter::api {

namespace {

constexpr std::size_t max_request_id = 128;
constexpr std::int64_t longest_delay = 32 * 24 * 3600;  // a budget over a month

struct Verdict {
  int status = 500;
  std::string_view code = "internal_error";
};

// Reasons that keep a status of their own under the code bad_request.
constexpr std::array<std::pair<std::string_view, int>, 3> reading_faults{
    {{"payload_too_large", 413}, {"unsupported_media_type", 415}, {"body_timeout", 408}}};

Verdict judge(const base::Error& error) {
  for (const auto& [reason, status] : reading_faults) {
    if (error.reason == reason) return {status, "bad_request"};
  }
  if (const auto* facts = find_code(error.reason)) return {facts->statuses.front(), facts->code};
  switch (error.code) {
    case base::Code::invalid:
      return {400, "bad_request"};
    case base::Code::not_found:
      return {404, "not_found"};
    case base::Code::conflict:
      return {409, "conflict"};
    case base::Code::unavailable:
    case base::Code::timeout:
    case base::Code::cancelled:
      return {503, "unavailable"};
    case base::Code::denied:
    case base::Code::exhausted:
    case base::Code::unsupported:
    case base::Code::corrupt:
    case base::Code::internal:
      break;
  }
  return {};
}

// `details` is JSON text, or empty for none.
std::string envelope(const Verdict& verdict, std::string_view message, std::string_view details) {
  std::string body = "{\"error\":{\"code\":" + base::to_text(json::value(verdict.code)) +
                     ",\"message\":" + base::to_text(json::value(message));
  if (!details.empty()) body.append(",\"details\":").append(details);
  return body + "}}";
}

std::string problem_document(const Verdict& verdict, std::string_view message, std::string_view details,
                             const Occasion& occasion) {
  const auto* facts = find_code(verdict.code);
  json::object object;
  object["type"] = "urn:agentrouter:error:" + std::string(verdict.code);
  object["title"] = facts ? facts->title : net::reason_phrase(verdict.status);
  object["status"] = verdict.status;
  object["detail"] = message;
  if (!occasion.instance.empty()) object["instance"] = occasion.instance;
  object["code"] = verdict.code;
  object["requestId"] = occasion.request_id;
  auto body = base::to_text(object);
  if (!details.empty()) {
    body.pop_back();
    body.append(",\"details\":").append(details).append("}");
  }
  return body;
}

// What passes by itself says when: the details if they know, else the code.
int retry_after(const Verdict& verdict, std::string_view details) {
  const auto parsed = details.empty() ? base::Result<json::value>(json::object()) : base::parse_json(details);
  const auto* object = parsed ? parsed->if_object() : nullptr;
  if (const auto seconds = object ? base::get_int(*object, "retryAfterSeconds") : std::nullopt)
    return static_cast<int>(std::clamp<std::int64_t>(*seconds, 0, longest_delay));
  const auto* code = find_code(verdict.code);
  return code ? code->retry_after : 0;
}

net::Response tell(const Verdict& verdict, std::string_view message, std::string_view details,
                   const Occasion& occasion) {
  const auto text = base::shown(message);
  const bool bare = verdict.code == "bad_request" || verdict.code == "internal_error";
  const auto facts = bare ? std::string_view() : details.empty() ? std::string_view("{}") : details;
  net::Response response;
  response.status = verdict.status;
  if (occasion.form == ErrorForm::problem) {
    response.headers.add("Content-Type", "application/problem+json; charset=utf-8");
    response.body = problem_document(verdict, text, facts, occasion);
  } else {
    response.headers.add("Content-Type", "application/json; charset=utf-8");
    response.body = envelope(verdict, text, facts);
  }
  base::hidden_in_logs()->clean(response.body, base::Redactor::Text::json);
  response.headers.add("Vary", "Accept");
  if (const int seconds = retry_after(verdict, details); seconds > 0)
    response.headers.add("Retry-After", std::to_string(seconds));
  finish(response, occasion);
  return response;
}

bool is_plain_word(std::string_view text) {
  return !text.empty() && text.size() <= max_request_id && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

}  // namespace

Occasion occasion_of(const net::Request* request, base::Entropy& entropy) {
  Occasion occasion;
  if (request) {
    occasion.form = error_form(request->headers);
    occasion.instance = request->path;
    const auto theirs = request->headers.get("X-Request-Id");
    if (is_plain_word(theirs) && request->headers.count("X-Request-Id") == 1) occasion.request_id = theirs;
  }
  if (occasion.request_id.empty()) occasion.request_id = "req_" + base::new_uuid(entropy);
  return occasion;
}

net::Response problem(const base::Error& error, const Occasion& occasion) {
  const auto verdict = judge(error);
  if (verdict.status != 500) return tell(verdict, error.message, error.details, occasion);
  base::log(base::LogLevel::error, "a request failed",
            {{"requestId", occasion.request_id},
             {"path", occasion.instance},
             {"reason", error.reason},
             {"error", error.message}});
  return tell(verdict, "Internal server error", "", occasion);
}

net::Response problem(const net::ServerError& error, base::Entropy& entropy) {
  return tell({error.status, error.code}, error.message, "", occasion_of(error.request, entropy));
}

net::Response json_response(int status, std::string body) {
  net::Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json; charset=utf-8");
  response.body = std::move(body);
  return response;
}

void finish(net::Response& response, const Occasion& occasion) {
  response.headers.set("X-Request-Id", occasion.request_id);
  response.headers.set("X-Content-Type-Options", "nosniff");
  if (!response.headers.find("Cache-Control")) response.headers.set("Cache-Control", "no-store");
}

}  // namespace agentrouter::api
