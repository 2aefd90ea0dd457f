#include "policy/look_through.h"

#include <algorithm>
#include <array>

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::array<string_view, 3> posix_shells{"sh", "dash", "ash"};
constexpr std::array<string_view, 21> strange_shells{
    "zsh",   "ksh",  "mksh",   "rbash", "fish",  "csh", "tcsh", "pwsh", "yash",        "lksh",      "posh",
    "ksh93", "oksh", "elvish", "nu",    "xonsh", "osh", "sash", "hush", "bash-static", "zsh-static"};

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

bool may_be_option(const Word& word) {
  return !word.known && (word.prefix.empty() || word.prefix.front() == '-');
}

std::optional<Mixed> variables_in(string_view text) {
  Mixed mixed;
  while (true) {
    const auto at = std::min(text.find_first_of("$`"), text.size());
    mixed.rest += text.substr(0, at);
    if (at == text.size()) return mixed;
    if (text[at] == '`') return std::nullopt;
    const bool braces = text.substr(at).starts_with("${");
    text.remove_prefix(at + (braces ? 2 : 1));
    const auto length = name_length(text);
    if (length == 0) return std::nullopt;
    const auto name = text.substr(0, length);
    text.remove_prefix(length);
    mixed.rest += 'n';
    if (braces && (text.starts_with('+') || text.starts_with(":+"))) {
      const auto end = std::min(text.find('}'), text.size());
      mixed.rest += text.substr(0, end);
      text.remove_prefix(end);
    } else {
      mixed.names.emplace_back(name);
    }
    if (!braces) continue;
    if (text.starts_with("[@]")) text.remove_prefix(3);
    if (!text.starts_with('}')) return std::nullopt;
    text.remove_prefix(1);
  }
}

void Look::relies_on(const Word& word, string_view why) {
  if (!may_be_option(word) || makes_numbers(word)) return;
  string_view text = word.text;
  if (text.size() > 1 && text.starts_with('"') && text.ends_with('"')) text = text.substr(1, text.size() - 2);
  const auto mixed = variables_in(text);
  // A variable may be empty.
  if (!mixed || !is_plain_text(mixed->rest) || mixed->rest.find('-') != std::string::npos)
    return hides(std::string(why));
  relies.insert(relies.end(), mixed->names.begin(), mixed->names.end());
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
  if (auto look = look_at_setter(*name, words)) return std::move(*look);
  if (auto look = look_at_starter(*name, words)) return std::move(*look);
  if (auto look = look_at_shell(*name, words, input)) return std::move(*look);
  if (auto look = look_at_carrier(*name, words)) return std::move(*look);
  return {};
}

namespace {

// One word of options. False when it is not understood; `at` goes on to the word that is its value.
bool read_long(const Words& words, std::size_t& at, const OptionTable& table, Options& options) {
  const string_view text = words[at].text;
  const auto equals = std::min(text.find('='), text.size());
  Option option{.name = text.substr(2, equals - 2)};
  const bool takes = listed(option.name, table.long_values);
  if (equals < text.size()) {
    if (!takes && !listed(option.name, table.long_glued)) return false;
    option.value = Word{std::string(text.substr(equals + 1))};
  } else if (takes) {
    if (++at >= words.size() || words[at].many) return false;
    option.value = words[at];
  } else if (!listed(option.name, table.long_flags) && !listed(option.name, table.long_glued)) {
    return false;
  }
  options.given.push_back(std::move(option));
  return true;
}

bool read_letters(const Words& words, std::size_t& at, const OptionTable& table, Options& options) {
  const string_view text = words[at].text;
  for (std::size_t i = 1; i < text.size(); ++i) {
    Option option{.name = text.substr(i, 1)};
    const auto has = [&](string_view letters) { return letters.find(text[i]) != string_view::npos; };
    const bool takes = has(table.values);
    if (!takes && !has(table.flags) && !has(table.glued)) return false;
    const bool ends = takes || has(table.glued);
    if (ends && i + 1 < text.size()) {
      option.value = Word{std::string(text.substr(i + 1))};
    } else if (takes) {
      if (++at >= words.size() || words[at].many) return false;
      option.value = words[at];
    }
    options.given.push_back(std::move(option));
    if (ends) break;
  }
  return true;
}

}  // namespace

std::optional<Options> read_options(const Words& words, std::size_t from, const OptionTable& table) {
  Options options;
  for (auto at = from; at < words.size(); ++at) {
    const string_view text = words[at].text;
    options.next = at;
    if (!words[at].known) return may_be_option(words[at]) ? std::nullopt : std::optional(options);
    if (text == "--") {
      ++options.next;
      return options;
    }
    if (text.size() < 2 || text.front() != '-') return options;
    const auto read = text.starts_with("--") ? read_long : read_letters;
    if (!read(words, at, table, options)) return std::nullopt;
  }
  options.next = words.size();
  return options;
}

std::optional<std::size_t> after_options(const Words& words, std::size_t from, const OptionTable& table) {
  const auto options = read_options(words, from, table);
  return options ? std::optional(options->next) : std::nullopt;
}

}  // namespace agentrouter::policy
