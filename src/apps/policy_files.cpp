#include "apps/policy_files.h"

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "base/file.h"
#include "base/log.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::Result;

constexpr std::size_t policy_file_bytes = 256u << 10;
constexpr std::size_t max_policy_files = 200;
constexpr std::size_t max_parents = 8;

tl::unexpected<base::Error> broken(const std::string& where, const std::string& what) {
  return base::fail(Code::invalid, where + ": " + what, "policy_invalid");
}

std::string at_line(const std::string& path, const toml::node& node) {
  return path + ":" + std::to_string(node.source().begin.line);
}

Result<json::value> json_of(const toml::node& node, const std::string& path);

Result<json::value> json_of_table(const toml::table& table, const std::string& path) {
  json::object object;
  for (const auto& [name, node] : table) {
    AGENTROUTER_TRY(auto value, json_of(node, path));
    object[std::string(name.str())] = std::move(value);
  }
  return json::value(std::move(object));
}

Result<json::value> json_of(const toml::node& node, const std::string& path) {
  if (const auto* text = node.as_string()) return json::value(text->get());
  if (const auto* number = node.as_integer()) return json::value(number->get());
  if (const auto* flag = node.as_boolean()) return json::value(flag->get());
  if (const auto* table = node.as_table()) return json_of_table(*table, path);
  const auto* list = node.as_array();
  if (!list)
    return broken(at_line(path, node), "want a text, a whole number, true or false, a list or a table");
  json::array array;
  for (const auto& item : *list) {
    AGENTROUTER_TRY(auto value, json_of(item, path));
    array.push_back(std::move(value));
  }
  return json::value(std::move(array));
}

std::vector<int> lines_of_rules(const toml::table& table, std::string_view key) {
  std::vector<int> lines;
  const auto* rules = table[key].as_array();
  for (std::size_t i = 0; rules && i < rules->size(); ++i)
    lines.push_back(static_cast<int>(rules->get(i)->source().begin.line));
  return lines;
}

// Takes `key` out of the document.
std::optional<json::value> taken(json::object& document, std::string_view key) {
  const auto found = document.find(key);
  if (found == document.end()) return std::nullopt;
  json::value value = found->value();
  document.erase(found);
  return value;
}

Result<PolicyFile> policy_file_of(const toml::table& table, const std::string& path) {
  PolicyFile file{.name = std::filesystem::path(path).stem().string(), .path = path};
  if (!policy::is_policy_name(file.name))
    return broken(path, "the file's name is the policy's: want 1 to 64 of a-z 0-9 - _ before .toml");
  if (policy::preset(file.name))
    return broken(path, "\"" + file.name + "\" is a policy that is always there: want another name");
  AGENTROUTER_TRY(auto value, json_of_table(table, path));
  file.document = std::move(value.get_object());
  file.rule_lines = lines_of_rules(table, "rules");
  file.egress_lines = lines_of_rules(table, "egress");
  const auto inherit = taken(file.document, "inherit");
  if (inherit && !inherit->is_string()) return broken(path + ": inherit", "want the name of a policy");
  if (inherit) file.inherits = inherit->get_string();
  auto tests = taken(file.document, "tests");
  if (tests && !tests->is_array()) return broken(path + ": tests", "want [[tests]] tables");
  if (tests) file.tests = std::move(tests->get_array());
  const auto name = taken(file.document, "name");
  if (name && *name != json::value(file.name))
    return broken(path + ": name",
                  "the file's name is the policy's: leave it out or want \"" + file.name + "\"");
  file.document["name"] = file.name;
  return file;
}

// "rule 3 (x).path: ..." of a file with its line before it.
std::string with_place(const PolicyFile& file, const std::string& message) {
  for (const auto& [words, lines] : {std::pair(std::string_view("rule "), &file.rule_lines),
                                     std::pair(std::string_view("egress rule "), &file.egress_lines)}) {
    if (!message.starts_with(words)) continue;
    const auto number = static_cast<std::size_t>(std::strtoul(message.c_str() + words.size(), nullptr, 10));
    if (number > 0 && number <= lines->size())
      return file.path + ":" + std::to_string((*lines)[number - 1]) + ": " + message;
  }
  return file.path + ": " + message;
}

}  // namespace

std::string print_policy_config(const PolicyConfig& config) {
  const auto text = [](const std::string& value) { return base::to_text(json::value(value)); };
  std::string out = "\n[policy]\ndir = " + text(config.dir) + "\ndefault = " + text(config.fallback) + "\n";
  if (!config.callers) return out + "# callers: all policies\n";
  std::string names;
  for (const auto& name : *config.callers) names += (names.empty() ? "" : ", ") + text(name);
  return out + "callers = [" + names + "]\n";
}

Result<PolicyFile> parse_policy_file(std::string_view text, const std::string& path) {
  try {
    return policy_file_of(toml::parse(text, path), path);
  } catch (const toml::parse_error& error) {
    return broken(path + ":" + std::to_string(error.source().begin.line), std::string(error.description()));
  }
}

Result<PolicyFile> read_policy_file(const std::filesystem::path& path) {
  AGENTROUTER_TRY(const auto text, base::read_file(path, policy_file_bytes));
  return parse_policy_file(text, path.string());
}

const PolicyFile* PolicySet::file(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : &found->second;
}

