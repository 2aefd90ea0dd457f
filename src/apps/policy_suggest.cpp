#include "apps/policy_suggest.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/ascii.h"
#include "policy/command.h"
#include "policy/glob.h"

namespace agentrouter::apps {

namespace {

// What rules are grouped by: the key of the rule, and one pattern of it.
struct Decisions {
  bool approved = false;
  bool denied = false;
};
using Patterns = std::map<std::pair<std::string, std::string>, Decisions>;

// Programs whose second word says what they do.
bool has_subcommands(std::string_view program) {
  constexpr std::array<std::string_view, 14> programs{"git",    "npm",    "pnpm",  "yarn",   "cargo",
                                                      "go",     "docker", "pip",   "gradle", "mvn",
                                                      "dotnet", "apt",    "cmake", "kubectl"};
  return std::find(programs.begin(), programs.end(), program) != programs.end();
}

bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= 256 && text.find_first_of("*? \t\n\"\\") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

// "git push" of `git push origin`; nothing when a rule cannot say it.
std::string pattern_of(const policy::Command& command) {
  const auto& words = command.words;
  if (command.sight != policy::Sight::clear || !words[0].known || !is_plain(words[0].text)) return {};
  const bool more = has_subcommands(words[0].text) && words.size() > 1 && words[1].known &&
                    is_plain(words[1].text) && !words[1].text.starts_with('-');
  return words[0].text + (more ? " " + words[1].text : "");
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(0, slash) + "/**";
}

class Draft {
 public:
  void add(const DecidedAction& action) {
    approved_ = action.approved;
    const auto text = [&](std::string_view key) {
      return std::string(base::get_string(action.input, key).value_or(""));
    };
    if (action.tool == "shell") {
      add_script(text("command"));
    } else if (action.tool == "edit") {
      const auto* changes = base::get_array(action.input, "changes");
      for (const auto& change : changes ? *changes : json::array{}) {
        const auto* object = change.if_object();
        const auto path = object ? base::get_string(*object, "path") : std::nullopt;
        if (path) note("path", folder_of(policy::normal_path(*path, "/workspace")));
      }
    } else if (action.tool == "mcp") {
      note("mcp", text("server") + "." + text("tool"));
    } else if (const auto host = text("host"); !host.empty()) {
      note("host", base::ascii_lower(host));
    } else {
      left_out_.insert(action.tool);
    }
  }

  [[nodiscard]] std::string text() const {
    std::string out =
        "# Drafted from the decisions of a run: read it before it is used.\ninherit = \"ask-writes\"\n";
    for (const auto& what : left_out_) out += "# Left out: " + what + "\n";
    for (const auto& [pattern, decisions] : patterns_) {
      if (decisions.approved && decisions.denied) out += "# Decided both ways: " + pattern.second + "\n";
    }
    add_rules(out, "deny", false);
    add_rules(out, "allow", true);
    return out;
  }

 private:
  void add_script(const std::string& script) {
    const auto understood = policy::understand(script);
    if (understood.opaque) left_out_.insert("a script that is not understood");
    for (const auto& command : understood.commands) {
      if (command.inert) continue;
      const auto pattern = pattern_of(command);
      if (pattern.empty())
        left_out_.insert("a command that is not clear");
      else
        note("command", pattern);
    }
    for (const auto& file : understood.files) {
      if (file.writes && file.path.known && !file.cwd.empty())
        note("path", folder_of(policy::normal_path(file.path.text, file.cwd)));
    }
  }

  void note(const std::string& key, const std::string& pattern) {
    const auto last = key == "command" ? pattern.substr(pattern.find(' ') + 1) : pattern;
    const auto plain = key == "path" && last.ends_with("/**") ? last.substr(0, last.size() - 3) : last;
    if (!is_plain(plain)) {
      left_out_.insert("a name with odd characters");
      return;
    }
    auto& decisions = patterns_[{key, pattern}];
    (approved_ ? decisions.approved : decisions.denied) = true;
  }

  void add_rules(std::string& out, const char* verdict, bool approved) const {
    for (const auto* key : {"command", "path", "mcp", "host"}) {
      std::string list;
      for (const auto& [pattern, decisions] : patterns_) {
        const bool wanted =
            approved ? decisions.approved && !decisions.denied : decisions.denied && !decisions.approved;
        if (pattern.first == key && wanted)
          list += (list.empty() ? "" : ", ") + base::to_text(json::value(pattern.second));
      }
      if (list.empty()) continue;
      out += "\n[[rules]]\n";
      if (std::string_view(key) == "path") out += "tool = \"edit\"\n";
      out += std::string(key) + " = [" + list + "]\nverdict = \"" + verdict + "\"\n";
    }
  }

  Patterns patterns_;
  std::set<std::string> left_out_;
  bool approved_ = false;
};

}  // namespace

std::string draft_policy(const std::vector<DecidedAction>& actions) {
  Draft draft;
  for (const auto& action : actions) draft.add(action);
  return draft.text();
}

}  // namespace agentrouter::apps
