#include "agents/payload.h"

#include <string>
#include <vector>

#include "base/utf8.h"
#include "model/defaults.h"

namespace agentrouter::agents {

namespace {

constexpr std::size_t line_bytes = 200;

}  // namespace

void cap_fields(json::object& payload, const base::Redactor& hidden) {
  std::vector<std::string> cut;
  for (auto& member : payload) {
    auto* text = member.value().if_string();
    if (!text || text->size() <= model::defaults::event_field_bytes) continue;
    text->resize(hidden.cut({text->data(), text->size()}, model::defaults::event_field_bytes).size());
    text->shrink_to_fit();
    cut.push_back(std::string(member.key()) + "Truncated");
  }
  for (const auto& key : cut) payload[key] = true;
}

json::object bounded_args(json::object args, const base::Redactor& hidden) {
  auto text = base::to_text(args);
  if (text.size() <= 2 * model::defaults::event_field_bytes) return args;
  json::object preview;
  preview["preview"] = hidden.cut(text, model::defaults::event_field_bytes, base::Redactor::Text::json);
  preview["truncated"] = true;
  return preview;
}

std::string one_line(std::string_view text, const base::Redactor& hidden) {
  std::string line(hidden.cut(text, line_bytes));
  for (auto& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (line.size() < text.size()) line += "...";
  return line;
}

std::string short_key(std::string_view text) {
  return std::string(base::cut_utf8(text, line_bytes));
}

std::string relative_path(std::string_view path, std::string_view folder) {
  if (!folder.empty() && path.size() > folder.size() + 1 && path.starts_with(folder) &&
      path[folder.size()] == '/') {
    path.remove_prefix(folder.size() + 1);
  }
  return std::string(path);
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

const json::object& object_of(const json::object& object, std::string_view key) {
  static const json::object nothing;
  const auto* inner = base::get_object(object, key);
  return inner ? *inner : nothing;
}

namespace {

void strip_all(json::value& value, const std::function<void(json::object&)>& strip) {
  if (auto* array = value.if_array()) {
    for (auto& item : *array) strip_all(item, strip);
  }
  auto* object = value.if_object();
  if (!object) return;
  strip(*object);
  for (auto& member : *object) strip_all(member.value(), strip);
}

}  // namespace

std::string stripped_line(std::string_view line, const json::object& message,
                          const std::function<void(json::object&)>& strip) {
  json::value copy = message;
  strip_all(copy, strip);
  return copy == message ? std::string(line) : base::to_text(copy);
}

}  // namespace agentrouter::agents
