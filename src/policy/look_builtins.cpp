// Commands of the shell itself.

#include <algorithm>
#include <array>

#include "policy/look_through.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

bool one_of(string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<string_view, 18> inert_builtins{
    ":",      "exit", "return", "break", "continue", "shift", "wait",   "times",  "umask",
    "ulimit", "jobs", "disown", "bg",    "fg",       "dirs",  "caller", "logout", "suspend"};
constexpr std::array<string_view, 14> shell_changers{"alias",    "unalias",  "enable",  "hash",     "bind",
                                                     "complete", "compgen",  "compopt", "fc",       "history",
                                                     "autoload", "zmodload", "emulate", "functions"};
constexpr std::array<string_view, 5> declarers{"export", "declare", "typeset", "local", "readonly"};

std::string joined(const Words& words, std::size_t from) {
  std::string text;
  for (auto at = from; at < words.size(); ++at) text.append(at == from ? "" : " ").append(words[at].text);
  return text;
}

bool all_known(const Words& words, std::size_t from) {
  return std::all_of(words.begin() + static_cast<std::ptrdiff_t>(std::min(from, words.size())), words.end(),
                     [](const auto& word) { return word.known; });
}

void set_variable(Look& look, const std::string& name, Word value) {
  if (!is_shell_name(name)) return look.hides("the name of a variable is not understood");
  look.sets.emplace_back(name, std::move(value));
}

// NAME or NAME=VALUE; an unknown word is fine as far as its name is known.
void declared(Look& look, const Word& word, bool exported) {
  const string_view text = word.known ? string_view(word.text) : string_view(word.prefix);
  auto name = text.substr(0, text.find('='));
  const bool has_value = name.size() < text.size();
  if (!word.known && !has_value) return look.hides("which variable is set is only known when it runs");
  if (name.ends_with('+')) name.remove_suffix(1);
  if (exported) look.exports.emplace_back(name);
  const Word value{word.known && has_value ? std::string(text.substr(text.find('=') + 1)) : word.text,
                   word.known};
  if (has_value) return set_variable(look, std::string(name), value);
  if (!is_shell_name(name) || rules_the_shell(name)) look.hides("it changes " + std::string(name));
}

Look declare(string_view builtin, const Words& words) {
  Look look{.inert = true};
  bool exported = builtin == "export";
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    if (words[i].known && text.size() > 1 && (text.front() == '-' || text.front() == '+')) {
      if (text.find_first_not_of("-+gxralpAt", 0) != string_view::npos)
        look.hides("what " + std::string(builtin) + " " + std::string(text) + " does is not understood");
      if (text.find('x') != string_view::npos) exported = true;
      continue;
    }
    declared(look, words[i], exported);
  }
  return look;
}

Look unset(const Words& words) {
  Look look{.inert = true};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    if (words[i].known && (text == "-v" || text == "-f")) continue;
    if (!words[i].known || !is_shell_name(text) || rules_the_shell(text))
      look.hides("which variable is taken away is not understood");
  }
  return look;
}

Look read_into(string_view name, const Words& words) {
  Look look{.inert = true};
  const bool lines = name != "read";
  const auto next = name == "getopts" ? std::optional<std::size_t>(2)
                    : lines           ? after_options(words, 1, {.flags = "t", .values = "dnOsu"})
                                      : after_options(words, 1, {.flags = "ers", .values = "adinNptu"});
  if (!next) {
    look.hides("how " + std::string(name) + " is called is not understood");
    return look;
  }
  const Word anything{"?", false};
  for (std::size_t i = 1; i + 1 < std::min(*next, words.size()); ++i) {
    if (words[i].text == "-a") set_variable(look, words[i + 1].text, anything);
  }
  for (auto i = *next; i < words.size(); ++i) {
    if (!words[i].known)
      look.hides("which variable is read is only known when it runs");
    else
      set_variable(look, words[i].text, anything);
    if (name == "getopts") break;
  }
  return look;
}

