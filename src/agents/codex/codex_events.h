#pragma once
// From what Codex reports about a turn to our agent.* events.

#include <map>
#include <set>
#include <string>

#include "agents/session.h"
#include "agents/turn_log.h"

namespace agentrouter::agents::codex {

class TurnEvents {
 public:
  // `progress` and `hidden` as in TurnSpec.
  TurnEvents(std::string cwd, std::size_t response_bytes, policy::NoProgress* progress,
             const base::Redactor& hidden)
      : cwd_(std::move(cwd)), log_("codex", response_bytes, progress, hidden) {}

  void thread_started(Outputs& out, std::string_view thread);
  void turn_started(Outputs& out);
  void item_started(Outputs& out, const json::object& item);
  // `other_thread` is empty for the session's own. A subagent's words are no answer of ours and give no message.
  void item_completed(Outputs& out, const json::object& item, const std::string& other_thread);
  // More output of a command that runs.
  void command_wrote(Outputs& out, const std::string& call_id, const std::string& other_thread,
                     std::string_view text);
  void plan_updated(Outputs& out, const json::object& params);
  void retrying(Outputs& out, const json::object& error);

  // The changes of an open file change as they came, for the question about them. Null when it has not
  // started.
  [[nodiscard]] const json::array* open_changes(const std::string& call_id) const;
  // More open calls, or more bytes of open changes, than an agent may make us remember.
  [[nodiscard]] bool open_too_much() const { return log_.open_too_much(); }
  // The open call that a question about this MCP tool is about, each once: the question does not name it.
  // Empty when there is none.
  [[nodiscard]] std::string take_mcp_call(const json::object& args);
  // A declined MCP call comes back as failed: this call is remembered as declined.
  void declined_mcp(std::string_view server, std::string_view tool);

  // Nobody answered the question about this call: it never ran.
  void never_released(const std::string& call_id) { log_.never_released(call_id); }

  // `provider_event_type` is empty when no line of the agent says it.
  void turn_ended(Outputs& out, const Outcome& outcome, const std::string& provider_event_type) {
    log_.turn_ended(out, outcome, provider_event_type);
  }

  // The last message of the agent and the type of its line; empty when there was none.
  [[nodiscard]] const std::string& response_text() const { return log_.response_text(); }
  [[nodiscard]] const std::string& response_event_type() const { return log_.response_event_type(); }

 private:
  void tool_completed(Outputs& out, const json::object& item, const std::string& other_thread);
  void watch(Outputs& out, const json::object& item, const json::object& completion,
             const std::string& other_thread);

  std::string cwd_;
  TurnLog log_;                              // keeps the changes of each call
  std::multiset<std::string> declined_mcp_;  // "server.tool"
  struct McpCall {
    std::string call_id;
    std::string name;  // "server.tool"
    std::string arguments;
  };
  std::vector<McpCall> unasked_mcp_;  // open, and no question about them has come
  struct RunningCommand {
    std::string text;
    policy::NoProgress::Written written = {};
  };
  std::map<std::string, RunningCommand> commands_;  // open, by call id
  int retries_ = 0;
  int plans_ = 0;
};

}  // namespace agentrouter::agents::codex
