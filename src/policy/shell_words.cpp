// The words of a script: quotes, escapes, expansions.

#include <algorithm>
#include <utility>

#include "policy/shell_syntax.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

bool ends_word(char c) {
  return string_view(" \t\n;&|()").find(c) != string_view::npos;
}

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& text, std::uint32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xc0 | (c >> 6));
    text += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    text += static_cast<char>(0xe0 | (c >> 12));
    text += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    text += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    text += static_cast<char>(0xf0 | (c >> 18));
    text += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    text += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    text += static_cast<char>(0x80 | (c & 0x3f));
  }
}

}  // namespace

// The rest of the word cannot be told any more; `splits`: nor how many words become of it.
void ShellReader::becomes_unknown(SyntaxWord& word, bool splits) {
  word.plain = false;
  if (word.word.known) word.word.prefix = word.word.text;
  word.word.known = false;
  if (!splits) return;
  word.word.many = true;
  word.word.prefix.clear();
}

SyntaxWord ShellReader::word() {
  SyntaxWord word;
  word.keyed = std::exchange(keyed_, false);
  const auto start = pos_;
  const auto outer = std::pair(bracket_, brace_);
  bracket_ = brace_ = std::string::npos;
  while (!at_end() && !ends_word(peek())) {
    if (peek() == '<' || peek() == '>') {
      if (peek(1) != '(') break;
      bash_only("<(");
      pos_ += 2;
      if (!nested_commands()) syntax_.doubts("a <( is not closed");
      becomes_unknown(word, false);
    } else {
      word_part(word, start);
    }
  }
  if (!word.word.known) word.word.text = since(start);
  if (!word.name.empty()) {
    const auto skipped = word.value.text.size();
    word.value = word.word;
    word.value.text = word.word.text.substr(std::min(skipped, word.word.text.size()));
    word.value.prefix.clear();
    word.splits = dialect_ == Dialect::posix;
  }
  std::tie(bracket_, brace_) = outer;
  return word;
}

void ShellReader::word_part(SyntaxWord& word, std::size_t start) {
  auto& text = word.word.text;
  switch (peek()) {
    case '\'':
      return single_quoted(word);
    case '"':
      ++pos_;
      return double_quoted(word);
    case '`':
      return backquoted(word, false);
    case '$':
      return dollar(word, false);
    case '\\':
      ++pos_;
      if (peek() == '\n') {
        ++pos_;
        return;
      }
      word.plain = false;
      text += at_end() ? '\\' : text_[pos_];
      pos_ += at_end() ? 0 : 1;
      return;
    case '~':
      if (pos_ == start) becomes_unknown(word, true);
      break;
    case '=':
      if (assignment(word, start)) return;
      break;
    default:
      glob_part(word);
  }
  text += text_[pos_++];
}

// Notices patterns and braces; the character itself is taken by the caller.
void ShellReader::glob_part(SyntaxWord& word) {
  const auto& text = word.word.text;
  const auto unknown_from = [&](std::size_t at) {
    becomes_unknown(word, false);
    word.word.many = true;
    auto& prefix = word.word.prefix;
    prefix.resize(std::min(at, prefix.size()));
  };
  switch (peek()) {
    case '*':
    case '?':
      return unknown_from(text.size());
    case '[':
      if (bracket_ == std::string::npos) bracket_ = text.size();
      return;
    case ']':
      if (bracket_ != std::string::npos) unknown_from(bracket_);
      return;
    case '{':
      if (brace_ == std::string::npos) brace_ = text.size();
      return;
    case '}': {
      if (brace_ == std::string::npos) return;
      const auto inside = string_view(text).substr(std::min(brace_, text.size()));
      if (inside.find(',') != string_view::npos || inside.find("..") != string_view::npos)
        unknown_from(brace_);
      return;
    }
    default:
      return;
  }
}

// NAME=, NAME+= or NAME[...]= at the beginning of a word. True when the `=` was taken.
bool ShellReader::assignment(SyntaxWord& word, std::size_t start) {
  auto& text = word.word.text;
  if (!word.name.empty() || text.empty()) return false;
  const auto length = name_length(text);
  auto rest = string_view(text).substr(length);
  if (rest.ends_with('+')) rest.remove_suffix(1);
  const bool indexed = rest.starts_with('[') && rest.ends_with(']');
  if (length == 0 || (!rest.empty() && !indexed)) return false;
  if (!word.plain && !indexed) return false;
  word.name = text.substr(0, length);
  if (indexed || peek(1) == '(') syntax_.arrays.insert(word.name);
  if (indexed) {
    bash_only("an array");
    const auto raw = since(start);
    reckon(raw.substr(std::min(length + 1, raw.size()), raw.rfind(']') - length - 1));
  }
  text += text_[pos_++];
  word.value.text = text;
  if (peek() == '(') array(word);
  return true;
}

