#include "api/call.h"

#include <algorithm>

#include "base/utf8.h"

namespace agentrouter::api {

namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::int64_t max_key_chars = 256;

bool is_json_type(std::string_view content_type) {
  const auto type = base::trim_js(content_type.substr(0, content_type.find(';')));
  return net::iequals(type, "application/json");
}

bool has_nul(const json::value& value) {
  const auto in = [](std::string_view text) { return text.find('\0') != std::string_view::npos; };
  if (const auto* text = value.if_string()) return in({text->data(), text->size()});
  if (const auto* list = value.if_array()) return std::any_of(list->begin(), list->end(), has_nul);
  if (const auto* object = value.if_object()) {
    return std::any_of(object->begin(), object->end(), [&](const auto& member) {
      return in({member.key().data(), member.key().size()}) || has_nul(member.value());
    });
  }
  return false;
}

Result<json::value> parse_body(std::string_view text) {
  if (base::trim_js(text).empty()) return json::value(json::object());
  if (text.find('\0') != std::string_view::npos)
    return fail(Code::invalid, "The body holds a NUL byte", "bad_request");
  auto value = base::parse_json(text);
  Issues issues;
  if (!value && value.error().reason == "json_value") {
    issues.other({}, value.error().message);
  } else if (!value) {
    return fail(Code::invalid, "Body is not valid JSON: " + value.error().message, "bad_request");
  } else if (has_nul(*value)) {
    issues.other({}, "Invalid input: a string holds U+0000");
  }
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return value;
}

}  // namespace

base::Error reading_fault(const base::Error& error) {
  if (error.code == Code::exhausted) return {Code::invalid, error.message, "payload_too_large"};
  if (error.code == Code::timeout) return {Code::timeout, error.message, "body_timeout"};
  if (error.code == Code::unavailable && error.reason == "unavailable") return error;
  return {Code::invalid, error.message, "bad_request"};
}

net::Response Api::Call::finished(net::Response response) const {
  status = response.status;
  finish(response, occasion);
  return response;
}

base::Task<void> Api::Call::respond(net::Response response) {
  co_await exchange.respond(finished(std::move(response)));
}

base::Task<void> Api::Call::respond_json(int status, std::string body) {
  co_await respond(json_response(status, std::move(body)));
}

base::Task<void> Api::Call::refuse(const base::Error& error) {
  auto response = problem(error, occasion);
  if (response.status == 401) response.headers.add("WWW-Authenticate", "Bearer");
  co_await respond(std::move(response));
}

Result<std::string> Api::Call::idempotency_key() const {
  static constexpr std::string_view header = "Idempotency-Key";
  const Path path{std::string(header)};
  const auto key = request().headers.get(header);
  Issues issues;
  if (request().headers.count(header) > 1) {
    const json::value several = json::array();
    issues.wrong_type(path, "string", &several);
  } else if (static_cast<std::int64_t>(key.size()) > max_key_chars) {
    issues.too_long(path, max_key_chars);
  } else if (!std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    issues.bad_format(path, "/^[\\x20-\\x7e]*$/");
  }
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return std::string(key);
}

void Api::Call::mark_replay(net::Response& response, bool replayed) {
  if (replayed) response.headers.add("Idempotent-Replayed", "true");
}

base::Task<Result<json::value>> Api::Call::read_json() {
  const auto body = co_await exchange.read_body();
  if (!body) co_return tl::unexpected(reading_fault(body.error()));
  const auto type = request().headers.find("Content-Type");
  if (!body->empty() && !(type && is_json_type(*type))) {
    co_return fail(Code::invalid, "Unsupported media type: send application/json", "unsupported_media_type");
  }
  co_return parse_body(*body);
}

}  // namespace agentrouter::api