Look set_options(const Words& words) {
  constexpr std::array<string_view, 9> names{"pipefail", "errexit", "nounset", "xtrace",   "noglob",
                                             "errtrace", "verbose", "posix",   "noclobber"};
  Look look{.inert = true};
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!words[i].known) look.hides("which option of the shell is set is only known when it runs");
    string_view text = words[i].text;
    if (text == "--" || text == "-") break;
    if (text.size() < 2 || (text.front() != '-' && text.front() != '+')) break;
    text.remove_prefix(1);
    const bool named = text.ends_with('o');
    if (named) text.remove_suffix(1);
    bool fine = text.find_first_not_of("euxvfhCETb") == string_view::npos;
    if (named && i + 1 < words.size()) fine = fine && words[++i].known && one_of(words[i].text, names);
    if (!fine) look.hides("it changes how the shell reads what follows");
  }
  return look;
}

Look shell_options(const Words& words) {
  constexpr std::array<string_view, 8> fine{"-s",       "-u",      "-q",       "nullglob",
                                            "globstar", "dotglob", "failglob", "inherit_errexit"};
  Look look{.inert = true};
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!words[i].known || !one_of(words[i].text, fine))
      look.hides("it changes how the shell reads what follows");
  }
  return look;
}

Look evaluated(const Words& words) {
  Look look{.inert = true};
  if (all_known(words, 1))
    look.scripts.emplace_back(joined(words, 1), std::nullopt);
  else
    look.hides("what eval runs is only known when it runs");
  return look;
}

Look trapped(const Words& words) {
  Look look{.inert = true};
  const auto from = words.size() > 1 && words[1].text == "--" ? 2u : 1u;
  if (words.size() <= from) return look;
  const auto& script = words[from];
  if (!script.known)
    look.hides("what a trap runs is only known when it runs");
  else if (script.text != "-" && script.text != "-p" && script.text != "-l")
    look.scripts.emplace_back(script.text, std::nullopt);
  return look;
}

// `let` and the tests that look at variables by name.
Look reckoned(string_view name, const Words& words) {
  Look look{.inert = name == "let"};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const bool by_name = i + 1 < words.size() && (words[i].text == "-v" || words[i].text == "-R");
    if (by_name && !(words[i + 1].known && is_shell_name(words[i + 1].text)))
      look.hides("a test looks at a variable whose name may run something");
  }
  if (name == "let") look.hides("what let reckons may run something");
  return look;
}

Look printed(const Words& words) {
  Look look;
  const bool into = words.size() > 1 && words[1].text.starts_with("-v");
  if (words.size() > 1 && !words[1].known && words[1].prefix.empty())
    look.hides("which variable printf sets is only known when it runs");
  if (!into) return look;
  const auto name = words[1].text.size() > 2 ? words[1].text.substr(2)
                    : words.size() > 2       ? words[2].text
                                             : "";
  set_variable(look, name, Word{"?", false});
  return look;
}

}  // namespace

std::optional<Look> look_at_builtin(string_view name, const Words& words) {
  if (one_of(name, inert_builtins)) return Look{.inert = true};
  if (one_of(name, declarers)) return declare(name, words);
  if (one_of(name, shell_changers)) {
    Look look;
    look.hides(std::string(name) + " changes what other words mean");
    return look;
  }
  if (name == "unset") return unset(words);
  if (name == "read" || name == "mapfile" || name == "readarray" || name == "getopts")
    return read_into(name, words);
  if (name == "set") return set_options(words);
  if (name == "shopt") return shell_options(words);
  if (name == "eval") return evaluated(words);
  if (name == "trap") return trapped(words);
  if (name == "let" || name == "test" || name == "[") return reckoned(name, words);
  if (name == "printf") return printed(words);
  if (name == "cd" || name == "pushd" || name == "popd" || name == "chdir")
    return Look{.leaves_folder = true};
  if (name != "source" && name != ".") return std::nullopt;
  Look look;
  look.carries("it runs the script " + (words.size() > 1 ? words[1].text : "") + ", whose text is not seen");
  if (words.size() < 2 || !words[1].known) look.hides("which script is run is only known when it runs");
  return look;
}

}  // namespace agentrouter::policy
