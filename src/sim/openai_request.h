#pragma once
// Reads a request to POST /v1/responses: which task, how far it has come, which tools it offers.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "sim/director.h"

namespace agentrouter::sim {

struct OfferedTool {
  std::string name;
  std::string name_space;  // empty at the top
  enum class Kind { function, custom } kind = Kind::function;
};

// A request to judge another agent's action, recognised by an `outcome` in its output schema.
struct ReviewRequest {
  std::string transcript;
  std::size_t calls = 0;  // tool calls that it lists, the one under review being the last
  json::object properties;
};

struct ResponsesRequest {
  std::string model;
  bool stream = false;
  Dialogue dialogue;
  std::vector<OfferedTool> tools;
  std::optional<ReviewRequest> review;
  // The CLI asks for a summary to replace the history with. The summary carries the count of results on.
  bool wants_summary = false;
  // Commands that were still running when their call returned, by the id that `write_stdin` takes.
  std::vector<std::int64_t> running;

  [[nodiscard]] const OfferedTool* find_tool(std::string_view name) const;
};

// Errors: invalid (no JSON object, or no `input`).
[[nodiscard]] base::Result<ResponsesRequest> read_responses_request(std::string_view body);

// The summary that `wants_summary` asks for, in words that a later request's reader counts.
[[nodiscard]] std::string summary_of(const Dialogue& dialogue);

// Whether a part of a user message comes from the CLI itself: its environment, instruction files, notices.
[[nodiscard]] bool is_injected(std::string_view text);

}  // namespace agentrouter::sim
