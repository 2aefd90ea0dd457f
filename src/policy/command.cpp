#include "policy/command.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "policy/glob.h"
#include "policy/look_through.h"
#include "policy/shell_syntax.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::size_t bytes_factor = 4;
constexpr std::size_t max_words = 20'000;

// What changes how a program speaks, not what it does.
bool is_harmless_export(string_view name) {
  constexpr std::array<string_view, 20> names{"LANG",
                                              "LANGUAGE",
                                              "TZ",
                                              "CI",
                                              "NO_COLOR",
                                              "FORCE_COLOR",
                                              "CLICOLOR",
                                              "TERM",
                                              "COLUMNS",
                                              "LINES",
                                              "COLORTERM",
                                              "NODE_ENV",
                                              "RUST_BACKTRACE",
                                              "PYTHONUNBUFFERED",
                                              "DEBIAN_FRONTEND",
                                              "PYTHONDONTWRITEBYTECODE",
                                              "GIT_TERMINAL_PROMPT",
                                              "GIT_OPTIONAL_LOCKS",
                                              "DEBUG",
                                              "VERBOSE"};
  return name.starts_with("LC_") || std::find(names.begin(), names.end(), name) != names.end();
}

void add_exports(std::vector<std::string>& exports, const std::vector<std::string>& more) {
  for (const auto& name : more) {
    if (!is_harmless_export(name) && std::find(exports.begin(), exports.end(), name) == exports.end())
      exports.push_back(name);
  }
}

// `export NAME=$X`: what it sets is one word, if the shell sees that it sets something.
bool is_declaration(const SimpleCommand& command) {
  constexpr std::array<string_view, 5> names{"export", "declare", "typeset", "local", "readonly"};
  const auto& program = command.words.front();
  return program.plain && std::find(names.begin(), names.end(), program.word.text) != names.end();
}

