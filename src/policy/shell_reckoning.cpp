// What the shell evaluates as arithmetic, and what is known of the values that are in it.

#include <algorithm>
#include <array>
#include <utility>

#include "policy/shell_syntax.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

// What follows a name in an expression sets it: `= 1`, `++`, `+=`.
bool is_set(string_view rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  if (rest.starts_with("++") || rest.starts_with("--")) return true;
  if (rest.starts_with('=')) return !rest.starts_with("==");
  return rest.size() > 1 && string_view("+-*/%&|^").find(rest[0]) != string_view::npos && rest[1] == '=';
}

// Names that the shell gives values of its own.
constexpr std::array<string_view, 8> of_the_shell{"_",        "REPLY",    "MAPFILE", "OPTARG",
                                                  "FUNCNAME", "DIRSTACK", "PWD",     "OLDPWD"};
// Variables whose value is evaluated when it is given.
constexpr std::array<string_view, 6> integers{"RANDOM", "SRANDOM", "HISTCMD", "OPTIND", "SECONDS", "LINENO"};

// The end of `((...))` at the beginning of `text`, as the shell finds it; nothing when it is something else.
std::optional<std::size_t> end_of_reckoning(string_view text) {
  std::size_t depth = 0;
  for (std::size_t at = 2; at < text.size(); ++at) {
    if (text[at] == '(') ++depth;
    if (text[at] != ')') continue;
    if (depth == 0) return text.substr(at).starts_with("))") ? std::optional(at + 2) : std::nullopt;
    --depth;
  }
  return std::nullopt;
}

// NAME, a number, or what stands for itself.
std::size_t parameter_length(string_view text) {
  if (const auto length = name_length(text); length > 0 || text.empty()) return length;
  if (string_view("@*?-$").find(text.front()) != string_view::npos) return 1;
  return std::min(text.find_first_not_of("0123456789"), text.size());
}

// "(1 $!)", of which an array is made.
bool is_list_of_numbers(string_view text) {
  if (!text.starts_with('(') || !text.ends_with(')')) return false;
  text = text.substr(1, text.size() - 2);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.substr(at).starts_with("$!"))
      ++at;
    else if (string_view("0123456789 \"").find(text[at]) == string_view::npos)
      return false;
  }
  return true;
}

// One word whatever reads it again.
bool is_plain_value(const Word& word) {
  return makes_numbers(word) || (word.known && !word.text.starts_with('-') && is_plain_text(word.text));
}

}  // namespace

bool is_plain_text(string_view text) {
  constexpr string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,+@=-";
  return text.find_first_not_of(letters) == string_view::npos;
}

bool is_number(string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.size() <= 18 && std::all_of(text.begin(), text.end(), is_digit);
}

// An unknown word is looked at as it stands in the script.
bool makes_numbers(const Word& word) {
  constexpr std::array<string_view, 4> numbers{"$!", "$#", "$?", "$$"};
  string_view text = word.text;
  if (word.known) return is_number(text);
  if (is_list_of_numbers(text)) return true;
  if (text.size() > 2 && text.starts_with('"') && text.ends_with('"')) text = text.substr(1, text.size() - 2);
  if (listed(text, numbers)) return true;
  if (text.starts_with("$(("))
    return end_of_reckoning(text.substr(1)) == text.size() - 1 &&
           text.find_first_of("'\"`") == string_view::npos;
  return text.starts_with('{') && text.ends_with('}') &&
         text.find_first_not_of("0123456789.-{}") == string_view::npos &&
         text.find("}{") == string_view::npos;
}

std::size_t name_length(string_view text) {
  std::size_t length = 0;
  const auto goes_on = [&](char c) { return is_shell_name({&c, 1}) || (length > 0 && c >= '0' && c <= '9'); };
  while (length < text.size() && goes_on(text[length])) ++length;
  return length;
}

