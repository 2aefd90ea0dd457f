#include "policy/look_through.h"

#include <algorithm>
#include <array>

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::array<string_view, 3> posix_shells{"sh", "dash", "ash"};
constexpr std::array<string_view, 8> strange_shells{"zsh",  "ksh", "mksh", "rbash",
                                                    "fish", "csh", "tcsh", "pwsh"};

bool listed(string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// From behind the options of a shell: what it runs.
struct ShellCall {
  bool understood = true;
  bool has_script = false;
  bool reads_input = false;
  std::size_t next = 1;
};

ShellCall shell_call(const Words& words) {
  constexpr string_view letters = "lceuxfhBCETvs";
  constexpr std::array<string_view, 5> longs{"--login", "--norc", "--noprofile", "--posix", "--noediting"};
  ShellCall call;
  for (; call.next < words.size(); ++call.next) {
    const auto& word = words[call.next];
    if (!word.known) return {.understood = false};
    const string_view text = word.text;
    if (text == "-" || text == "--") {
      ++call.next;
      break;
    }
    if (listed(text, longs)) continue;
    if (text.size() < 2 || (text[0] != '-' && text[0] != '+')) break;
    auto flags = text.substr(1);
    const bool named = flags.ends_with('o');
    if (named) flags.remove_suffix(1);
    if (flags.find_first_not_of(letters) != string_view::npos) return {.understood = false};
    if (flags.find('c') != string_view::npos) call.has_script = true;
    if (flags.find('s') != string_view::npos) call.reads_input = true;
    if (!named) continue;
    constexpr std::array<string_view, 5> options{"pipefail", "errexit", "nounset", "xtrace", "noglob"};
    if (++call.next >= words.size() || !listed(words[call.next].text, options)) return {.understood = false};
  }
  return call;
}

}  // namespace

void Look::carries(std::string why) {
  if (sight == Sight::clear) doubt = std::move(why);
  sight = std::max(sight, Sight::carries);
}

void Look::hides(std::string why) {
  if (sight != Sight::opaque) doubt = std::move(why);
  sight = Sight::opaque;
}

std::optional<string_view> known_name(const Word& program) {
  const string_view text = program.text;
  if (!program.known) return std::nullopt;
  if (text.find('/') == string_view::npos) return text;
  for (const string_view folder : {"/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/", "/usr/sbin/"}) {
    if (!text.starts_with(folder)) continue;
    const auto name = text.substr(folder.size());
    if (!name.empty() && name.find('/') == string_view::npos) return name;
  }
  return std::nullopt;
}

std::optional<Look> look_at_shell(string_view name, const Words& words, const CommandInput& input) {
  const bool posix = listed(name, posix_shells);
  if (!posix && name != "bash" && !listed(name, strange_shells)) return std::nullopt;
  const auto dialect = posix ? Dialect::posix : Dialect::bash;
  const std::string shell(name);
  Look look{.inert = true};
  if (listed(name, strange_shells)) look.hides(shell + " reads commands in its own way");
  const auto call = shell_call(words);
  if (!call.understood) {
    look.hides("how " + shell + " is started is not understood");
  } else if (call.has_script) {
    const auto* script = call.next < words.size() ? &words[call.next] : nullptr;
    if (script && script->known)
      look.scripts.emplace_back(script->text, dialect);
    else
      look.hides("what " + shell + " runs is only known when it runs");
  } else if (call.next < words.size() && !call.reads_input) {
    const auto& file = words[call.next];
    if (!file.known) look.hides("what " + shell + " runs is only known when it runs");
    look.inert = false;
    look.carries("it runs the script " + file.text + ", whose text is not seen");
  } else if (input.given && input.text) {
    look.scripts.emplace_back(*input.text, dialect);
  } else {
    look.hides(shell + " runs what it is sent");
  }
  return look;
}

Look look_at(const Words& words, const CommandInput& input) {
  const auto name = known_name(words.front());
  if (!name) {
    Look look;
    look.carries("it runs the program file " + words.front().text);
    return look;
  }
  if (auto look = look_at_builtin(*name, words)) return std::move(*look);
  if (auto look = look_at_starter(*name, words)) return std::move(*look);
  if (auto look = look_at_shell(*name, words, input)) return std::move(*look);
  if (auto look = look_at_carrier(*name, words)) return std::move(*look);
  return {};
}

std::optional<std::size_t> after_options(const Words& words, std::size_t from, const OptionTable& table) {
  for (auto at = from; at < words.size(); ++at) {
    const string_view text = words[at].text;
    if (!words[at].known) {
      if (words[at].prefix.empty() || words[at].prefix.front() == '-') return std::nullopt;
      return at;
    }
    if (text == "--") return at + 1;
    if (text.size() < 2 || text.front() != '-') return at;
    if (text.starts_with("--")) {
      const auto equals = text.find('=');
      const auto name = text.substr(2, equals == string_view::npos ? equals : equals - 2);
      const bool takes = listed(name, table.long_values);
      if (!takes && !(equals == string_view::npos && listed(name, table.long_flags))) return std::nullopt;
      if (takes && equals == string_view::npos) ++at;
      continue;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (table.flags.find(text[i]) != string_view::npos) continue;
      if (table.values.find(text[i]) == string_view::npos) return std::nullopt;
      if (i + 1 == text.size()) ++at;
      break;
    }
  }
  return words.size();
}

}  // namespace agentrouter::policy
