// Reserved words, and what begins with one: for, case, function, [[.

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "policy/shell_syntax.h"

namespace agentrouter::policy {

using std::string_view;

bool ShellReader::reserved(const SyntaxWord& word) {
  constexpr std::array<string_view, 12> skipped{"if",    "then", "elif", "else", "fi", "while",
                                                "until", "do",   "done", "{",    "}",  "!"};
  const string_view text = word.word.text;
  if (std::find(skipped.begin(), skipped.end(), text) != skipped.end()) return true;
  if (text == "for") {
    for_head();
  } else if (text == "case") {
    case_command();
  } else if (text == "esac") {
    case_ended_ = true;
  } else if (text == "time") {
    skip_blanks();
    while (next_word_is("-p") || next_word_is("--")) {
      pos_ += 2;
      skip_blanks();
    }
  } else if (text == "select" || text == "function" || text == "[[" || text == "coproc") {
    bash_only(text);
    if (dialect_ == Dialect::posix) return false;
    if (text == "select") for_head();
    if (text == "function") function_head();
    if (text == "[[") test_expression();
    if (text == "coproc") syntax_.doubts("it starts a coprocess");
  } else {
    return false;
  }
  return true;
}

void ShellReader::function_head() {
  skip_blanks();
  std::ignore = word();
  skip_blanks();
  if (peek() != '(') {
    if (peek() != '{' && peek() != '\n') syntax_.doubts("a function begins in an odd way");
    return;
  }
  ++pos_;
  skip_blanks();
  if (peek() != ')') return syntax_.doubts("a function begins in an odd way");
  ++pos_;
}

void ShellReader::for_head() {
  skip_blanks();
  if (next_is("((")) {
    if (!arithmetic_expansion()) syntax_.doubts("a for (( is not closed");
    return;
  }
  const auto name = word();
  if (!name.word.known || !is_shell_name(name.word.text) || rules_the_shell(name.word.text))
    syntax_.doubts("a for sets what it should not");
  const bool ends = at_end() || peek() == ';';
  skip_space();
  if (!next_word_is("in")) {
    if (!ends && !next_word_is("do")) syntax_.doubts("a for begins in an odd way");
    return syntax_.assigned(name.word.text, Word{"$@", false});
  }
  pos_ += 2;
  while (true) {
    skip_blanks();
    if (at_end() || peek() == ';' || peek() == '\n') return;
    if (is_delimiter(peek()) && !next_is("<(") && !next_is(">("))
      return syntax_.doubts("a for holds what is no word");
    syntax_.assigned(name.word.text, word().word);
  }
}

void ShellReader::case_command() {
  const Depth depth(*this);
  skip_blanks();
  std::ignore = word();
  skip_space();
  if (!next_word_is("in")) return syntax_.doubts("a case has no in");
  pos_ += 2;
  while (true) {
    skip_space();
    if (at_end()) return syntax_.doubts("a case does not end");
    if (next_word_is("esac")) {
      pos_ += 4;
      return;
    }
    if (!case_patterns()) return syntax_.doubts("a pattern of a case is not understood");
    if (!commands(Stop::item)) return syntax_.doubts("a case does not end");
    if (std::exchange(case_ended_, false)) return;
  }
}

bool ShellReader::case_patterns() {
  if (peek() == '(') ++pos_;
  while (true) {
    skip_blanks();
    if (at_end() || is_delimiter(peek())) return false;
    std::ignore = word();
    skip_blanks();
    const char c = peek();
    if (c != '|' && c != ')') return false;
    ++pos_;
    if (c == ')') return true;
  }
}

// What stands between [[ and ]].
void ShellReader::test_expression() {
  const Depth depth(*this);
  std::vector<SyntaxWord> words;
  while (true) {
    skip_blanks();
    if (at_end()) return syntax_.doubts("a [[ is not closed");
    if (peek() == '#') syntax_.doubts("a # within [[ may mean several things");
    if (peek() == '\n') {
      ++pos_;
      read_documents();
      continue;
    }
    if (next_is("&&") || next_is("||")) {
      pos_ += 2;
    } else if (peek() == '(' || peek() == ')' || ((peek() == '<' || peek() == '>') && peek(1) != '(')) {
      ++pos_;
    } else if (is_delimiter(peek()) && peek() != '<' && peek() != '>') {
      return syntax_.doubts("a [[ holds what it should not");
    } else {
      auto part = word();
      if (part.plain && part.word.text == "]]") break;
      const bool matches = part.plain && part.word.text == "=~";
      words.push_back(std::move(part));
      if (matches) regular_expression();
    }
  }
  test_words(words);
}

// Up to a blank outside of parentheses.
void ShellReader::regular_expression() {
  skip_blanks();
  std::size_t open = 0;
  while (!at_end()) {
    const char c = peek();
    if (c == '(') ++open;
    if (c == ')' && open == 0) return;
    if (c == ')') --open;
    if ((c == ' ' || c == '\t') && open == 0) return;
    if (c == '\n' || c == ';' || c == '&' || c == '<' || c == '>')
      return syntax_.doubts("a regular expression is not understood");
    if (c == '(' || c == ')' || c == '|' || c == ' ' || c == '\t') {
      ++pos_;
    } else {
      const auto before = pos_;
      std::ignore = word();
      if (pos_ == before) ++pos_;
    }
  }
}

void ShellReader::test_words(const std::vector<SyntaxWord>& words) {
  constexpr std::array<string_view, 6> numeric{"-eq", "-ne", "-lt", "-le", "-gt", "-ge"};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const string_view text = words[i].word.text;
    if (std::find(numeric.begin(), numeric.end(), text) != numeric.end()) {
      if (i > 0) reckon_word(words[i - 1]);
      if (i + 1 < words.size()) reckon_word(words[i + 1]);
    }
    const bool of_variable = text == "-v" || text == "-R";
    if (of_variable && i + 1 < words.size() &&
        !(words[i + 1].word.known && is_shell_name(words[i + 1].word.text)))
      syntax_.doubts("a test looks at a variable whose name may run something");
  }
}

void ShellReader::bash_only(string_view what) {
  if (dialect_ == Dialect::posix)
    syntax_.doubts("shells do not agree on what " + std::string(what) + " means");
}

}  // namespace agentrouter::policy
