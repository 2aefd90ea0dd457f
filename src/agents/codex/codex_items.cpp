#include "agents/codex/codex_items.h"

#include <algorithm>
#include <initializer_list>

#include "agents/payload.h"

namespace agentrouter::agents::codex {

namespace {

constexpr std::size_t max_changes_shown = 200;

void copy_if_set(const json::object& from, json::object& to, std::string_view key) {
  const auto* value = from.if_contains(key);
  if (value && !value->is_null()) to[key] = *value;
}

// "ls" rather than "/bin/bash -lc ls", when Codex could tell.
std::string shown_command(const json::object& item) {
  const auto* actions = base::get_array(item, "commandActions");
  if (actions && actions->size() == 1 && actions->front().is_object()) {
    if (auto command = text_of(actions->front().get_object(), "command"); !command.empty()) return command;
  }
  return text_of(item, "command");
}

ToolCall edit_call(const json::object& item, std::string_view cwd) {
  ToolCall call{.tool = "edit"};
  auto changes = changes_of(item, cwd, Diffs::with);
  call.title = paths_title(changes);
  call.args["changes"] = std::move(changes);
  return call;
}

ToolCall mcp_call(const json::object& item) {
  ToolCall call{.tool = "mcp", .title = text_of(item, "server") + "." + text_of(item, "tool")};
  for (const auto* key : {"server", "tool", "arguments"}) copy_if_set(item, call.args, key);
  return call;
}

ToolCall web_call(const json::object& item) {
  ToolCall call{.tool = "web", .title = "Web search"};
  if (const auto query = text_of(item, "query"); !query.empty()) call.title += ": " + query;
  for (const auto* key : {"query", "action"}) copy_if_set(item, call.args, key);
  return call;
}

ToolCall other_call(const json::object& item, std::string tool, std::initializer_list<const char*> keys) {
  ToolCall call{.tool = std::move(tool), .title = text_of(item, "tool")};
  if (call.title.empty()) call.title = text_of(item, "type");
  for (const auto* key : keys) copy_if_set(item, call.args, key);
  return call;
}

std::string mcp_output(const json::object& item) {
  if (const auto* error = base::get_object(item, "error")) return text_of(*error, "message");
  const auto* result = base::get_object(item, "result");
  const auto* content = result ? base::get_array(*result, "content") : nullptr;
  std::string output;
  for (const auto& part : content ? *content : json::array{}) {
    const auto* object = part.if_object();
    const auto text = object ? base::get_string(*object, "text") : std::nullopt;
    if (!text) continue;
    if (!output.empty()) output += "\n";
    output += *text;
  }
  return output;
}

// What the item says itself, else the time between its two stamps: some commands report 0.
std::optional<std::int64_t> duration_of(const json::object& item) {
  const auto said = base::get_int(item, "durationMs");
  if (said && *said > 0) return said;
  const auto start = base::get_int(item, "startedAtMs");
  const auto end = base::get_int(item, "completedAtMs");
  if (start && end && *start >= 0 && *end >= *start) return *end - *start;
  return said;
}

std::string status_of(const json::object& item) {
  const auto status = base::get_string(item, "status").value_or("completed");
  if (status == "declined" || status == "failed") return std::string(status);
  return base::get_bool(item, "success").value_or(true) ? "completed" : "failed";
}

}  // namespace

ToolCall shell_call(const json::object& params) {
  ToolCall call{.tool = "shell", .title = shown_command(params)};
  copy_if_set(params, call.args, "command");
  copy_if_set(params, call.args, "cwd");
  return call;
}

std::optional<ToolCall> tool_call_of(const json::object& item, std::string_view cwd) {
  const auto type = base::get_string(item, "type").value_or("");
  ToolCall call;
  if (type == "commandExecution")
    call = shell_call(item);
  else if (type == "fileChange")
    call = edit_call(item, cwd);
  else if (type == "mcpToolCall")
    call = mcp_call(item);
  else if (type == "webSearch")
    call = web_call(item);
  else if (type == "imageView")
    call = other_call(item, "read", {"path"});
  else if (type == "collabAgentToolCall")
    call = other_call(item, "subagent", {"tool", "prompt"});
  else if (type == "dynamicToolCall")
    call = other_call(item, "other", {"tool", "arguments"});
  else if (type == "imageGeneration" || type == "sleep")
    call = other_call(item, "other", {});
  else
    return std::nullopt;
  call.call_id = text_of(item, "id");
  return call;
}

json::object completion_of(const json::object& item, std::string_view cwd) {
  const auto type = base::get_string(item, "type").value_or("");
  json::object payload;
  payload["callId"] = text_of(item, "id");
  payload["status"] = status_of(item);
  if (const auto code = base::get_int(item, "exitCode")) payload["exitCode"] = *code;
  if (const auto duration = duration_of(item)) payload["durationMs"] = *duration;
  payload["output"] = type == "mcpToolCall" ? mcp_output(item) : text_of(item, "aggregatedOutput");
  if (type == "fileChange") {
    auto changes = changes_of(item, cwd, Diffs::without);
    if (changes.size() > max_changes_shown) {
      changes.resize(max_changes_shown);
      payload["changesTruncated"] = true;
    }
    payload["changes"] = std::move(changes);
  }
  return payload;
}

json::array changes_of(const json::object& item, std::string_view cwd, Diffs diffs) {
  json::array result;
  const auto* changes = base::get_array(item, "changes");
  for (const auto& entry : changes ? *changes : json::array{}) {
    const auto* change = entry.if_object();
    if (!change) continue;
    json::object shown;
    shown["path"] = relative_path(text_of(*change, "path"), cwd);
    const auto* kind = base::get_object(*change, "kind");
    shown["kind"] = kind ? text_of(*kind, "type") : text_of(*change, "kind");
    if (const auto target = kind ? text_of(*kind, "move_path") : ""; !target.empty()) {
      shown["movePath"] = relative_path(target, cwd);
    }
    if (diffs == Diffs::with) shown["diff"] = text_of(*change, "diff");
    result.push_back(std::move(shown));
  }
  return result;
}

std::string reasoning_summary(const json::object& item) {
  std::string summary;
  const auto* parts = base::get_array(item, "summary");
  for (const auto& part : parts ? *parts : json::array{}) {
    if (!part.is_string()) continue;
    if (!summary.empty()) summary += "\n\n";
    summary += std::string_view(part.get_string());
  }
  return summary;
}

std::string paths_title(const json::array& changes) {
  constexpr std::size_t named = 3;
  std::string title;
  for (std::size_t i = 0; i < std::min(named, changes.size()); ++i) {
    if (i > 0) title += ", ";
    title += text_of(changes[i].as_object(), "path");
  }
  if (changes.size() > named) title += " and " + std::to_string(changes.size() - named) + " more";
  return title;
}

}  // namespace agentrouter::agents::codex
