#include "egress/tool_filter.h"

#include <algorithm>

namespace agentrouter::egress {
namespace {

constexpr std::size_t max_filter_depth = 200;
constexpr const char* unreadable = "(unreadable)";

bool is_among(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](std::string_view one) {
    if (!one.ends_with('*')) return one == name;
    one.remove_suffix(1);
    return name.starts_with(one);
  });
}

std::string_view text_at(const json::object& object, std::string_view key) {
  return base::get_string(object, key).value_or("");
}

// {"type": "function", "name": ...}; what the provider itself does has a type and no name.
std::string_view name_of_tool(const json::object& tool) {
  const auto name = text_at(tool, "name");
  return name.empty() ? text_at(tool, "type") : name;
}

bool filter_tools(const ToolRules& rules, json::array& tools);

// A group of tools is named itself (mcp__server), or is only a frame for others.
bool may_offer(const ToolRules& rules, json::value& value, bool& changed) {
  auto* tool = value.if_object();
  if (tool == nullptr) return false;
  if (is_among(rules.names, name_of_tool(*tool))) return true;
  auto* inner = text_at(*tool, "type") == "namespace" ? tool->if_contains("tools") : nullptr;
  if (inner == nullptr || !inner->is_array()) return false;
  changed = filter_tools(rules, inner->get_array()) || changed;
  return !inner->get_array().empty();
}

// Whether some were taken away.
bool filter_tools(const ToolRules& rules, json::array& tools) {
  bool changed = false;
  json::array kept;
  for (auto& tool : tools) {
    if (may_offer(rules, tool, changed))
      kept.push_back(std::move(tool));
    else
      changed = true;
  }
  tools = std::move(kept);
  return changed;
}

bool filter_member(const ToolRules& rules, json::object& object) {
  auto* tools = object.if_contains("tools");
  return tools != nullptr && tools->is_array() && filter_tools(rules, tools->get_array());
}

// "function_call", "custom_tool_call", "tool_use"... and what a provider does by itself: "web_search_call".
bool is_call(std::string_view type) {
  return type.ends_with("_call") || type.ends_with("tool_use");
}

// The tool that an item of an answer names; "" for what is no call.
std::string_view called_by(const json::object& item) {
  auto type = text_at(item, "type");
  if (!is_call(type)) return "";
  const auto group = text_at(item, "namespace");
  if (group.starts_with("mcp__")) return group;
  if (const auto name = text_at(item, "name"); !name.empty()) return name;
  if (type.ends_with("_call")) type.remove_suffix(std::string_view("_call").size());
  return type.empty() ? unreadable : type;
}

// Text for a program that runs already.
bool types(const json::object& item) {
  const auto given = item.contains("arguments") ? text_at(item, "arguments") : text_at(item, "input");
  if (given.empty()) return false;
  const auto arguments =
      base::parse_json(given, {.max_depth = max_filter_depth, .max_bytes = given.size() + 1});
  if (!arguments || !arguments->is_object()) return true;
  const auto* chars = arguments->get_object().if_contains("chars");
  return chars != nullptr && !chars->is_null() && *chars != json::value("");
}

std::string forbidden_call(const ToolRules& rules, const json::value* value) {
  const auto* item = value == nullptr ? nullptr : value->if_object();
  const auto name = item == nullptr ? "" : called_by(*item);
  if (name.empty()) return {};
  const bool allowed = is_among(rules.names, name) && !(is_among(rules.wait_only, name) && types(*item));
  return allowed ? std::string() : std::string(name);
}

std::string forbidden_among(const ToolRules& rules, const json::object& object, std::string_view key) {
  const auto* items = base::get_array(object, key);
  for (const auto& item : items != nullptr ? *items : json::array{}) {
    if (auto name = forbidden_call(rules, &item); !name.empty()) return name;
  }
  return {};
}

// Where items stand: in an event `item` or `content_block`; in a document `output` or `content`, also inside
// of `response` or `message`.
std::string forbidden_in(const ToolRules& rules, const json::object& object) {
  for (const auto* key : {"item", "content_block"}) {
    if (auto name = forbidden_call(rules, object.if_contains(key)); !name.empty()) return name;
  }
  for (const auto* key : {"output", "content"}) {
    if (auto name = forbidden_among(rules, object, key); !name.empty()) return name;
  }
  for (const auto* key : {"response", "message"}) {
    const auto* inner = base::get_object(object, key);
    if (inner == nullptr) continue;
    if (auto name = forbidden_in(rules, *inner); !name.empty()) return name;
  }
  return {};
}

}  // namespace

base::Result<std::string> offer_only(const ToolRules& rules, std::string body) {
  AGENTROUTER_TRY(auto value,
                  base::parse_json(body, {.max_depth = max_filter_depth, .max_bytes = body.size() + 1}));
  auto* request = value.if_object();
  if (request == nullptr)
    return base::fail(base::Code::invalid, "a request to a model provider is a JSON object");
  bool changed = filter_member(rules, *request);
  // Codex offers more with items of the conversation.
  auto* input = request->if_contains("input");
  if (input != nullptr && input->is_array()) {
    for (auto& item : input->get_array()) {
      if (auto* object = item.if_object()) changed = filter_member(rules, *object) || changed;
    }
  }
  return changed ? base::to_text(value) : std::move(body);
}

bool CallGuard::feed(std::string_view bytes, std::string& out) {
  if (!called_.empty()) return false;
  held_ += bytes;
  if (format_ == Format::events) {
    const auto passed = take_lines();
    out.append(held_, 0, passed);
    held_.erase(0, passed);
    if (!called_.empty()) return false;
    const bool open_pair = held_.ends_with('\r');
    searched_ = held_.size() - (open_pair ? 1 : 0);
  }
  if (held_.size() > held_bytes) called_ = unreadable;
  return called_.empty();
}

bool CallGuard::finish(std::string& out) {
  if (!called_.empty()) return false;
  if (format_ == Format::document && !held_.empty() && !take_document(held_)) return false;
  if (format_ == Format::events && !take_line(held_.substr(0, held_.find_last_not_of('\r') + 1)))
    return false;
  out += held_;
  held_.clear();
  return true;
}

// How much of what is held are whole lines. A line ends with CR, LF or both.
std::size_t CallGuard::take_lines() {
  std::size_t passed = 0;
  for (auto end = held_.find_first_of("\r\n", searched_); end != std::string::npos;
       end = held_.find_first_of("\r\n", passed)) {
    const bool pair_may_follow = held_[end] == '\r' && end + 1 == held_.size();
    if (pair_may_follow || !take_line(std::string_view(held_).substr(passed, end - passed))) break;
    passed = end + (held_.compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return passed;
}

// An event's data ends with an empty line, but a reader might take it for whole earlier: each line counts,
// and so do all together.
bool CallGuard::take_line(std::string_view line) {
  if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  if (line.empty()) {
    data_.clear();
    return true;
  }
  if (!line.starts_with("data:")) return true;
  line.remove_prefix(5);
  data_ += line;
  if (data_.size() > held_bytes) called_ = unreadable;
  return called_.empty() && take_document(data_);
}

// What is no JSON object calls nothing: no agent could read it.
bool CallGuard::take_document(std::string_view text) {
  const auto value = base::parse_json(text, {.max_depth = max_filter_depth, .max_bytes = text.size() + 1});
  const auto* object = value ? value->if_object() : nullptr;
  if (object != nullptr) called_ = forbidden_in(*rules_, *object);
  return called_.empty();
}

}  // namespace agentrouter::egress
