#include "egress/mcp_message.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

namespace agentrouter::egress {
namespace {

using Kind = McpMessage::Kind;

constexpr std::size_t max_depth = 100;
constexpr std::array<std::string_view, 7> looks{
    "initialize",     "server/discover",         "ping", "tools/list", "prompts/list",
    "resources/list", "resources/templates/list"};

// Where the string that begins at `at` ends; the text is valid JSON.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

bool is_key(std::string_view text, std::size_t after) {
  const auto next = text.find_first_not_of(" \t\r\n", after);
  return next != std::string_view::npos && text[next] == ':';
}

// Two members of one object with the same name: who reads it may see either. The text is valid JSON.
bool repeats_a_name(std::string_view text) {
  std::vector<std::set<std::string>> open;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '{' || c == '[') open.emplace_back();
    if (c == '}' || c == ']') open.pop_back();
    if (c != '"') {
      ++at;
      continue;
    }
    const auto end = end_of_string(text, at);
    if (is_key(text, end)) {
      const auto name = base::parse_json(text.substr(at, end - at), {.max_bytes = text.size() + 1});
      if (!name || open.empty() || !open.back().insert(std::string(name->as_string())).second) return true;
    }
    at = end;
  }
  return false;
}

// An answer to the server's own question, which only says that there is nothing, or what the folders are.
bool says_nothing(const json::object& message) {
  if (message.contains("error")) return true;
  const auto* result = base::get_object(message, "result");
  if (result == nullptr) return false;
  return std::ranges::all_of(*result, [](const auto& field) { return field.key() == "roots"; });
}

void read_call(McpMessage& read, const json::object& message) {
  static const json::object none;
  const auto* given = base::get_object(message, "params");
  const auto& params = given != nullptr ? *given : none;
  const auto* arguments = params.if_contains("arguments");
  if (arguments != nullptr && !arguments->is_null() && !arguments->is_object()) return;  // no call that the protocol has
  read.kind = Kind::tool_call;
  read.tool = base::get_string(params, "name").value_or("");
  read.arguments = arguments == nullptr || arguments->is_null() ? json::value(json::object()) : *arguments;
  read.plain = !read.tool.empty() && std::ranges::all_of(params, [](const auto& field) {
    return field.key() == "name" || field.key() == "arguments" || field.key() == "_meta";
  });
}

McpMessage read_object(const json::object& message) {
  McpMessage read;
  const auto* id = message.if_contains("id");
  if (id != nullptr && !id->is_null()) read.id = base::to_text(*id);
  const auto method = base::get_string(message, "method");
  if (!method) {
    read.method = "(response)";
    read.kind = says_nothing(message) ? Kind::keeps_up : Kind::other;
    read.id.clear();
    return read;
  }
  read.method = *method;
  const bool looks_only = std::ranges::find(looks, *method) != looks.end();
  const bool tells = read.id.empty() && method->starts_with("notifications/");
  if (looks_only || tells) read.kind = Kind::keeps_up;
  if (*method == "tools/call") read_call(read, message);
  return read;
}

}  // namespace

McpMessage read_mcp_message(std::string_view http_method, std::string_view body) {
  if (http_method != "POST") return {.kind = Kind::keeps_up};
  const auto parsed = base::parse_json(body, {.max_depth = max_depth, .max_bytes = body.size() + 1});
  if (!parsed || repeats_a_name(body)) return {.method = "(unreadable)"};
  if (parsed->is_array()) return {.method = "(batch)"};
  const auto* object = parsed->if_object();
  return object != nullptr ? read_object(*object) : McpMessage{.method = "(unreadable)"};
}

std::string mcp_error(const std::string& id, std::string_view message) {
  const json::object error{{"code", -32'000}, {"message", message}};
  // The id stands as the request wrote it.
  return R"({"jsonrpc":"2.0","id":)" + (id.empty() ? "null" : id) + R"(,"error":)" + base::to_text(error) +
         "}";
}

}  // namespace agentrouter::egress
