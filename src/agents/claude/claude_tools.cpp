#include "agents/claude/claude_tools.h"

#include <charconv>

#include "agents/payload.h"

namespace agentrouter::agents::claude {

namespace {

// Each line of `text` with `mark` before it.
std::string marked(std::string_view text, char mark) {
  std::string lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines += mark;
    lines += text.substr(0, end);
    lines += '\n';
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

json::object change_of(std::string path, std::string_view kind, std::string diff) {
  json::object change;
  change["path"] = std::move(path);
  change["kind"] = kind;
  change["diff"] = std::move(diff);
  return change;
}

ToolCall edit_call(std::string_view name, const json::object& input, std::string_view cwd) {
  const bool whole = name == "Write";
  const bool notebook = name == "NotebookEdit";
  const auto* path_key = notebook ? "notebook_path" : "file_path";
  ToolCall call{.tool = "edit", .title = relative_path(text_of(input, path_key), cwd)};
  auto diff = whole ? marked(text_of(input, "content"), '+')
              : notebook
                  ? marked(text_of(input, "new_source"), '+')
                  : marked(text_of(input, "old_string"), '-') + marked(text_of(input, "new_string"), '+');
  call.args["changes"] = json::array{change_of(call.title, whole ? "write" : "update", std::move(diff))};
  for (const auto& member : input) {
    const auto key = member.key();
    if (key != path_key && key != "content" && key != "new_source" && key != "old_string" &&
        key != "new_string") {
      call.args[key] = member.value();
    }
  }
  return call;
}

// mcp__SERVER__TOOL
std::optional<ToolCall> mcp_call(std::string_view name, const json::object& input) {
  constexpr std::string_view mark = "mcp__";
  if (!name.starts_with(mark)) return std::nullopt;
  name.remove_prefix(mark.size());
  const auto split = name.find("__");
  if (split == std::string_view::npos) return std::nullopt;
  const std::string server(name.substr(0, split));
  const std::string tool(name.substr(split + 2));
  ToolCall call{.tool = "mcp", .title = server + "." + tool};
  call.args = {{"server", server}, {"tool", tool}, {"arguments", input}};
  return call;
}

ToolCall web_call(std::string_view name, const json::object& input) {
  ToolCall call{.tool = "web", .title = name == "WebSearch" ? "Web search" : "Web page", .args = input};
  const auto subject = text_of(input, name == "WebSearch" ? "query" : "url");
  if (!subject.empty()) call.title += ": " + subject;
  return call;
}

json::object todo_item(const json::object& from, const char* text_key, std::string_view status) {
  json::object item;
  if (const auto id = text_of(from, "taskId"); !id.empty()) item["id"] = id;
  if (const auto text = text_of(from, text_key); !text.empty()) item["text"] = text;
  if (!status.empty()) item["status"] = status;
  return item;
}

// What a call says about the list, as [{id?, text?, status?}].
json::array todo_items(std::string_view name, const json::object& input) {
  json::array items;
  if (name == "TaskCreate") items.push_back(todo_item(input, "subject", "pending"));
  if (name == "TaskUpdate") items.push_back(todo_item(input, "subject", text_of(input, "status")));
  const auto* todos = name == "TodoWrite" ? base::get_array(input, "todos") : nullptr;
  for (const auto& entry : todos ? *todos : json::array{}) {
    if (const auto* todo = entry.if_object())
      items.push_back(todo_item(*todo, "content", text_of(*todo, "status")));
  }
  return items;
}

ToolCall todo_call(std::string_view name, const json::object& input) {
  ToolCall call{.tool = "todo", .title = "Update the plan", .args = input};
  if (auto items = todo_items(name, input); !items.empty()) call.args["items"] = std::move(items);
  if (const auto subject = text_of(input, "subject"); !subject.empty()) call.title += ": " + subject;
  if (name == "TaskList" || name == "TaskGet") call.title = "Look at the plan";
  return call;
}

ToolCall call_of(std::string_view name, const json::object& input, std::string_view cwd) {
  if (auto call = mcp_call(name, input)) return std::move(*call);
  if (name == "Bash") return {.tool = "shell", .title = text_of(input, "command"), .args = input};
  if (name == "Edit" || name == "Write" || name == "NotebookEdit") return edit_call(name, input, cwd);
  if (name == "Read")
    return {.tool = "read", .title = relative_path(text_of(input, "file_path"), cwd), .args = input};
  if (name == "WebSearch" || name == "WebFetch") return web_call(name, input);
  if (name == "Agent" || name == "Task")
    return {.tool = "subagent", .title = text_of(input, "description"), .args = input};
  if (name == "TodoWrite" || name == "TaskCreate" || name == "TaskUpdate" || name == "TaskList" ||
      name == "TaskGet")
    return todo_call(name, input);
  ToolCall call{.tool = "other", .title = std::string(name)};
  call.args = {{"tool", name}, {"arguments", input}};
  return call;
}

std::string text_of_content(const json::object& block) {
  const auto* content = block.if_contains("content");
  if (!content) return {};
  if (const auto* text = content->if_string()) return std::string(*text);
  std::string output;
  const auto* parts = content->if_array();
  for (const auto& part : parts ? *parts : json::array{}) {
    const auto* object = part.if_object();
    const auto text = object ? base::get_string(*object, "text") : std::nullopt;
    if (!text) continue;
    if (!output.empty()) output += "\n";
    output += *text;
  }
  return output;
}

// "Exit code 3\nout" -> 3, "out"
void take_exit_code(ToolEnd& end) {
  constexpr std::string_view mark = "Exit code ";
  if (!end.output.starts_with(mark)) return;
  const auto line_end = std::min(end.output.find('\n'), end.output.size());
  int code = 0;
  const auto* last = end.output.data() + line_end;
  const auto read = std::from_chars(end.output.data() + mark.size(), last, code);
  if (read.ec != std::errc() || read.ptr != last) return;
  end.exit_code = code;
  end.output.erase(0, line_end + 1);
}

void end_shell(ToolEnd& end, const json::object& result) {
  if (end.failed) return take_exit_code(end);
  end.exit_code = 0;
  // Of a long output it shows the begin.
  end.output_bytes = base::get_int(result, "persistedOutputSize").value_or(0);
  const auto stdout_text = base::get_string(result, "stdout");
  if (!stdout_text) return;
  end.output = *stdout_text;
  const auto stderr_text = text_of(result, "stderr");
  if (!end.output.empty() && !stderr_text.empty()) end.output += "\n";
  end.output += stderr_text;
}

void end_edit(ToolEnd& end, const ToolCall& call, const json::object& result) {
  const auto* changes = base::get_array(call.args, "changes");
  if (!changes || end.failed) return;
  end.changes = *changes;
  for (auto& change : end.changes) {
    auto& kind = change.as_object()["kind"];
    if (kind == "write") kind = text_of(result, "type") == "create" ? "add" : "update";
  }
}

// What the line says about this call besides its output.
const json::object& meta_of(const json::object& message, std::string_view id) {
  const auto* entries = base::get_array(message, "tool_result_meta");
  static const json::object nothing;
  if (!entries) return nothing;
  for (const auto& entry : *entries) {
    const auto* object = entry.if_object();
    if (object && base::get_string(*object, "id") == id) return *object;
  }
  return nothing;
}

}  // namespace

ToolCall tool_call_of(std::string_view name, const std::string& id, const json::object& input,
                      std::string_view cwd) {
  auto call = call_of(name, input, cwd);
  call.call_id = id;
  if (call.title.empty()) call.title = name;
  return call;
}

ToolEnd tool_end_of(const ToolCall& call, const json::object& block, const json::object& message) {
  ToolEnd end{.failed = base::get_bool(block, "is_error").value_or(false), .output = text_of_content(block)};
  const auto& meta = meta_of(message, call.call_id);
  end.declined = end.failed && (meta.contains("non_execution_kind") ||
                                text_of(object_of(meta, "permission_decision"), "decision") == "reject");
  const auto& result = object_of(message, "tool_use_result");
  if (call.tool == "shell") end_shell(end, result);
  if (call.tool == "edit") end_edit(end, call, result);
  return end;
}

}  // namespace agentrouter::agents::claude
