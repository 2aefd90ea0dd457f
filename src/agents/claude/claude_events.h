#pragma once
// From what Claude Code reports about a turn to our agent.* events, and the proof that each call which ran
// had been released.

#include <set>
#include <string>

#include "agents/claude/claude_tools.h"
#include "agents/session.h"
#include "agents/turn_log.h"

namespace agentrouter::agents::claude {

class TurnEvents {
 public:
  // `progress` and `hidden` as in TurnSpec.
  TurnEvents(std::string cwd, std::size_t response_bytes, policy::NoProgress* progress,
             const base::Redactor& hidden)
      : cwd_(std::move(cwd)), log_("claude_code", response_bytes, progress, hidden) {}

  void session_started(Outputs& out, std::string_view session);
  // system lines other than init.
  void status(Outputs& out, std::string_view subtype, const json::object& line);
  // An `assistant` line: text, tool calls; never thinking. False when it holds an impossible call.
  [[nodiscard]] bool assistant(Outputs& out, const json::object& line);
  // A `user` line: the ends of calls. False when one of them ran that nobody had released.
  [[nodiscard]] bool user(Outputs& out, const json::object& line);
  // The call that a question is about; its agent.tool_started comes now if it has not come.
  ToolCall asked(Outputs& out, std::string_view name, const std::string& call_id, const json::object& input);
  void final_text(std::string_view text) { log_.respond("result", text); }

  void released(const std::string& call_id) { released_.insert(call_id); }
  void declined(const std::string& call_id) { declined_.insert(call_id); }
  // Nobody answered the question about this call: it never ran.
  void never_released(const std::string& call_id) { log_.never_released(call_id); }
  [[nodiscard]] bool open_too_much() const { return log_.open_too_much(); }

  void turn_ended(Outputs& out, const Outcome& outcome, const std::string& line) {
    log_.turn_ended(out, outcome, line);
  }
  // The `error` word of the CLI's own last message.
  [[nodiscard]] const std::string& error_word() const { return error_word_; }
  [[nodiscard]] const std::string& response_text() const { return log_.response_text(); }
  [[nodiscard]] const std::string& response_event_type() const { return log_.response_event_type(); }

 private:
  ToolCall call_seen(Outputs& out, std::string_view name, const std::string& call_id,
                     const json::object& input, std::string parent);
  bool tool_result(Outputs& out, const json::object& block, const json::object& line);
  void watch(Outputs& out, const ToolCall& call, const ToolEnd& end, const std::string& parent);

  std::string cwd_;
  TurnLog log_;  // keeps name and input of each call
  std::set<std::string> released_;
  std::set<std::string> declined_;
  std::string error_word_;
  int retries_ = 0;
};

}  // namespace agentrouter::agents::claude
