#pragma once
// The grammar of the shell as far as it decides which simple commands a text holds and with which words.
// Nothing is run and nothing is looked up. Where shells disagree, or where the text may mean several things,
// there is a doubt rather than a choice. Used by command.h only.

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "policy/command.h"

namespace agentrouter::policy {

[[nodiscard]] bool listed(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// posix is for `sh`, of which nobody knows which shell it is.
enum class Dialect { bash, posix };

struct SyntaxWord {
  Word word = {};
  bool plain = true;  // no quotes, escapes or expansions in it: could be a reserved word
  // Of NAME=VALUE: the name, and the value as a word.
  std::string name = {};
  Word value = {};
  bool splits = false;  // an unknown value may become more words, even behind `export`
  bool keyed = false;   // keys of an array in it are texts
};

struct SimpleCommand {
  std::vector<SyntaxWord> assignments;
  std::vector<SyntaxWord> words;
  std::vector<FileUse> files;
  std::vector<std::size_t> documents;  // here-documents and here-strings in Syntax
  std::vector<std::string> exports;    // what the command around it sets for it
  bool mixes_input = false;            // its input is not just what `documents` holds
  bool decides_next = false;           // && stands behind it
  Dialect dialect = Dialect::bash;
  [[nodiscard]] bool empty() const {
    return assignments.empty() && words.empty() && files.empty() && documents.empty();
  }
};

// What is known of the values that a variable is given.
struct Held {
  bool numbers = true;  // only numbers
  bool plain = true;    // only numbers, and words that are one word, no pattern and no option
};

// What is found in a text and in everything within it. A budget for all of it keeps the work linear.
struct Syntax {
  ScriptLimits limits;
  std::size_t bytes_left = 0;  // to be read, texts within texts counted again
  std::size_t depth = 0;

  std::vector<SimpleCommand> commands;
  std::vector<std::optional<std::string>> documents;  // nothing: not known
  std::set<std::string> reckoned;                     // variables whose value is evaluated as arithmetic
  std::map<std::string, Held> variables;
  std::set<std::string> arrays;                       // variables that may be arrays
  bool nests = false;                                 // holds subshells or substitutions
  std::string doubt;                                  // the first; empty: none

  void doubts(std::string why) {
    if (doubt.empty()) doubt = std::move(why);
  }
  void assigned(const std::string& name, const Word& value);
  // Whether what it holds is as good as a plain word that stands there.
  [[nodiscard]] bool is_plain(const std::string& name) const;
};

// Appends what `text` holds to `syntax`.
void read_script(std::string_view text, Dialect dialect, Syntax& syntax);

[[nodiscard]] inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
[[nodiscard]] bool is_shell_name(std::string_view text);
[[nodiscard]] bool is_number(std::string_view text);
// Whether all that becomes of it is numbers: "5", "$!", "$((1 + 2))".
[[nodiscard]] bool makes_numbers(const Word& word);
// Letters, digits and signs that are nothing but themselves.
[[nodiscard]] bool is_plain_text(std::string_view text);
// How much of the beginning of `text` is a name.
[[nodiscard]] std::size_t name_length(std::string_view text);
// Variables that decide what other words mean or which program is started.
[[nodiscard]] bool rules_the_shell(std::string_view variable);
// Control characters, broken UTF-8, characters that are not seen or turn the direction of others.
[[nodiscard]] bool hides_text(std::string_view text);

// One text being read. Its functions stand in shell_syntax.cpp (commands), shell_compound.cpp (those that
// begin with a reserved word), shell_words.cpp (words) and shell_reckoning.cpp (arithmetic).
class ShellReader {
 public:
  ShellReader(std::string_view text, Dialect dialect, Syntax& syntax)
      : text_(text), dialect_(dialect), syntax_(syntax) {}

  void script();
  // Only the expansions in it, as of a here-document; the text when there are none.
  std::optional<std::string> expansions();

 private:
  enum class Stop { end, paren, item };
  struct Pending {
    std::string end;
    bool quoted = false;
    bool strips_tabs = false;
    std::size_t document = 0;
  };
  class Depth;

  // shell_syntax.cpp
  bool commands(Stop stop);
  bool nested_commands();
  void finish(SimpleCommand& current);
  bool operators(SimpleCommand& current, Stop stop, bool& ended);
  void parenthesis(SimpleCommand& current);
  bool redirected(SimpleCommand& current);
  void redirection(SimpleCommand& current, std::string_view to);
  void array_descriptor(std::string_view raw);
  void here_document(SimpleCommand& current, bool strips_tabs);
  void read_documents();

  // shell_compound.cpp
  bool reserved(const SyntaxWord& word);
  void function_head();
  void for_head();
  void case_command();
  bool case_patterns();
  void test_expression();
  void regular_expression();
  void test_words(const std::vector<SyntaxWord>& words);
  void bash_only(std::string_view what);

  // shell_words.cpp
  SyntaxWord word();
  void word_part(SyntaxWord& word, std::size_t start);
  void glob_part(SyntaxWord& word);
  bool assignment(SyntaxWord& word, std::size_t start);
  void array(SyntaxWord& word);
  void single_quoted(SyntaxWord& word);
  void double_quoted(SyntaxWord& word);
  void ansi_quoted(SyntaxWord& word);
  std::optional<std::string> ansi_escape();
  void dollar(SyntaxWord& word, bool quoted);
  void parameter(SyntaxWord& word, bool quoted);
  void backquoted(SyntaxWord& word, bool quoted);

  // shell_reckoning.cpp
  bool arithmetic_expansion();
  void parameter_meaning(std::string_view inside);
  void array_element(std::string_view raw);
  void reckon(std::string_view expression);
  void reckon_word(const SyntaxWord& word);

  [[nodiscard]] bool at_end() const { return pos_ >= text_.size(); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
  }
  [[nodiscard]] bool next_is(std::string_view what) const {
    return text_.substr(std::min(pos_, text_.size())).starts_with(what);
  }
  static bool is_delimiter(char c);
  // `what` as a word of its own.
  [[nodiscard]] bool next_word_is(std::string_view what) const;
  void spans_lines(std::size_t start);
  // What was read since `start`.
  [[nodiscard]] std::string_view since(std::size_t start) const {
    return text_.substr(std::min(start, text_.size()), pos_ - std::min(start, pos_));
  }
  void skip_blanks();
  void skip_space();  // also line ends and comments
  void skip_comment();
  void give_up(std::string why);
  bool spend(std::size_t bytes);
  void becomes_unknown(SyntaxWord& word, bool splits);

  std::string_view text_;
  Dialect dialect_;
  Syntax& syntax_;
  std::size_t pos_ = 0;
  bool in_document_ = false;
  bool case_ended_ = false;
  bool keyed_ = false;  // of the word that is read next
  std::vector<Pending> pending_;
  // Of the word that is being read.
  std::size_t bracket_ = std::string::npos;  // where an unquoted `[` stands
  std::size_t brace_ = std::string::npos;    // where an unquoted `{` stands
};

class ShellReader::Depth {
 public:
  explicit Depth(ShellReader& reader) : reader_(reader) {
    if (++reader_.syntax_.depth > reader_.syntax_.limits.depth)
      reader_.give_up("too much stands within each other");
  }
  ~Depth() { --reader_.syntax_.depth; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  ShellReader& reader_;
};

}  // namespace agentrouter::policy
