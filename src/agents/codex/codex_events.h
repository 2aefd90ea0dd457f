#pragma once
// From what Codex reports about a turn to our agent.* events. Keeps the tool calls that are open, so that
// each agent.tool_started gets exactly one agent.tool_completed, however the turn ends.

#include <map>
#include <set>
#include <string>

#include "agents/session.h"
#include "policy/no_progress.h"

namespace agentrouter::agents::codex {

class TurnEvents {
 public:
  TurnEvents(std::string cwd, std::size_t response_bytes)
      : cwd_(std::move(cwd)), response_bytes_(response_bytes) {}

  void thread_started(Outputs& out, std::string_view thread);
  void turn_started(Outputs& out);
  void item_started(Outputs& out, const json::object& item);
  // `own`: of this session's thread. A subagent's words are no answer of ours and give no message.
  enum class Thread { own, other };
  void item_completed(Outputs& out, const json::object& item, Thread thread);
  void plan_updated(Outputs& out, const json::object& params);
  void retrying(Outputs& out, const json::object& error);

  // The changes of an open file change as they came, for the question about them. Null when it has not
  // started.
  [[nodiscard]] const json::array* open_changes(const std::string& call_id) const;
  // More open calls, or more bytes of open changes, than an agent may make us remember.
  [[nodiscard]] bool open_too_much() const;
  // A declined MCP call comes back as failed: this call is remembered as declined.
  void declined_mcp(std::string_view server, std::string_view tool);

  // Nobody answered the question about this call: it never ran.
  void never_released(const std::string& call_id) { never_released_.insert(call_id); }

  // The turn's last events: open calls are completed (declined when never released, else failed), then
  // agent.progress and agent.completed, or agent.error. `provider_event_type` is empty when no line of the
  // agent says it.
  void turn_ended(Outputs& out, const Outcome& outcome, const std::string& provider_event_type);

  // The last message of the agent and the type of its line; empty when there was none.
  [[nodiscard]] const std::string& response_text() const { return response_text_; }
  [[nodiscard]] const std::string& response_event_type() const { return response_event_type_; }

 private:
  void emit(Outputs& out, std::string type, const std::string& provider_event_type, json::object fields);
  void message(Outputs& out, const json::object& item);
  void tool_completed(Outputs& out, const json::object& item);
  void watch(Outputs& out, const json::object& item, const json::object& completion);

  std::string cwd_;
  std::size_t response_bytes_;
  std::map<std::string, json::array> open_;  // call id -> changes
  std::size_t open_bytes_ = 0;               // of the changes
  std::set<std::string> never_released_;
  std::multiset<std::string> declined_mcp_;  // "server.tool"
  std::string response_text_;
  std::string response_event_type_;
  int retries_ = 0;
  int plans_ = 0;
  policy::NoProgress no_progress_;
};

}  // namespace agentrouter::agents::codex