void Syntax::assigned(const std::string& name, const Word& value) {
  auto& held = variables[name];
  held.numbers = held.numbers && makes_numbers(value) && !listed(name, of_the_shell);
  held.plain = held.plain && is_plain_value(value) && !listed(name, of_the_shell);
  if (!held.numbers && listed(name, integers)) doubts("what " + name + " is given may run something");
}

bool Syntax::is_plain(const std::string& name) const {
  const auto found = variables.find(name);
  return found == variables.end() ? !listed(name, of_the_shell) : found->second.plain;
}

// At the first of two parentheses. False, and nothing taken, when they are no arithmetic.
bool ShellReader::arithmetic_expansion() {
  if (!next_is("((")) return false;
  const auto end = end_of_reckoning(text_.substr(pos_));
  if (!spend(end.value_or(text_.size() - pos_))) return false;
  if (!end) return false;
  reckon(text_.substr(pos_ + 2, *end - 4));
  pos_ += *end;
  return true;
}

void ShellReader::parameter_meaning(string_view inside) {
  if (inside.ends_with("@P")) syntax_.doubts("${...@P} may run what a variable holds");
  if (inside.starts_with('#')) inside.remove_prefix(1);
  const std::string name(inside.substr(0, parameter_length(inside)));
  inside.remove_prefix(name.size());
  if (inside.starts_with('[')) {
    const auto end = std::min(inside.find(']'), inside.size());
    const auto index = inside.substr(1, end - 1);
    if (!name.empty()) syntax_.arrays.insert(name);
    if (index != "@" && index != "*") reckon(index);
    inside.remove_prefix(std::min(end + 1, inside.size()));
  }
  const bool slices = inside.starts_with(':') &&
                      string_view("-=+?").find(inside.size() > 1 ? inside[1] : 'x') == string_view::npos;
  if (slices) reckon(inside.substr(1));
  if (inside.starts_with(":=") || inside.starts_with("=")) {
    if (rules_the_shell(name)) syntax_.doubts("it sets " + name);
    syntax_.assigned(name, Word{std::string(inside), false});
  }
}

// [INDEX]=VALUE of an array.
void ShellReader::array_element(string_view raw) {
  const auto end = std::min(raw.find("]="), raw.find("]+="));
  if (raw.starts_with('[') && end != string_view::npos) reckon(raw.substr(1, end - 1));
}

// Arithmetic runs what stands in a variable's index, so each variable in it has to hold a number.
void ShellReader::reckon(string_view expression) {
  if (expression.find_first_of("`'\"[\\") != string_view::npos || expression.find("$(") != string_view::npos)
    syntax_.doubts("a reckoning may run something");
  if (spend(expression.size())) std::ignore = ShellReader(expression, dialect_, syntax_).expansions();
  for (std::size_t at = 0; at < expression.size();) {
    const auto length = name_length(expression.substr(at));
    if (length > 0) {
      const std::string name(expression.substr(at, length));
      at += length;
      if (is_set(expression.substr(at))) syntax_.assigned(name, Word{"0"});
      syntax_.reckoned.insert(name);
    } else if (expression[at] == '$') {
      ++at;
      if (at < expression.size() && expression[at] == '{') ++at;
      if (at < expression.size() && string_view("0123456789@*!-").find(expression[at]) != string_view::npos)
        syntax_.doubts("a reckoning holds what is not known");
    } else if (expression[at] >= '0' && expression[at] <= '9') {
      while (at < expression.size() &&
             (is_shell_name("_" + std::string(1, expression[at])) || expression[at] == '#'))
        ++at;
    } else {
      ++at;
    }
  }
}

void ShellReader::reckon_word(const SyntaxWord& word) {
  string_view text = word.word.text;
  if (!word.word.known && text.size() > 1 && text.starts_with('"') && text.ends_with('"'))
    text = text.substr(1, text.size() - 2);
  // "${#NAME}" is a number whatever the variable holds.
  const bool counts = text.starts_with("${#") && text.find('}') + 1 == text.size();
  if (!counts) reckon(text);
}

}  // namespace agentrouter::policy
