#include "agents/claude/claude_events.h"

#include <utility>

#include "agents/claude/claude_failure.h"
#include "agents/payload.h"

namespace agentrouter::agents::claude {

namespace {

constexpr std::size_t max_changes_shown = 200;

const json::array& content_of(const json::object& line) {
  static const json::array nothing;
  const auto* content = base::get_array(object_of(line, "message"), "content");
  return content ? *content : nothing;
}

json::object completion_of(const ToolCall& call, const ToolEnd& end, bool declined) {
  json::object payload;
  payload["callId"] = call.call_id;
  payload["status"] = declined ? "declined" : end.failed ? "failed" : "completed";
  if (end.exit_code && !declined) payload["exitCode"] = *end.exit_code;
  payload["output"] = end.output;
  if (call.tool != "edit") return payload;
  json::array changes;
  for (const auto& change : end.changes) {
    if (changes.size() == max_changes_shown) break;
    auto shown = change.as_object();
    shown.erase("diff");
    changes.push_back(std::move(shown));
  }
  payload["changes"] = std::move(changes);
  return payload;
}

}  // namespace

void TurnEvents::session_started(Outputs& out, std::string_view session) {
  log_.emit(out, "agent.started", "system", {{"threadId", session}, {"sessionId", session}});
  log_.emit(out, "agent.progress", "system", {{"summary", "Turn started"}});
}

void TurnEvents::status(Outputs& out, std::string_view subtype, const json::object& line) {
  if (subtype == "api_retry") {
    log_.emit(out, "agent.retry", "system", retry_of(line, ++retries_));
  } else if (subtype == "compact_boundary") {
    log_.emit(out, "agent.progress", "system", {{"summary", "Context compacted"}});
  }
}

bool TurnEvents::assistant(Outputs& out, const json::object& line) {
  const bool own = text_of(line, "parent_tool_use_id").empty();
  // What the CLI says itself, in the place of a model: an error of the provider.
  const bool synthetic = text_of(object_of(line, "message"), "model") == "<synthetic>";
  if (synthetic) error_word_ = short_key(text_of(line, "error"));
  for (const auto& entry : content_of(line)) {
    const auto* block = entry.if_object();
    const auto type = block ? base::get_string(*block, "type").value_or("") : "";
    if (type == "text" && own && !synthetic) log_.message(out, "assistant", text_of(*block, "text"));
    if (type != "tool_use") continue;
    const auto id = text_of(*block, "id");
    const auto name = text_of(*block, "name");
    if (id.empty() || name.empty()) return false;
    call_seen(out, name, id, object_of(*block, "input"), text_of(line, "parent_tool_use_id"));
  }
  return true;
}

ToolCall TurnEvents::asked(Outputs& out, std::string_view name, const std::string& call_id,
                           const json::object& input) {
  return call_seen(out, name, call_id, input, {});
}

ToolCall TurnEvents::call_seen(Outputs& out, std::string_view name, const std::string& call_id,
                               const json::object& input, std::string parent) {
  auto call = tool_call_of(name, call_id, input, cwd_);
  call.parent_call_id = std::move(parent);
  log_.tool_started(out, "assistant", call, {{"name", name}, {"input", input}});
  return call;
}

bool TurnEvents::user(Outputs& out, const json::object& line) {
  for (const auto& entry : content_of(line)) {
    const auto* block = entry.if_object();
    if (!block || base::get_string(*block, "type") != "tool_result") continue;
    if (!tool_result(out, *block, line)) return false;
  }
  return true;
}

bool TurnEvents::tool_result(Outputs& out, const json::object& block, const json::object& line) {
  const auto id = text_of(block, "tool_use_id");
  const auto kept = log_.close(id);
  if (!kept) return true;
  const auto& told = kept->as_object();
  const auto call = tool_call_of(text_of(told, "name"), id, object_of(told, "input"), cwd_);
  const auto end = tool_end_of(call, block, line);
  const bool released = released_.erase(id) > 0;
  // The CLI calls a command that it killed rejected; one that was released did begin.
  const bool declined = declined_.erase(id) > 0 || (end.declined && !released);
  log_.emit(out, "agent.tool_completed", "user", completion_of(call, end, declined && end.failed));
  const bool ran = !end.failed || end.exit_code;
  if (ran && !released) return false;
  if (call.tool == "subagent") log_.subagent_ended(id);
  if (!(declined && end.failed)) watch(out, call, end, text_of(line, "parent_tool_use_id"));
  return true;
}

void TurnEvents::watch(Outputs& out, const ToolCall& call, const ToolEnd& end, const std::string& parent) {
  const bool shell = call.tool == "shell";
  const auto command = shell ? text_of(call.args, "command") : std::string();
  const auto input = shell ? std::string() : base::to_canonical(call.args);
  policy::FinishedCall finished{.agent = parent,
                                .tool = call.tool,
                                .title = call.title,
                                .command = command,
                                .input = input,
                                .failed = end.failed,
                                .exit_code = end.exit_code,
                                .output = end.output,
                                .output_bytes = end.output_bytes};
  for (const auto& entry : end.changes) {
    const auto& change = entry.as_object();
    finished.changes.push_back({text_of(change, "path"), text_of(change, "kind"), text_of(change, "diff")});
  }
  log_.finished(out, "user", finished);
}

}  // namespace agentrouter::agents::claude
