#pragma once
// What the adapters have in common: agent.* events of bounded size, the tool calls that are open, so that
// each agent.tool_started gets exactly one agent.tool_completed however the turn ends, and the last message.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agents/session.h"
#include "agents/tool_call.h"
#include "policy/no_progress.h"

namespace agentrouter::agents {

class TurnLog {
 public:
  // `progress` and `hidden` as in TurnSpec.
  TurnLog(std::string provider, std::size_t response_bytes, policy::NoProgress* progress,
          const base::Redactor& hidden);

  // `line` is the providerEventType in all of these.
  void emit(Outputs& out, std::string type, const std::string& line, json::object fields) const;
  // agent.message; the text becomes the response. An empty text is no message.
  void message(Outputs& out, const std::string& line, std::string_view text);
  // The response is this text, which comes without a message of its own.
  void respond(const std::string& line, std::string_view text);

  // agent.tool_started and true, unless this call is open. `kept` is there until the call completes.
  bool tool_started(Outputs& out, const std::string& line, const ToolCall& call, json::value kept = nullptr);
  // Null when the call is not open.
  [[nodiscard]] const json::value* kept(const std::string& call_id) const;
  // The call is open no more. Nothing when it was not.
  std::optional<json::value> close(const std::string& call_id);
  // As one_line().
  [[nodiscard]] std::string line_of(std::string_view text) const;
  // More open calls, or more bytes kept for them, than an agent may make us remember.
  [[nodiscard]] bool open_too_much() const;
  // Nobody answered the question about this call: it never ran.
  void never_released(const std::string& call_id) { never_released_.insert(call_id); }

  // agent.no_progress when what comes is no progress.
  void finished(Outputs& out, const std::string& line, const policy::FinishedCall& call);
  // What a command that still runs has written.
  void running(Outputs& out, const std::string& line, std::string_view agent, std::string_view command,
               policy::NoProgress::Written so_far);
  // The call of a subagent has ended.
  void subagent_ended(const std::string& call_id) { progress_->forget(call_id); }

  // The turn's last events: open calls are completed (declined when never released, else failed), then
  // agent.progress and agent.completed, or agent.error.
  void turn_ended(Outputs& out, const Outcome& outcome, const std::string& line);

  [[nodiscard]] const std::string& response_text() const { return response_text_; }
  [[nodiscard]] const std::string& response_event_type() const { return response_event_type_; }

 private:
  struct Open {
    json::value kept;
    std::size_t bytes = 0;
  };
  void report(Outputs& out, const std::string& line, policy::NoProgress::Found signals) const;

  std::string provider_;
  std::size_t response_bytes_;
  std::map<std::string, Open> open_;
  std::size_t open_bytes_ = 0;
  std::set<std::string> never_released_;
  std::string response_text_;
  std::string response_event_type_;
  std::unique_ptr<policy::NoProgress> own_progress_;
  policy::NoProgress* progress_;
  const base::Redactor& hidden_;
};

}  // namespace agentrouter::agents
