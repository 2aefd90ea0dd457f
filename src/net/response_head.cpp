#include "net/response_head.h"

#include <algorithm>

namespace agentrouter::net {

namespace {

bool is_framing(std::string_view name) {
  return iequals(name, "content-length") || iequals(name, "transfer-encoding") ||
         iequals(name, "connection") || iequals(name, "date") || iequals(name, "keep-alive");
}

bool is_name(std::string_view name) {
  constexpr std::string_view refused = "()<>@,;:\\\"/[]?={}";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return c > 0x20 && c < 0x7f && refused.find(c) == std::string_view::npos;
  });
}

void append_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte < 0x20 && c != '\t') || byte == 0x7f ? ' ' : c;
  }
}

}  // namespace

void append_response_head(std::string& out, const Response& response, const HeadFacts& facts) {
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  out.append(reason_phrase(response.status)).append("\r\n");
  out.append("Date: ").append(facts.date).append("\r\n");
  for (const auto& field : response.headers) {
    if (is_framing(field.name) || !is_name(field.name)) continue;
    out.append(field.name).append(": ");
    append_value(out, field.value);
    out.append("\r\n");
  }
  if (facts.framing == BodyFraming::length) {
    out.append("Content-Length: ").append(std::to_string(facts.length)).append("\r\n");
  } else if (facts.framing == BodyFraming::chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
  if (!facts.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (facts.minor_version == 0) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

}  // namespace agentrouter::net