void ShellReader::array(SyntaxWord& word) {
  const Depth depth(*this);
  bash_only("an array");
  ++pos_;
  while (true) {
    skip_space();
    if (at_end()) return syntax_.doubts("an array is not closed");
    if (peek() == ')') break;
    const auto before = pos_;
    std::ignore = this->word();
    if (!word.keyed) array_element(since(before));
    if (pos_ == before) {
      syntax_.doubts("an array holds what is no word");
      ++pos_;
    }
  }
  ++pos_;
  becomes_unknown(word, false);
}

void ShellReader::single_quoted(SyntaxWord& word) {
  const auto end = text_.find('\'', pos_ + 1);
  word.plain = false;
  if (end == string_view::npos) return give_up("a quote is not closed");
  const auto start = std::exchange(pos_, end + 1);
  word.word.text += text_.substr(start + 1, end - start - 1);
  spans_lines(start);
}

// A here-document whose line goes on within a quote is found elsewhere by other shells.
void ShellReader::spans_lines(std::size_t start) {
  if (!pending_.empty() && since(start).find('\n') != string_view::npos)
    syntax_.doubts("a quote goes over the beginning of a here-document");
}

// From behind the opening quote to behind the closing one.
void ShellReader::double_quoted(SyntaxWord& word) {
  const Depth depth(*this);
  const auto start = pos_;
  word.plain = false;
  while (!at_end() && peek() != '"') {
    if (peek() == '$') {
      dollar(word, true);
    } else if (peek() == '`') {
      backquoted(word, true);
    } else {
      if (peek() == '\\' && string_view("$`\"\\\n").find(peek(1)) != string_view::npos &&
          pos_ + 1 < text_.size()) {
        ++pos_;
        if (peek() == '\n') {
          ++pos_;
          continue;
        }
      }
      word.word.text += text_[pos_++];
    }
  }
  if (at_end()) return give_up("a quote is not closed");
  ++pos_;
  spans_lines(start);
}

// $'...': what it stands for is what it is.
void ShellReader::ansi_quoted(SyntaxWord& word) {
  const auto start = pos_;
  pos_ += 2;
  bash_only("$'");
  word.plain = false;
  while (!at_end() && peek() != '\'') {
    if (peek() != '\\') {
      word.word.text += text_[pos_++];
      continue;
    }
    ++pos_;
    if (at_end()) break;
    if (const auto meant = ansi_escape()) {
      word.word.text += *meant;
    } else {
      becomes_unknown(word, false);
    }
  }
  if (at_end()) return give_up("a quote is not closed");
  ++pos_;
  spans_lines(start);
}

// Behind the backslash. Nothing for what ends the text early or depends on more than itself.
std::optional<std::string> ShellReader::ansi_escape() {
  constexpr string_view names = "abeEfnrtv\\'\"?";
  constexpr string_view meant = "\a\b\033\033\f\n\r\t\v\\'\"?";
  const char c = text_[pos_++];
  if (const auto at = names.find(c); at != string_view::npos) return std::string(1, meant[at]);
  std::uint32_t value = 0;
  std::size_t digits = 0;
  if (is_octal(c)) {
    value = static_cast<std::uint32_t>(c - '0');
    for (digits = 1; digits < 3 && is_octal(peek()); ++digits)
      value = value * 8 + static_cast<std::uint32_t>(text_[pos_++] - '0');
    value &= 0xff;
  } else if (c == 'x' || c == 'u' || c == 'U') {
    const std::size_t most = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    if (peek() == '{') return std::nullopt;
    for (; digits < most && hex_digit(peek()) >= 0; ++digits)
      value = value * 16 + static_cast<std::uint32_t>(hex_digit(text_[pos_++]));
    if (digits == 0) return "\\" + std::string(1, c);
  } else {
    return c == 'c' ? std::nullopt : std::optional("\\" + std::string(1, c));
  }
  if (value == 0 || value > 0x10ffff) return std::nullopt;
  std::string text;
  if (c == 'u' || c == 'U')
    append_utf8(text, value);
  else
    text += static_cast<char>(value);
  return text;
}

