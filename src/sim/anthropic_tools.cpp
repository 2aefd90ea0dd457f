#include "sim/anthropic_tools.h"

namespace agentrouter::sim {

namespace {

using std::string_view;

// The CLI's own limit for a command in the foreground.
constexpr int longest_command_ms = 600'000;

class ToolUseChooser {
 public:
  explicit ToolUseChooser(const MessagesRequest& request) : request_(request) {}

  [[nodiscard]] std::optional<ToolUse> operator()(const Shell& step) const {
    return offered("Bash", {{"command", step.command},
                            {"timeout", longest_command_ms},
                            {"description", "Run a command of the script"}});
  }
  [[nodiscard]] std::optional<ToolUse> operator()(const WriteFile& step) const {
    auto text = step.text;
    if (!text.empty() && text.back() != '\n') text += '\n';
    return offered("Write", {{"file_path", absolute(step.path)}, {"content", text}});
  }
  [[nodiscard]] std::optional<ToolUse> operator()(const EditFile& step) const {
    return offered(
        "Edit",
        {{"file_path", absolute(step.path)}, {"old_string", step.before}, {"new_string", step.after}});
  }
  [[nodiscard]] std::optional<ToolUse> operator()(const ReadFile& step) const {
    return offered("Read", {{"file_path", absolute(step.path)}});
  }
  [[nodiscard]] std::optional<ToolUse> operator()(const McpTool& step) const {
    const auto name = "mcp__" + step.server + "__" + step.tool;
    // With `ToolSearch`, a server's tools are callable without being listed.
    if (!request_.offers(name) && !request_.offers("ToolSearch")) return std::nullopt;
    return as_written(name, step.arguments);
  }
  [[nodiscard]] std::optional<ToolUse> operator()(const NamedTool& step) const {
    return as_written(step.tool, step.arguments);
  }

 private:
  [[nodiscard]] std::optional<ToolUse> offered(string_view name, json::object input) const {
    if (!request_.offers(name)) return std::nullopt;
    return ToolUse{.name = std::string(name), .input = std::move(input)};
  }

  static std::optional<ToolUse> as_written(const std::string& name, const std::string& arguments) {
    const auto value = base::parse_json(arguments);
    if (!value || !value->is_object()) return std::nullopt;
    return ToolUse{.name = name, .input = value->get_object()};
  }

  [[nodiscard]] std::string absolute(const std::string& path) const {
    if (path.starts_with('/') || request_.directory.empty()) return path;
    return request_.directory + (request_.directory.ends_with('/') ? "" : "/") + path;
  }

  const MessagesRequest& request_;
};

}  // namespace

std::optional<ToolUse> choose_tool_use(const ToolCall& call, const MessagesRequest& request) {
  return std::visit(ToolUseChooser(request), call);
}

ToolUse read_first(string_view path) {
  return ToolUse{.part = ToolUse::Part::preparing, .name = "Read", .input = {{"file_path", path}}};
}

}  // namespace agentrouter::sim
