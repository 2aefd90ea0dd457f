// Commands of the shell that set variables or look at them by name: a name may hold an index, which is
// evaluated.

#include <algorithm>
#include <array>

#include "policy/look_through.h"
#include "policy/plain_read.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::array<string_view, 5> declarers{"export", "declare", "typeset", "local", "readonly"};

void set_variable(Look& look, const std::string& name, Word value) {
  if (!is_shell_name(name)) return look.hides("the name of a variable is not understood");
  look.sets.emplace_back(name, std::move(value));
}

struct Declaring {
  string_view builtin;
  bool exported = false;
  bool arrays = false;
};

// "NAME=(...)" as it stands in the script.
bool is_array_literal(const Word& word) {
  const string_view text = word.text;
  const auto rest = text.substr(name_length(text));
  return !word.known && (rest.starts_with("=(") || rest.starts_with("+=(")) && text.ends_with(')');
}

// A text in parentheses that is given to an array is evaluated, quoted or not.
void check_list(Look& look, const Declaring& how, const std::string& name, const Word& word,
                string_view beginning) {
  const bool literal = is_array_literal(word);
  if (literal || how.arrays) look.arrays.push_back(name);
  const bool may_be_list = beginning.starts_with('(') || (beginning.empty() && !word.known);
  if (literal || !may_be_list) return;
  if (how.arrays) return look.hides("what an array is given may run something");
  if (how.builtin != "export" && how.builtin != "readonly") look.scalars.push_back(name);
}

// NAME or NAME=VALUE; an unknown word is fine as far as its name is known.
void declared(Look& look, const Word& word, const Declaring& how) {
  const string_view text = word.known ? string_view(word.text) : string_view(word.prefix);
  const auto equals = std::min(text.find('='), text.size());
  auto name = std::string(text.substr(0, equals));
  const bool has_value = equals < text.size();
  if (!word.known && !has_value) return look.hides("which variable is set is only known when it runs");
  if (name.ends_with('+')) name.pop_back();
  if (how.exported) look.exports.emplace_back(name);
  if (!has_value) {
    if (how.arrays) look.arrays.push_back(name);
    if (!is_shell_name(name) || rules_the_shell(name)) look.hides("it changes " + name);
    return;
  }
  const auto value = text.substr(equals + 1);
  check_list(look, how, name, word, value);
  set_variable(look, name, Word{word.known ? std::string(value) : word.text, word.known});
}

Look declare(string_view builtin, const Words& words) {
  Look look{.inert = true};
  Declaring how{.builtin = builtin, .exported = builtin == "export"};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    if (!words[i].known || text.size() < 2 || (text.front() != '-' && text.front() != '+')) {
      declared(look, words[i], how);
      continue;
    }
    if (text.find_first_not_of("-+gxralpAt", 0) != string_view::npos)
      look.hides("what " + std::string(builtin) + " " + std::string(text) + " does is not understood");
    if (text.find('x') != string_view::npos) how.exported = true;
    if (text.find_first_of("aA") != string_view::npos) how.arrays = true;
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
  const Word anything{"?", false};
  const bool lines = name != "read";
  const auto options = read_options(words, 1,
                                    lines ? OptionTable{.flags = "t", .values = "dnOsu"}
                                          : OptionTable{.flags = "ers", .values = "adinNptu"});
  if (!options) {
    look.hides("how " + std::string(name) + " is called is not understood");
    return look;
  }
  for (const auto& option : options->given) {
    if (option.name != "a") continue;
    look.arrays.push_back(option.value->text);
    set_variable(look, option.value->text, anything);
  }
  for (auto i = options->next; i < words.size(); ++i) {
    if (!words[i].known) {
      look.hides("which variable is read is only known when it runs");
      continue;
    }
    if (lines) look.arrays.push_back(words[i].text);
    set_variable(look, words[i].text, anything);
  }
  return look;
}

Look get_options(const Words& words) {
  Look look{.inert = true};
  if (words.size() < 3) return look;
  const bool plain = words[1].known ? !words[1].text.starts_with('-') : !may_be_option(words[1]);
  if (!plain || !words[2].known)
    look.hides("which variable getopts sets is not understood");
  else
    set_variable(look, words[2].text, Word{"?", false});
  return look;
}

// `let` and the tests that look at variables by name.
Look reckoned(string_view name, const Words& words) {
  constexpr string_view hidden = "a test looks at a variable whose name may run something";
  Look look{.inert = name == "let"};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word.many) look.relies_on(word, hidden);
    if (i + 1 == words.size()) break;
    const auto& next = words[i + 1];
    if (word.known && (word.text == "-v" || word.text == "-R") && !(next.known && is_shell_name(next.text)))
      look.hides(std::string(hidden));
    // "$X" may be an operator, too.
    const bool may_run = !next.known || next.text.find('[') != std::string::npos;
    if (!word.known && may_run) look.relies_on(word, hidden);
  }
  if (name == "let") look.hides("what let reckons may run something");
  return look;
}

// What a format that is unknown, or has a %n, does to the variables that are named behind it.
void check_format(Look& look, const Words& words, std::size_t at) {
  if (at >= words.size() || (words[at].known && !sets_variables(words[at].text))) return;
  const bool harmless =
      std::all_of(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end(),
                  [](const auto& word) { return word.known && !rules_the_shell(word.text); });
  if (harmless) return;
  auto mixed = words[at].known ? std::nullopt : variables_in(words[at].text);
  if (mixed)
    std::erase_if(mixed->rest, [](char c) { return string_view("\"'\\").find(c) != string_view::npos; });
  if (!mixed || sets_variables(mixed->rest))
    return look.hides("which variable printf sets is not understood");
  look.relies.insert(look.relies.end(), mixed->names.begin(), mixed->names.end());
}

Look printed(const Words& words) {
  Look look;
  std::size_t at = 1;
  for (; at < words.size(); ++at) {
    const string_view text = words[at].text;
    if (may_be_option(words[at])) look.hides("which variable printf sets is only known when it runs");
    if (!words[at].known || !text.starts_with("-v")) break;
    const bool separate = text.size() == 2 && at + 1 < words.size();
    if (separate) ++at;
    set_variable(look, separate ? words[at].text : std::string(text.substr(2)), Word{"?", false});
  }
  if (at < words.size() && words[at].known && words[at].text == "--") ++at;
  check_format(look, words, at);
  return look;
}

}  // namespace

std::optional<Look> look_at_setter(string_view name, const Words& words) {
  if (listed(name, declarers)) return declare(name, words);
  if (name == "unset") return unset(words);
  if (name == "read" || name == "mapfile" || name == "readarray") return read_into(name, words);
  if (name == "getopts") return get_options(words);
  if (name == "let" || name == "test" || name == "[") return reckoned(name, words);
  if (name == "printf") return printed(words);
  return std::nullopt;
}

}  // namespace agentrouter::policy
