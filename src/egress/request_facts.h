#pragma once
// What has to be known of a request to a model provider before it may leave under a limit: read from its body
// as a whole. Pure.

#include <string>
#include <string_view>

#include "base/error.h"
#include "egress/usage.h"
#include "net/http.h"
#include "policy/spending.h"

namespace agentrouter::egress {

struct RequestFacts {
  bool anthropic = false;    // else OpenAI
  bool only_counts = false;  // count_tokens: it costs nothing
  std::string model;
  std::optional<std::int64_t> max_output;  // as the request limits it
  policy::RequestSize size;
};

// `path` without query.
//
// Errors: invalid with reason request_not_understood: no JSON object, a compressed body, a key that stands
// twice, no model, or what makes a cost that cannot be told from here (background, stored context, another
// service tier).
[[nodiscard]] base::Result<RequestFacts> read_request(std::string_view path, const net::Headers& headers,
                                                      std::string_view body);

// A provider's own words in one shape: Anthropic counts what it read from its cache and put into it beside
// the input, OpenAI within it.
[[nodiscard]] policy::UsageReport report_of(const std::optional<Usage>& usage, bool anthropic);

}  // namespace agentrouter::egress
