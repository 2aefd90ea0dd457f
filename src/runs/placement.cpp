#include "runs/placement.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "runs/options.h"

namespace agentrouter::runs {

namespace {

constexpr std::size_t most_label_bytes = 64;
// What a server that is alone finds out at the start of a run.
constexpr std::array<std::string_view, 4> own_names{"runtime", "image", "isolation", "root"};

std::string root_of(const std::string& path, const std::vector<std::string>& roots) {
  std::string longest;
  for (const auto& root : roots) {
    const bool below = path == root || path.starts_with(root.ends_with('/') ? root : root + "/");
    if (below && root.size() > longest.size()) longest = root;
  }
  return longest.empty() ? path : longest;
}

template <class Text>
std::string plain_text(const Text& text) {
  return {text.data(), text.size()};
}

json::array to_array(const std::set<std::string>& values) {
  json::array all;
  for (const auto& value : values) all.emplace_back(value);
  return all;
}

}  // namespace

bool is_label_text(std::string_view text) {
  return !text.empty() && text.size() <= most_label_bytes && std::ranges::all_of(text, [](char c) {
    const char lower = base::ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

bool Offers::has(const std::string& name, const std::string& value) const {
  if (is_only_one && std::ranges::find(own_names, name) != own_names.end()) return true;
  const auto found = values.find(name);
  return found != values.end() && found->second.contains(value);
}

Needs Offers::missing(const Needs& needs) const {
  Needs lacks;
  for (const auto& [name, value] : needs) {
    if (!has(name, value)) lacks.emplace_back(name, value);
  }
  return lacks;
}

json::object Offers::to_json() const {
  json::object object;
  for (const auto& [name, all] : values) object[name] = to_array(all);
  return object;
}

Offers Offers::from_json(const json::object& object) {
  Offers offers;
  for (const auto& member : object) {
    auto& values = offers.values[plain_text(member.key())];
    const auto* list = member.value().if_array();
    for (const auto& value : list ? *list : json::array{}) {
      if (value.is_string()) values.insert(plain_text(value.get_string()));
    }
  }
  return offers;
}

Needs needs_of(const model::Run& run, const std::vector<std::string>& roots) {
  const auto options = options_of(run.input);
  Needs needs = options.requirements;
  needs.emplace_back("runtime", model::to_string(run.runtime.kind));
  if (!options.image.empty()) needs.emplace_back("image", options.image);
  if (options.isolation) needs.emplace_back("isolation", model::to_string(*options.isolation));
  if (run.workspace.kind == model::WorkspaceKind::path) needs.emplace_back("root", root_of(run.workspace.path, roots));
  std::ranges::sort(needs);
  const auto again = std::ranges::unique(needs);
  needs.erase(again.begin(), again.end());
  return needs;
}

std::string LaneKey::name() const {
  json::array list;
  for (const auto& [name, value] : needs) list.push_back(json::array{name, value});
  json::object key;
  if (!workspace.empty()) key["workspace"] = workspace;
  key["needs"] = std::move(list);
  return base::to_text(key);
}

LaneKey LaneKey::parse(std::string_view name) {
  LaneKey key;
  const auto value = base::parse_json(name);
  const auto* object = value ? value->if_object() : nullptr;
  if (object == nullptr) return key;
  key.workspace = base::get_string(*object, "workspace").value_or("");
  const auto* list = base::get_array(*object, "needs");
  for (const auto& item : list ? *list : json::array{}) {
    const auto* pair = item.if_array();
    if (pair == nullptr || pair->size() != 2 || !pair->at(0).is_string() || !pair->at(1).is_string()) continue;
    key.needs.emplace_back(plain_text(pair->at(0).get_string()), plain_text(pair->at(1).get_string()));
  }
  return key;
}

std::vector<std::string> lanes_to_pass(store::Reader& reader, const ClaimRules& rules) {
  const auto lanes = reader.lanes();
  std::vector<LaneKey> keys;
  std::map<std::string, std::int64_t> active;
  for (const auto& lane : lanes) {
    keys.push_back(LaneKey::parse(lane.name));
    active[keys.back().workspace] += lane.active;
  }
  std::vector<std::string> passed;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].queued == 0) continue;
    const bool full =
        rules.max_active_of_workspace > 0 && active[keys[i].workspace] >= rules.max_active_of_workspace;
    if (full || !rules.offers.missing(keys[i].needs).empty()) passed.push_back(lanes[i].name);
  }
  return passed;
}

}  // namespace agentrouter::runs
