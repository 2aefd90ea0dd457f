#include "policy/plain_read.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "policy/command.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

// Programs without an option that writes, starts a program or reads commands.
constexpr std::array<string_view, 39> readers{
    "basename", "cat",    "cd",    "cmp",    "comm",  "cut",    "date",  "df",       "diff",     "dirname",
    "du",       "echo",   "egrep", "expand", "false", "fgrep",  "fold",  "grep",     "head",     "id",
    "ls",       "md5sum", "nl",    "od",     "paste", "printf", "pwd",   "readlink", "realpath", "sha256sum",
    "stat",     "tail",   "tr",    "true",   "uname", "wc",     "which", "whoami",   "test"};

bool is_one_of(string_view word, const auto& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool starts_with_any(string_view word, std::initializer_list<string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](auto prefix) { return word.starts_with(prefix); });
}

// `printf -v` and `test -v` reckon with the index that a name may hold.
bool names_variables(const std::vector<std::string>& words) {
  return std::any_of(words.begin() + 1, words.end(), [](const auto& word) {
    return word.starts_with("-v") || word == "-R" || sets_variables(word);
  });
}

// `date -s`, or a word that is no format and no value of an option.
bool sets_the_clock(const std::vector<std::string>& words) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view word = words[i];
    if (word == "-d" || word == "--date" || word == "-r" || word == "-f")
      ++i;
    else if (!starts_with_any(word, {"+", "-u", "-R", "-I", "--date=", "--utc"}) || word.starts_with("-us"))
      return true;
  }
  return false;
}

struct PlainCommand {
  std::vector<std::string> words;
  bool globs = false;
};

bool is_reader(const PlainCommand& command) {
  if (command.words.empty()) return false;
  const auto& name = command.words.front();
  if (name == "printf" || name == "test") return !command.globs && !names_variables(command.words);
  if (name == "date") return !command.globs && !sets_the_clock(command.words);
  if (is_one_of(name, readers)) return true;
  // A pattern could become the name of a file that looks like an option.
  if (command.globs) return false;
  const auto none = [&](auto is_bad) {
    return std::none_of(command.words.begin() + 1, command.words.end(), is_bad);
  };
  if (name == "find") {
    return none([](string_view word) {
      return starts_with_any(word, {"-exec", "-ok", "-delete", "-fprint", "-fls", "-files0"});
    });
  }
  if (name == "rg") {
    return none([](string_view word) { return starts_with_any(word, {"--pre", "--hostname-bin"}); });
  }
  return false;
}

// Splits a script into commands; false at the first thing that is not plain.
class Reader {
 public:
  explicit Reader(string_view script) : rest_(script) {}

  bool all_read() {
    while (!rest_.empty()) {
      const char c = take();
      if (c == '\'' || c == '"') {
        if (!quoted(c)) return false;
      } else if (c == ' ' || c == '\t') {
        end_word();
      } else if (c == '|' || c == '&' || c == ';') {
        if (!joined(c)) return false;
      } else if (c == '*' || c == '?' || c == '[') {
        command_.globs = true;
        add(c);
      } else if (is_special(c)) {
        return false;
      } else {
        add(c);
      }
    }
    return end_command();
  }

 private:
  static bool is_special(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ||
           string_view("$`\\(){}<>#!~").find(c) != string_view::npos;
  }
  char take() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  void add(char c) {
    word_ += c;
    in_word_ = true;
  }
  bool quoted(char quote) {
    in_word_ = true;
    const auto end = rest_.find(quote);
    if (end == string_view::npos) return false;
    const auto inside = rest_.substr(0, end);
    if (quote == '"' && inside.find_first_of("$`\\!") != string_view::npos) return false;
    word_ += inside;
    rest_.remove_prefix(end + 1);
    return true;
  }
  bool joined(char c) {
    const bool twice = !rest_.empty() && rest_.front() == c;
    if (c == '&' && !twice) return false;
    if (c == ';' && twice) return false;
    if (twice) take();
    if (!rest_.empty() && c == '|' && rest_.front() == '&') return false;
    return end_command();
  }
  void end_word() {
    if (in_word_) command_.words.push_back(std::exchange(word_, {}));
    in_word_ = false;
  }
  bool end_command() {
    end_word();
    return is_reader(std::exchange(command_, PlainCommand{}));
  }

  string_view rest_;
  std::string word_;
  bool in_word_ = false;
  PlainCommand command_;
};

}  // namespace

bool sets_variables(string_view format) {
  for (auto at = format.find('%'); at < format.size(); at = format.find('%', at + 1)) {
    at = std::min(format.find_first_not_of("#0123456789-+ '.*hlLjtzq", at + 1), format.size());
    if (at < format.size() && format[at] == 'n') return true;
  }
  return false;
}

std::string script_of(string_view command) {
  const auto words = plain_words(command);
  const auto is_shell = [](string_view word) {
    return word == "bash" || word == "sh" || word == "/bin/bash" || word == "/bin/sh" ||
           word == "/usr/bin/bash" || word == "/usr/bin/sh";
  };
  if (words && words->size() == 3 && is_shell((*words)[0]) && ((*words)[1] == "-lc" || (*words)[1] == "-c"))
    return (*words)[2];
  return std::string(command);
}

std::span<const std::string_view> plain_readers() {
  return readers;
}

bool only_reads(string_view script) {
  const auto first = script.find_first_not_of(" \t\n");
  if (first == string_view::npos) return false;
  const auto last = script.find_last_not_of(" \t\n");
  return Reader(script.substr(first, last - first + 1)).all_read();
}

}  // namespace agentrouter::policy
