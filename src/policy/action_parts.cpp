#include "policy/action_parts.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "policy/glob.h"
#include "policy/shell_syntax.h"

namespace agentrouter::policy {

namespace {

constexpr std::string_view parts_workspace = "/workspace";
constexpr std::size_t max_path_bytes = 4'096;
constexpr const char* odd_path = "the name of a file is no plain text";
constexpr std::array<std::string_view, 6> no_files{"/dev/null",  "/dev/stdout", "/dev/stderr",
                                                   "/dev/stdin", "/dev/tty",    "/dev/zero"};

std::string text_at(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

Part doubtful(std::string doubt) {
  Part part;
  part.sight = Sight::opaque;
  part.doubt = std::move(doubt);
  return part;
}

bool is_no_file(const std::string& path) {
  return std::find(no_files.begin(), no_files.end(), path) != no_files.end();
}

bool is_odd_path(const std::string& path) {
  return path.size() > max_path_bytes || path.find('\n') != std::string::npos || hides_text(path);
}

std::optional<Part> part_of(const FileUse& file) {
  Part part{.kind = file.writes ? PartKind::write : PartKind::read, .redirected = true};
  const bool absolute = file.path.text.starts_with('/');
  if (file.path.known && !is_odd_path(file.path.text) && (absolute || !file.cwd.empty())) {
    part.path = Word{normal_path(file.path.text, file.cwd)};
    if (is_no_file(part.path->text)) return std::nullopt;
  } else {
    part.path = Word{file.path.text, false};
  }
  const auto& path = part.path->text;
  if (part.path->known && (path.starts_with("/dev/tcp/") || path.starts_with("/dev/udp/"))) {
    part.sight = Sight::opaque;
    part.doubt = "a redirection opens a network connection";
  }
  return part;
}

void add_script(Action& action, const std::string& script, const std::string& cwd) {
  auto understood = understand(script, cwd);
  for (auto& command : understood.commands) {
    Part part{.kind = PartKind::command, .cwd = cwd, .sight = command.sight, .doubt = command.doubt};
    part.command = std::move(command);
    action.parts.push_back(std::move(part));
  }
  // A script that does nothing else is asked about as any other.
  const bool idle =
      understood.files.empty() && std::all_of(action.parts.begin(), action.parts.end(),
                                              [](const auto& part) { return part.command->inert; });
  for (auto& part : action.parts) part.command->inert = part.command->inert && !idle;
  for (const auto& file : understood.files) {
    if (auto part = part_of(file)) action.parts.push_back(std::move(*part));
  }
  if (understood.opaque) action.parts.push_back(doubtful(understood.doubt));
}

std::string cwd_of(const json::object& args) {
  const auto cwd = text_at(args, "cwd");
  return cwd.starts_with('/') ? cwd : std::string(parts_workspace);
}

void add_shell(Action& action) {
  const auto& args = action.facts.args;
  if (const auto command = base::get_string(args, "command"))
    add_script(action, std::string(*command), cwd_of(args));
  if (base::get_object(args, "networkApprovalContext")) action.parts.emplace_back();
}

std::int64_t lines_of(std::string_view text) {
  return std::count(text.begin(), text.end(), '\n') + (text.empty() || text.ends_with('\n') ? 0 : 1);
}

void add_change(Action& action, const json::value& value) {
  const auto* change = value.if_object();
  const auto path = change ? text_at(*change, "path") : "";
  if (path.empty()) return action.parts.push_back(doubtful("a change names no file"));
  if (is_odd_path(path)) return action.parts.push_back(doubtful(odd_path));
  Part part{.kind = PartKind::write};
  part.path = Word{normal_path(path, cwd_of(action.facts.args))};
  part.change = text_at(*change, "kind");
  action.parts.push_back(std::move(part));
  if (const auto to = text_at(*change, "movePath"); !to.empty()) {
    if (is_odd_path(to)) return action.parts.push_back(doubtful(odd_path));
    Part moved{.kind = PartKind::write, .change = "add"};
    moved.path = Word{normal_path(to, cwd_of(action.facts.args))};
    action.parts.push_back(std::move(moved));
  }
  const auto diff = base::get_string(*change, "diff");
  if (!diff) action.sizes.reset();
  if (!action.sizes) return;
  action.sizes->lines += lines_of(*diff);
  action.sizes->bytes += static_cast<std::int64_t>(diff->size());
  action.sizes->files += 1;
}

void add_edit(Action& action) {
  action.sizes.emplace();
  const auto* changes = base::get_array(action.facts.args, "changes");
  for (const auto& change : changes ? *changes : json::array{}) add_change(action, change);
  if (action.facts.args.contains("grantRoot"))
    action.parts.push_back(doubtful("it asks for more than this change: a whole folder to write to"));
}

void add_read(Action& action) {
  auto path = text_at(action.facts.args, "file_path");
  if (path.empty()) path = text_at(action.facts.args, "path");
  if (is_odd_path(path)) return action.parts.push_back(doubtful(odd_path));
  Part part{.kind = PartKind::read};
  if (!path.empty()) part.path = Word{normal_path(path, cwd_of(action.facts.args))};
  action.parts.push_back(std::move(part));
}

// "https://user@Host:443/path?query"
void take_url(Action& action, std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return;
  url.remove_prefix(scheme + 3);
  const auto end = std::min(url.find_first_of("/?#\\"), url.size());
  auto host = url.substr(0, end);
  if (const auto at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  if (!host.starts_with('[')) host = host.substr(0, host.find(':'));
  auto path = url.substr(end);
  path = path.substr(0, path.find_first_of("?#"));
  action.host = base::ascii_lower(host);
  action.url_path = path.empty() ? "/" : std::string(path);
}

void take_network(Action& action) {
  const auto& args = action.facts.args;
  const auto* context = base::get_object(args, "networkApprovalContext");
  const bool network = action.facts.tool == "network";
  if (action.facts.tool == "web") take_url(action, text_at(args, "url"));
  if (network) action.host = base::ascii_lower(text_at(args, "host"));
  if (action.facts.tool == "shell" && context) action.host = base::ascii_lower(text_at(*context, "host"));
  while (action.host.ends_with('.')) action.host.pop_back();
  if (const auto path = text_at(args, "path"); network && !path.empty())
    action.url_path = path.substr(0, path.find_first_of("?#"));
  action.method = text_at(args, "method");
  for (char& c : action.method) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

}  // namespace

std::string Part::title(std::string_view tool) const {
  if (command) return (command->inert ? "starts " : "runs ") + to_text(*command);
  if (path) return (kind == PartKind::write ? "writes " : "reads ") + path->text;
  if (sight == Sight::opaque) return "holds something that is not understood";
  return "is of the tool " + std::string(tool);
}

Action take_apart(const ActionFacts& facts) {
  Action action{.facts = facts};
  if (facts.tool == "shell") add_shell(action);
  if (facts.tool == "edit") add_edit(action);
  if (facts.tool == "read") add_read(action);
  if (facts.tool == "web" || facts.tool == "network" || facts.tool == "shell") take_network(action);
  const bool calls = facts.tool == "mcp" || (facts.tool == "network" && facts.args.contains("tool"));
  if (calls) action.mcp = text_at(facts.args, "server") + "." + text_at(facts.args, "tool");
  if (!action.parts.empty()) return action;
  if (facts.tool == "shell" || facts.tool == "edit")
    action.parts.push_back(doubtful("it does not say what it would do"));
  else
    action.parts.emplace_back();
  return action;
}

}  // namespace agentrouter::policy
