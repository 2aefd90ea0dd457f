#include "agents/payload.h"

#include <string>
#include <vector>

#include "base/utf8.h"
#include "model/defaults.h"

namespace agentrouter::agents {

void cap_fields(json::object& payload) {
  std::vector<std::string> cut;
  for (auto& member : payload) {
    auto* text = member.value().if_string();
    if (!text || text->size() <= model::defaults::event_field_bytes) continue;
    text->resize(base::cut_utf8({text->data(), text->size()}, model::defaults::event_field_bytes).size());
    text->shrink_to_fit();
    cut.push_back(std::string(member.key()) + "Truncated");
  }
  for (const auto& key : cut) payload[key] = true;
}

json::object bounded_args(json::object args) {
  auto text = base::to_text(args);
  if (text.size() <= 2 * model::defaults::event_field_bytes) return args;
  json::object preview;
  preview["preview"] = base::cut_utf8(text, model::defaults::event_field_bytes);
  preview["truncated"] = true;
  return preview;
}

std::string one_line(std::string_view text) {
  constexpr std::size_t limit = 200;
  std::string line(base::cut_utf8(text, limit));
  for (auto& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (line.size() < text.size()) line += "...";
  return line;
}

}  // namespace agentrouter::agents
