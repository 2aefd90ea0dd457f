// covers: src/egress/tool_filter.cpp src/egress/mcp_message.cpp src/egress/request_facts.cpp src/egress/retry_after.cpp
// Bodies between an agent, its provider and its MCP servers from arbitrary bytes: no crash; a guarded answer passes the same bytes
// however it is cut up, and never the name of a tool that may not be called.
#include <string>

#include "bytes_file.h"
#include "require.h"
#include "egress/mcp_message.h"
#include "egress/request_facts.h"
#include "egress/retry_after.h"
#include "egress/tool_filter.h"

using namespace agentrouter;

namespace {

const egress::ToolRules rules{.names = {"Bash", "mcp__*", "write_stdin"}, .wait_only = {"write_stdin"}};

struct Guarded {
  std::string out;
  bool passed = true;
};

Guarded guard(std::string_view bytes, egress::CallGuard::Format format, std::size_t piece) {
  Guarded result;
  egress::CallGuard guard(rules, format);
  for (std::size_t at = 0; at < bytes.size() && result.passed; at += piece) result.passed = guard.feed(bytes.substr(at, piece), result.out);
  if (result.passed) result.passed = guard.finish(result.out);
  require(result.passed == guard.called().empty());
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto bytes = bytes_of(data + 1, size - 1);
  for (const auto format : {egress::CallGuard::Format::events, egress::CallGuard::Format::document}) {
    const auto whole = guard(bytes, format, bytes.size() + 1);
    const auto pieces = guard(bytes, format, 1 + data[0] % 11);
    require(whole.passed == pieces.passed && whole.out == pieces.out);
    require(bytes.compare(0, whole.out.size(), whole.out) == 0);
    if (whole.passed) require(whole.out == bytes);
  }
  const auto offered = egress::offer_only(rules, bytes);
  if (offered) require(egress::offer_only(rules, *offered).value() == *offered);
  for (const auto* method : {"POST", "GET", "DELETE"}) {
    const auto message = egress::read_mcp_message(method, bytes);
    require(base::parse_json(egress::mcp_error(message.id, "no")).has_value());
    if (message.kind == egress::McpMessage::Kind::tool_call) require(message.arguments.is_object());
  }
  net::Headers headers;
  const auto line = bytes.substr(0, bytes.find('\n'));
  headers.add(data[0] & 1 ? "retry-after" : data[0] & 2 ? "retry-after-ms" : "x-ratelimit-reset-tokens", line);
  headers.add("x-ratelimit-remaining-tokens", "0");
  headers.add("anthropic-ratelimit-requests-remaining", "0");
  headers.add("anthropic-ratelimit-requests-reset", line);
  const auto wait = egress::retry_after_of(headers, base::Time(std::chrono::milliseconds(1'780'000'000'000)));
  if (wait) require(wait->count() >= 0 && *wait <= std::chrono::hours(24 * 366));
  for (const auto* path : {"/v1/responses", "/v1/messages", "/v1/messages/count_tokens"}) {
    const auto facts = egress::read_request(path, headers, bytes);
    if (facts) require(!facts->model.empty());
  }
  return 0;
}
