#include "api/problem.h"

#include <map>

#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::api {

namespace {

// Words with a status of their own. Everything else takes the status of its Code.
int status_of(const base::Error& error) {
  static const std::map<std::string, int, std::less<>> words{
      {"unauthorized", 401},      {"artifact_download_unconfigured", 501}, {"method_not_allowed", 405},
      {"payload_too_large", 413}, {"unsupported_media_type", 415},
  };
  if (const auto found = words.find(error.reason); found != words.end()) return found->second;
  switch (error.code) {
    case base::Code::invalid:
      return 400;
    case base::Code::not_found:
      return 404;
    case base::Code::conflict:
      return 409;
    case base::Code::denied:
      return 403;
    case base::Code::exhausted:
      return 429;
    case base::Code::unsupported:
      return 501;
    case base::Code::unavailable:
    case base::Code::timeout:
    case base::Code::cancelled:
      return 503;
    case base::Code::corrupt:
    case base::Code::internal:
      return 500;
  }
  return 500;
}

std::string word_of(const base::Error& error, int status) {
  if (status == 500) return "internal_error";
  if (error.reason == "payload_too_large" || error.reason == "unsupported_media_type") return "bad_request";
  if (!error.reason.empty()) return error.reason;
  if (status == 503) return "unavailable";
  return status == 404 ? "not_found" : "bad_request";
}

net::Response envelope(int status, std::string_view code, std::string_view message,
                       std::string_view details) {
  std::string body = "{\"error\":{\"code\":" + base::to_text(json::value(code)) +
                     ",\"message\":" + base::to_text(json::value(base::to_utf8(message)));
  if (!details.empty()) body.append(",\"details\":").append(details);
  auto response = json_response(status, body + "}}");
  if (status == 503) response.headers.set("Retry-After", "1");
  return response;
}

}  // namespace

net::Response problem(const base::Error& error) {
  const int status = status_of(error);
  const auto word = word_of(error, status);
  const std::string_view message = status == 500 ? "Internal server error" : std::string_view(error.message);
  if (word == "bad_request" || word == "internal_error") return envelope(status, word, message, "");
  return envelope(status, word, message, error.details.empty() ? "{}" : error.details);
}

net::Response problem(int status, std::string_view code, std::string_view message) {
  return envelope(status, code, message, "");
}

net::Response json_response(int status, std::string body) {
  net::Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json; charset=utf-8");
  response.body = std::move(body);
  return response;
}

}  // namespace agentrouter::api
