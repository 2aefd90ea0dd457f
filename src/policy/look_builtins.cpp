// Commands of the shell itself.

#include <algorithm>
#include <array>

#include "policy/look_through.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::array<string_view, 16> inert_builtins{
    ":",      "exit",   "return", "break", "continue", "shift",  "times",  "umask",
    "ulimit", "disown", "bg",     "fg",    "dirs",     "caller", "logout", "suspend"};
constexpr std::array<string_view, 14> shell_changers{"alias",    "unalias",  "enable",  "hash",     "bind",
                                                     "complete", "compgen",  "compopt", "fc",       "history",
                                                     "autoload", "zmodload", "emulate", "functions"};

std::string joined(const Words& words, std::size_t from) {
  std::string text;
  for (auto at = from; at < words.size(); ++at) text.append(at == from ? "" : " ").append(words[at].text);
  return text;
}

bool all_known(const Words& words, std::size_t from) {
  return std::all_of(words.begin() + static_cast<std::ptrdiff_t>(std::min(from, words.size())), words.end(),
                     [](const auto& word) { return word.known; });
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
    if (named && i + 1 < words.size()) fine = fine && words[++i].known && listed(words[i].text, names);
    if (!fine) look.hides("it changes how the shell reads what follows");
  }
  return look;
}

Look shell_options(const Words& words) {
  constexpr std::array<string_view, 8> fine{"-s",       "-u",      "-q",       "nullglob",
                                            "globstar", "dotglob", "failglob", "inherit_errexit"};
  Look look{.inert = true};
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!words[i].known || !listed(words[i].text, fine))
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

// What is no option of others than `letters`.
Look waiting(string_view name, const Words& words, string_view letters) {
  Look look{.inert = true};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    look.relies_on(words[i], "what " + std::string(name) + " does is only known when it runs");
    if (!words[i].known || !text.starts_with('-')) continue;
    if (text == "--") break;
    if (text.substr(1).find_first_not_of(letters) != string_view::npos)
      look.hides("what " + std::string(name) + " " + std::string(text) + " does is not understood");
  }
  return look;
}

}  // namespace

std::optional<Look> look_at_builtin(string_view name, const Words& words) {
  if (listed(name, inert_builtins)) return Look{.inert = true};
  if (name == "wait") return waiting(name, words, "fn");
  if (name == "jobs") return waiting(name, words, "lnprs");
  if (listed(name, shell_changers)) {
    Look look;
    look.hides(std::string(name) + " changes what other words mean");
    return look;
  }
  if (name == "set") return set_options(words);
  if (name == "shopt") return shell_options(words);
  if (name == "eval") return evaluated(words);
  if (name == "trap") return trapped(words);
  if (name == "cd" || name == "pushd" || name == "popd" || name == "chdir")
    return Look{.leaves_folder = true};
  if (name != "source" && name != ".") return std::nullopt;
  Look look;
  look.carries("it runs the script " + (words.size() > 1 ? words[1].text : "") + ", whose text is not seen");
  if (words.size() < 2 || !words[1].known) look.hides("which script is run is only known when it runs");
  return look;
}

}  // namespace agentrouter::policy