Result<json::object> PolicySet::document(const std::string& name, std::vector<std::string>& children) const {
  const auto* own = file(name);
  if (!own) {
    if (const auto* preset = policy::preset(name)) return preset->document();
    return broken(children.empty() ? name : file(children.back())->path + ": inherit",
                  "there is no policy \"" + name + "\"");
  }
  const bool again = std::find(children.begin(), children.end(), name) != children.end();
  children.push_back(name);
  if (again || children.size() > max_parents) {
    std::string circle;
    for (const auto& child : children) circle += (circle.empty() ? "" : " -> ") + child;
    return broken(own->path + ": inherit", (again ? "a circle: " : "too many parents: ") + circle);
  }
  if (own->inherits.empty()) return own->document;
  AGENTROUTER_TRY(const auto parent, document(own->inherits, children));
  return policy::inherited(own->document, parent);
}

Result<policy::Rules> PolicySet::rules(const std::string& name) const {
  std::vector<std::string> children;
  AGENTROUTER_TRY(const auto whole, document(name, children));
  auto rules = policy::Rules::parse(whole);
  const auto* own = file(name);
  if (!rules && own)
    return base::fail(Code::invalid, with_place(*own, rules.error().message), "policy_invalid");
  return rules;
}

Result<std::vector<std::filesystem::path>> list_policy_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const auto& path = entries->path();
    const bool hidden = path.filename().string().starts_with('.');
    if (path.extension() == ".toml" && !hidden && paths.size() < max_policy_files) paths.push_back(path);
  }
  if (error)
    return base::fail(Code::not_found,
                      "cannot read the policies in " + folder.string() + ": " + error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<PolicyCatalog> PolicyCatalog::open(const PolicyConfig& config, const std::filesystem::path& data) {
  PolicyCatalog catalog;
  catalog.config_ = config;
  std::error_code error;
  if (!config.dir.empty())
    catalog.folder_ = config.dir;
  else if (std::filesystem::is_directory(data / "policies", error))
    catalog.folder_ = data / "policies";
  if (!catalog.folder_.empty()) {
    if (auto listed = list_policy_files(catalog.folder_); !listed) return tl::unexpected(listed.error());
  }
  catalog.stamp_ = catalog.stamp();
  if (const auto errors = catalog.load(); !errors.empty())
    return base::fail(Code::invalid, errors.begin()->second, "policy_invalid");
  auto wanted = config.callers.value_or(std::vector<std::string>());
  if (!config.fallback.empty()) wanted.push_back(config.fallback);
  for (const auto& name : wanted) {
    if (!catalog.find(name))
      return base::fail(Code::invalid,
                        "policy: there is no policy \"" + name + "\" in " +
                            (catalog.folder_.empty() ? "this server" : catalog.folder_.string()),
                        "usage");
  }
  return catalog;
}

PolicyCatalog::Stamp PolicyCatalog::stamp() const {
  Stamp stamp;
  if (folder_.empty()) return stamp;
  const auto paths = list_policy_files(folder_);
  if (!paths) return stamp_;
  for (const auto& path : *paths) {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(path, error);
    const auto size = error ? 0 : std::filesystem::file_size(path, error);
    stamp[path.string()] = {time, size};
  }
  return stamp;
}

std::map<std::string, std::string> PolicyCatalog::load() {
  std::map<std::string, std::string> errors;
  std::map<std::string, policy::Rules> now;
  PolicySet set;
  for (const auto& [path, written] : stamp_) {
    if (auto file = read_policy_file(path))
      set.add(std::move(*file));
    else
      errors[path] = file.error().message;
  }
  for (const auto& [path, written] : stamp_) {
    const auto name = std::filesystem::path(path).stem().string();
    auto rules = errors.contains(path) ? Result<policy::Rules>(broken(path, "broken")) : set.rules(name);
    if (rules) {
      now.emplace(name, std::move(*rules));
      continue;
    }
    errors.try_emplace(path, rules.error().message);
    if (const auto before = rules_.find(name); before != rules_.end()) now.emplace(name, before->second);
  }
  rules_ = std::move(now);
  return errors;
}

void PolicyCatalog::refresh() {
  auto now = stamp();
  if (now == stamp_) return;
  stamp_ = std::move(now);
  for (const auto& [path, message] : load())
    base::log(base::LogLevel::error, "a policy is broken, what it said before counts", {{"error", message}});
  base::log(base::LogLevel::info, "policies were read again", {{"policies", rules_.size()}});
  if (listener_) listener_();
}

const policy::Rules* PolicyCatalog::find(const std::string& name) const {
  const auto found = rules_.find(name);
  return found == rules_.end() ? policy::preset(name) : &found->second;
}

bool PolicyCatalog::may_name(const std::string& name) const {
  return !config_.callers ||
         std::find(config_.callers->begin(), config_.callers->end(), name) != config_.callers->end();
}

std::vector<std::string> PolicyCatalog::names() {
  refresh();
  if (config_.callers) return *config_.callers;
  auto names = policy::preset_names();
  for (const auto& entry : rules_) names.push_back(entry.first);
  std::sort(names.begin(), names.end());
  return names;
}

base::Result<std::optional<policy::Rules>> PolicyCatalog::rules_for(std::string_view name) {
  refresh();
  std::optional<policy::Rules> rules;
  if (!config_.fallback.empty()) {
    const auto* server = find(config_.fallback);
    if (!server)
      return base::fail(Code::unavailable, "the server's own policy \"" + config_.fallback + "\" is gone",
                        "policy_unknown");
    rules = *server;
  }
  if (name.empty()) return rules;
  const auto* caller = may_name(std::string(name)) ? find(std::string(name)) : nullptr;
  if (!caller) {
    json::array known;
    for (const auto& one : names()) known.emplace_back(one);
    return base::fail(Code::invalid, "this server has no policy \"" + std::string(name) + "\" for requests",
                      "policy_unknown",
                      base::to_text(json::object{{"name", name}, {"known", std::move(known)}}));
  }
  return std::optional(rules ? policy::tightened(*rules, *caller) : *caller);
}

}  // namespace agentrouter::apps
