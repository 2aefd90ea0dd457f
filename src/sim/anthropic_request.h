#pragma once
// Reads a request to POST /v1/messages: what it is for, which task, how far it has come, which tools it
// offers.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "sim/director.h"

namespace agentrouter::sim {

struct MessagesRequest {
  // What Claude Code asks for besides the turns of its agents:
  enum class Purpose {
    turn,
    summary,   // of the history, to replace it
    verdict,   // on another agent's call
    side_job,  // a title, a web page in short: whatever offers no tool of the CLI
  } purpose = Purpose::turn;

  // What a verdict looks like.
  enum class VerdictForm {
    json,   // the properties of an output schema that has an `outcome`
    block,  // `<block>yes</block>...`, the words of Claude Code's auto mode
  };
  struct Review {
    VerdictForm form = VerdictForm::json;
    json::object properties;
    std::string transcript;
    std::size_t calls = 0;  // tool calls that it lists, the one under review being the last
  };

  std::string model;
  bool stream = false;
  Dialogue dialogue;
  std::vector<std::string> tools;
  std::string directory;  // the working directory that the CLI names, or empty
  Review review;
  json::object answer_schema;  // properties that the answer must have; empty for plain text
  // The file that the CLI wants read before the script's last call is made again, or empty.
  std::string unread;

  [[nodiscard]] bool offers(std::string_view tool) const;
};

// Ids of calls that the script does not have: their results do not count.
inline constexpr std::string_view preparing_id = "toolu_prep";

// Errors: invalid (no JSON object, or no `messages`).
[[nodiscard]] base::Result<MessagesRequest> read_messages_request(std::string_view body);

// The summary that Purpose::summary asks for: it replaces the history, so it holds the script, the count of
// results and what was said before, in words that a later request's reader finds again.
[[nodiscard]] std::string history_summary(const Dialogue& dialogue);

// Whether a text of a user message comes from the CLI itself.
[[nodiscard]] bool is_from_cli(std::string_view text);

}  // namespace agentrouter::sim