bool is_array_of_the_shell(string_view name) {
  constexpr std::array<string_view, 8> names{"DIRSTACK", "PIPESTATUS", "FUNCNAME",   "GROUPS",
                                             "MAPFILE",  "COPROC",     "COMP_WORDS", "COMPREPLY"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Understanding {
 public:
  Understanding(ScriptLimits limits, string_view cwd) : cwd_(cwd) {
    syntax_.limits = limits;
    syntax_.bytes_left = limits.bytes * bytes_factor;
  }

  Script of(string_view script) {
    read_script(script, Dialect::bash, syntax_);
    // Grows by the scripts within scripts.
    for (std::size_t i = 0; i < syntax_.commands.size(); ++i) {
      const auto command = syntax_.commands[i];
      simple(command);
    }
    check_variables();
    place_files();
    find_fresh_programs();
    script_.opaque = !syntax_.doubt.empty();
    script_.doubt = syntax_.doubt;
    return std::move(script_);
  }

 private:
  void simple(const SimpleCommand& command) {
    for (const auto& file : command.files) script_.files.push_back(file);
    auto exports = command.exports;
    std::vector<std::string> own;
    for (const auto& set : command.assignments) {
      own.push_back(set.name);
      if (command.words.empty())
        assign(set.name, set.value);
      else
        syntax_.assigned(set.name, set.value);
    }
    if (command.words.empty()) return;
    add_exports(exports, own);
    Words words;
    const bool declares = is_declaration(command);
    for (const auto& word : command.words) {
      words.push_back(word.word);
      if (!declares || word.word.known || word.name.empty() || word.splits) continue;
      words.back().many = false;
      if (words.back().prefix.empty()) words.back().prefix = word.name + "=";
    }
    CommandInput input{.given = !command.documents.empty(), .text = {}};
    if (input.given && !command.mixes_input) input.text = syntax_.documents[command.documents.back()];
    dialect_ = command.dialect;
    start(std::move(words), exports, input, 0);
  }

  void start(Words words, const std::vector<std::string>& exports, const CommandInput& input,
             std::size_t depth) {
    words_ += words.size();
    if (depth > syntax_.limits.depth || script_.commands.size() >= syntax_.limits.commands ||
        words_ > max_words)
      return syntax_.doubts("it holds too many commands");
    Command command{.words = std::move(words), .exports = exports};
    const auto& program = command.words.front();
    Look look;
    if (!program.known)
      look.hides("which program runs is only known when it runs");
    else if (program.text.empty() || hides_text(program.text) || program.text.find('\n') != std::string::npos)
      look.hides("the name of the program is no plain text");
    else
      look = look_at(command.words, input);
    command.inert = look.inert;
    command.sight = look.sight;
    command.doubt = look.doubt;
    if (look.leaves_folder) leave(command.words);
    script_.commands.push_back(std::move(command));
    for (const auto& [name, value] : look.sets) assign(name, value);
    syntax_.arrays.insert(look.arrays.begin(), look.arrays.end());
    scalars_.insert(look.scalars.begin(), look.scalars.end());
    relied_.insert(look.relies.begin(), look.relies.end());
    if (look.starts.empty() && look.scripts.empty()) add_exports(exported_, look.exports);
    // What a started shell finds in its environment are its variables.
    for (const auto& name : look.exports) {
      if (!look.starts.empty()) syntax_.assigned(name, Word{"?", false});
    }
    auto inner = exports;
    add_exports(inner, look.exports);
    for (auto& started : look.starts) start(std::move(started), inner, input, depth + 1);
    for (const auto& [text, dialect] : look.scripts) read_inner(text, dialect.value_or(dialect_), inner);
  }

  void read_inner(const std::string& text, Dialect dialect, const std::vector<std::string>& exports) {
    const auto first = syntax_.commands.size();
    read_script(text, dialect, syntax_);
    syntax_.nests = true;
    for (auto i = first; i < syntax_.commands.size(); ++i) syntax_.commands[i].exports = exports;
  }

  void assign(const std::string& name, const Word& value) {
    if (rules_the_shell(name)) syntax_.doubts("it sets " + name + ", which changes what follows");
    syntax_.assigned(name, value);
  }

  void check_variables() {
    for (const auto& name : syntax_.reckoned) {
      const auto found = syntax_.variables.find(name);
      if (found == syntax_.variables.end() || !found->second.numbers)
        syntax_.doubts("it reckons with " + name + ", whose value is not known");
    }
    for (const auto& name : relied_) {
      if (!syntax_.is_plain(name)) syntax_.doubts("what " + name + " holds may change what is done");
    }
    for (const auto& name : scalars_) {
      if (syntax_.arrays.contains(name) || is_array_of_the_shell(name))
        syntax_.doubts("what the array " + name + " is given may run something");
    }
    for (auto& command : script_.commands) add_exports(command.exports, exported_);
  }

  void leave(const Words& words) {
    ++leavings_;
    const bool plain = words.size() == 2 && words[0].text == "cd" && words[1].known &&
                       !words[1].text.empty() && words[1].text.front() != '-';
    folder_ = plain ? words[1].text : "";
  }

  // Relative paths are known when no folder was left, or when all of the script is one chain of && behind one
  // cd.
  void place_files() {
    auto cwd = cwd_;
    if (leavings_ > 0) {
      const auto& all = syntax_.commands;
      const bool chain = !syntax_.nests && std::all_of(all.begin(), all.end() - 1, [](const auto& command) {
        return command.decides_next;
      });
      const bool first = !script_.commands.empty() && script_.commands.front().words.front().text == "cd";
      const bool known = leavings_ == 1 && chain && first && !folder_.empty();
      cwd = known ? normal_absolute(normal_path(folder_, cwd_)) : "";
    }
    for (auto& file : script_.files) file.cwd = cwd;
  }

  // Which command writes which file; what is no command's own comes from redirections.
  [[nodiscard]] std::multimap<std::string, std::size_t> written_files() const {
    constexpr std::array<string_view, 11> writers{"tee", "cp",    "mv",   "ln",   "install", "chmod",
                                                  "dd",  "touch", "curl", "wget", "sed"};
    std::multimap<std::string, std::size_t> written;
    for (const auto& file : script_.files) {
      if (file.writes && file.path.known)
        written.emplace(normal_path(file.path.text, cwd_), std::string::npos);
    }
    for (std::size_t at = 0; at < script_.commands.size(); ++at) {
      const auto& words = script_.commands[at].words;
      const auto name = known_name(words.front());
      if (!name || std::find(writers.begin(), writers.end(), *name) == writers.end()) continue;
      for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i].known) written.emplace(normal_path(words[i].text, cwd_), at);
      }
    }
    return written;
  }

  // A program or script that another command of the same text writes is not known, whatever it is called.
  void find_fresh_programs() {
    const auto written = written_files();
    if (written.empty()) return;
    for (std::size_t at = 0; at < script_.commands.size(); ++at) {
      auto& command = script_.commands[at];
      if (command.sight != Sight::carries) continue;
      for (const auto& word : command.words) {
        if (!word.known) continue;
        // The first and the last that write it: one of them is another command, if any is.
        const auto [first, end] = written.equal_range(normal_path(word.text, cwd_));
        if (first == end || (first->second == at && std::prev(end)->second == at)) continue;
        command.sight = Sight::opaque;
        command.doubt = "it runs " + word.text + ", which it has just written";
        break;
      }
    }
  }

  Syntax syntax_;
  Dialect dialect_ = Dialect::bash;  // of the command that is looked at
  Script script_;
  std::string cwd_;
  std::string folder_;
  std::size_t leavings_ = 0;
  std::size_t words_ = 0;
  std::vector<std::string> exported_;
  std::set<std::string> relied_;
  std::set<std::string> scalars_;
};

std::string shown(const Word& word) {
  constexpr string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:=@%,";
  const bool quotes =
      word.known && (word.text.empty() || word.text.find_first_not_of(plain) != std::string::npos);
  std::string text;
  for (const char c : word.text) {
    constexpr string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      text.append("\\x") += {digits[byte >> 4], digits[byte & 15]};
    else
      text += c;
  }
  return quotes ? "'" + text + "'" : text;
}

}  // namespace

Script understand(string_view script, string_view cwd, ScriptLimits limits) {
  // How Codex shows its commands; the bash around them is its own.
  const auto words = plain_words(script);
  const bool wrapped = words && words->size() == 3 && known_name({words->front()}) == "bash" &&
                       ((*words)[1] == "-lc" || (*words)[1] == "-c");
  if (wrapped) return Understanding(limits, cwd).of((*words)[2]);
  return Understanding(limits, cwd).of(script);
}

std::optional<std::vector<std::string>> plain_words(string_view line) {
  Syntax syntax;
  syntax.bytes_left = syntax.limits.bytes * bytes_factor;
  read_script(line, Dialect::bash, syntax);
  if (!syntax.doubt.empty() || syntax.commands.size() != 1) return std::nullopt;
  const auto& command = syntax.commands.front();
  if (!command.assignments.empty() || !command.files.empty() || !command.documents.empty())
    return std::nullopt;
  std::vector<std::string> words;
  for (const auto& word : command.words) {
    if (!word.word.known) return std::nullopt;
    words.push_back(word.word.text);
  }
  return words;
}

std::string to_text(const Command& command) {
  std::string text;
  for (const auto& word : command.words) text.append(text.empty() ? "" : " ").append(shown(word));
  return text;
}

}  // namespace agentrouter::policy
