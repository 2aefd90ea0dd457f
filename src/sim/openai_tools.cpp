#include "sim/openai_tools.h"

#include <algorithm>

namespace agentrouter::sim {

namespace {

using std::string_view;
using Kind = OfferedTool::Kind;

// How long a command may hold its call before the CLI reports it as running; the CLI's own limit.
constexpr int longest_yield_ms = 30'000;

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;

// Each line of `text` behind `mark`; a last line without an end is a line.
std::string marked_lines(char mark, string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out += mark;
    out += text.substr(0, end);
    out += '\n';
    text = end == string_view::npos ? string_view{} : text.substr(end + 1);
  }
  return out;
}

std::string patch(const std::string& body) {
  return "*** Begin Patch\n" + body + "*** End Patch\n";
}

std::string patch_of(const WriteFile& write) {
  return patch("*** Add File: " + write.path + "\n" + marked_lines('+', write.text));
}

std::string patch_of(const EditFile& edit) {
  return patch("*** Update File: " + edit.path + "\n@@\n" + marked_lines('-', edit.before) +
               marked_lines('+', edit.after));
}

std::string quoted_js(string_view text) {
  return base::to_text(json::value(json::string(text)));
}

class Chooser {
 public:
  explicit Chooser(const ResponsesRequest& request) : request_(request) {}

  [[nodiscard]] std::optional<ItemCall> shell(const std::string& command) const {
    if (offers("exec_command", Kind::function)) {
      return function("exec_command", {{"cmd", command}, {"yield_time_ms", longest_yield_ms}});
    }
    if (offers("shell_command", Kind::function)) return function("shell_command", {{"command", command}});
    if (!has_code_mode()) return std::nullopt;
    return code("const r = await tools.exec_command({cmd: " + quoted_js(command) +
                ", yield_time_ms: " + std::to_string(longest_yield_ms) + "}); text(r.output);");
  }

  [[nodiscard]] std::optional<ItemCall> patched(const std::string& text) const {
    if (offers("apply_patch", Kind::custom)) return ItemCall{Kind::custom, "apply_patch", "", text};
    if (offers("apply_patch", Kind::function)) return function("apply_patch", {{"input", text}});
    if (has_code_mode()) return code("text(await tools.apply_patch(" + quoted_js(text) + "));");
    return shell("apply_patch <<'EOF'\n" + text + "EOF");
  }

  [[nodiscard]] std::optional<ItemCall> mcp(const McpTool& call) const {
    const auto name_space = "mcp__" + call.server;
    const auto flat = name_space + "__" + call.tool;
    if (has_code_mode()) return code("text(await tools." + flat + "(" + call.arguments + "));");
    if (request_.find_tool(flat)) return ItemCall{Kind::function, flat, "", call.arguments};
    // With `tool_search`, a server's tools are callable without being listed.
    const auto& tools = request_.tools;
    const auto is_served = std::any_of(tools.begin(), tools.end(), [&](const auto& tool) {
      return tool.name_space == name_space || tool.name == "list_mcp_resources" || tool.name == "tool_search";
    });
    if (!is_served) return std::nullopt;
    return ItemCall{Kind::function, call.tool, name_space, call.arguments};
  }

  [[nodiscard]] ItemCall named(const NamedTool& call) const {
    const auto* tool = request_.find_tool(call.tool);
    if (!tool && has_code_mode()) return code("text(await tools." + call.tool + "(" + call.arguments + "));");
    if (!tool) return ItemCall{Kind::function, call.tool, "", call.arguments};
    if (tool->kind == Kind::function)
      return ItemCall{Kind::function, tool->name, tool->name_space, with_session(call)};
    // A free-form tool takes text: a JSON string gives its content.
    const auto value = base::parse_json(call.arguments);
    const auto text = value && value->is_string() ? std::string(value->get_string()) : call.arguments;
    return ItemCall{Kind::custom, tool->name, tool->name_space, text};
  }

 private:
  // What is typed without a session's name goes to the command that runs.
  [[nodiscard]] std::string with_session(const NamedTool& call) const {
    auto arguments = base::parse_json(call.arguments);
    auto* object = arguments ? arguments->if_object() : nullptr;
    if (call.tool != "write_stdin" || request_.running.empty() || !object) return call.arguments;
    object->emplace("session_id", request_.running.front());
    return base::to_text(*object);
  }
  [[nodiscard]] bool offers(string_view name, Kind kind) const {
    const auto* tool = request_.find_tool(name);
    return tool && tool->kind == kind;
  }
  [[nodiscard]] bool has_code_mode() const { return offers("exec", Kind::custom); }

  static ItemCall function(std::string name, json::object arguments) {
    return ItemCall{Kind::function, std::move(name), "", base::to_text(std::move(arguments))};
  }
  static ItemCall code(std::string script) { return ItemCall{Kind::custom, "exec", "", std::move(script)}; }

  const ResponsesRequest& request_;
};

}  // namespace

std::string shell_word(string_view text) {
  constexpr string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+,:@%";
  if (!text.empty() && text.front() != '-' && text.find_first_not_of(plain) == string_view::npos) {
    return std::string(text);
  }
  std::string out = text.starts_with('-') ? "'./" : "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::optional<ItemCall> choose_tool(const ToolCall& call, const ResponsesRequest& request) {
  const Chooser chooser(request);
  return std::visit(Match{[&](const Shell& step) { return chooser.shell(step.command); },
                          [&](const WriteFile& step) { return chooser.patched(patch_of(step)); },
                          [&](const EditFile& step) { return chooser.patched(patch_of(step)); },
                          [&](const ReadFile& step) { return chooser.shell("cat " + shell_word(step.path)); },
                          [&](const McpTool& step) { return chooser.mcp(step); },
                          [&](const NamedTool& step) { return std::optional(chooser.named(step)); }},
                    call);
}

ItemCall poll_running(std::int64_t session) {
  const json::object arguments{{"session_id", session}, {"chars", ""}, {"yield_time_ms", longest_yield_ms}};
  return ItemCall{Kind::function, "write_stdin", "", base::to_text(arguments)};
}

std::string no_tool_message(const ToolCall& call, const ResponsesRequest& request) {
  std::vector<std::string> names;
  for (const auto& tool : request.tools) names.push_back(tool.name);
  return no_tool_fits(call, names);
}

}  // namespace agentrouter::sim