void ShellReader::dollar(SyntaxWord& word, bool quoted) {
  const char next = peek(1);
  if (next == '\\' && peek(2) == '\n') syntax_.doubts("an expansion goes over two lines");
  if (next == '(') {
    const Depth depth(*this);
    ++pos_;
    if (!arithmetic_expansion()) {
      if (next_is("((")) syntax_.doubts("$(( may begin a reckoning or a command");
      ++pos_;
      if (!nested_commands()) syntax_.doubts("a $( is not closed");
    }
    return becomes_unknown(word, !quoted);
  }
  if (next == '{') return parameter(word, quoted);
  if (next == '\'' && !quoted) return ansi_quoted(word);
  if (next == '"' && !quoted) {
    pos_ += 2;
    double_quoted(word);
    return becomes_unknown(word, false);
  }
  if (next == '[') {
    syntax_.doubts("$[ is not understood");
    pos_ += 2;
    return becomes_unknown(word, true);
  }
  const auto name = name_length(text_.substr(std::min(pos_ + 1, text_.size())));
  const bool special = next != '\0' && string_view("0123456789@*#?-$!").find(next) != string_view::npos;
  if (name == 0 && !special) {
    word.word.text += '$';
    word.plain = false;
    ++pos_;
    return;
  }
  pos_ += 1 + std::max<std::size_t>(name, 1);
  becomes_unknown(word, !quoted || next == '@');
}

// ${...}
void ShellReader::parameter(SyntaxWord& word, bool quoted) {
  const Depth depth(*this);
  const auto start = pos_ + 2;
  pos_ = start;
  if (string_view(" \t\n|!").find(peek()) != string_view::npos)
    syntax_.doubts("${ holds more than a variable");
  SyntaxWord inside;
  while (!at_end() && peek() != '}') {
    switch (peek()) {
      case '\\':
        pos_ = std::min(pos_ + 2, text_.size());
        break;
      case '\'':
        if (quoted) {
          syntax_.doubts("a quote within ${ may mean several things");
          ++pos_;
        } else {
          single_quoted(inside);
        }
        break;
      case '"':
        if (in_document_) syntax_.doubts("a quote within ${ may mean several things");
        ++pos_;
        double_quoted(inside);
        break;
      case '$':
        dollar(inside, quoted);
        break;
      case '`':
        backquoted(inside, quoted);
        break;
      case '<':
      case '>':
        if (peek(1) == '(') syntax_.doubts("a command within ${ is not understood");
        ++pos_;
        break;
      default:
        ++pos_;
    }
  }
  if (at_end()) return give_up("a ${ is not closed");
  parameter_meaning(since(start));
  ++pos_;
  const bool many = since(start).find('@') != string_view::npos;
  becomes_unknown(word, !quoted || many);
}

void ShellReader::backquoted(SyntaxWord& word, bool quoted) {
  const Depth depth(*this);
  std::string script;
  ++pos_;
  while (!at_end() && peek() != '`') {
    const bool escapes = peek() == '\\' && (string_view("$`\\").find(peek(1)) != string_view::npos ||
                                            (quoted && peek(1) == '"'));
    if (escapes && pos_ + 1 < text_.size()) ++pos_;
    script += text_[pos_++];
  }
  if (at_end()) return give_up("a ` is not closed");
  ++pos_;
  becomes_unknown(word, !quoted);
  syntax_.nests = true;
  if (spend(script.size())) ShellReader(script, dialect_, syntax_).script();
}

std::optional<std::string> ShellReader::expansions() {
  in_document_ = true;
  SyntaxWord word;
  while (!at_end()) {
    if (peek() == '$') {
      dollar(word, true);
    } else if (peek() == '`') {
      backquoted(word, true);
    } else {
      const bool escapes = peek() == '\\' && string_view("$`\\").find(peek(1)) != string_view::npos;
      if (escapes && pos_ + 1 < text_.size()) ++pos_;
      word.word.text += text_[pos_++];
    }
  }
  return word.word.known ? std::optional(std::move(word.word.text)) : std::nullopt;
}

}  // namespace agentrouter::policy
