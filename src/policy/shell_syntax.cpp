#include "policy/shell_syntax.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/utf8.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

bool is_invisible(char32_t c) {
  return c == 0xad || (c >= 0x80 && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0x61c ||
         c == 0x180e || c == 0x3164 || (c >= 0xfff0 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

// `declare -A`
bool makes_keyed(const SimpleCommand& command) {
  constexpr std::array<string_view, 3> makers{"declare", "typeset", "local"};
  if (command.words.empty() || !command.words.front().plain) return false;
  if (std::find(makers.begin(), makers.end(), command.words.front().word.text) == makers.end()) return false;
  for (std::size_t i = 1; i < std::min<std::size_t>(command.words.size(), 8); ++i) {
    const auto& word = command.words[i].word;
    if (!word.known || word.text.size() < 2 || word.text[0] != '-' || word.text[1] == '-') return false;
    if (word.text.find('A') != std::string::npos) return true;
  }
  return false;
}

}  // namespace

bool is_shell_name(string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && is_letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_letter(c) || is_digit(c); });
}

bool rules_the_shell(string_view variable) {
  constexpr std::array<string_view, 22> names{
      "PATH",       "IFS",        "HOME",   "SHELL", "ENV",     "SHELLOPTS",       "PS0",
      "PS1",        "PS2",        "PS3",    "PS4",   "CDPATH",  "FPATH",           "PROMPT_COMMAND",
      "GLOBIGNORE", "EXECIGNORE", "TMPDIR", "USER",  "LOGNAME", "POSIXLY_CORRECT", "MAILPATH",
      "HISTFILE"};
  constexpr std::array<string_view, 6> beginnings{"BASH", "LD_", "DYLD_", "CODEX_", "CLAUDE", "GIT_"};
  return std::find(names.begin(), names.end(), variable) != names.end() ||
         std::any_of(beginnings.begin(), beginnings.end(),
                     [&](auto beginning) { return variable.starts_with(beginning); });
}

bool hides_text(string_view text) {
  if (!base::is_utf8(text)) return true;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x80) {
      if (is_invisible(base::decode_utf8(text, at))) return true;
      continue;
    }
    if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f) return true;
    ++at;
  }
  return false;
}

void read_script(string_view text, Dialect dialect, Syntax& syntax) {
  if (hides_text(text)) syntax.doubts("it holds characters that are not seen");
  if (text.size() > syntax.limits.bytes || text.size() > syntax.bytes_left)
    return syntax.doubts("it is too long to be understood");
  syntax.bytes_left -= text.size();
  ShellReader(text, dialect, syntax).script();
}

void ShellReader::script() {
  while (!commands(Stop::end)) ++pos_;
  if (!pending_.empty()) syntax_.doubts("a here-document does not end");
}

// A here-document that is open on either side of `$(` or its end is found elsewhere by other shells.
bool ShellReader::nested_commands() {
  const bool open_before = !pending_.empty();
  const bool closed = commands(Stop::paren);
  if (open_before || !pending_.empty())
    syntax_.doubts("a here-document and a substitution are within each other");
  return closed;
}

// Reads up to what `stop` names and past it; false when the text ends before, or something else ends it.
bool ShellReader::commands(Stop stop) {
  const Depth depth(*this);
  if (stop == Stop::paren) syntax_.nests = true;
  SimpleCommand current;
  while (true) {
    skip_blanks();
    if (at_end()) {
      finish(current);
      return stop == Stop::end;
    }
    if (peek() == '#') {
      skip_comment();
      continue;
    }
    bool ended = false;
    if (operators(current, stop, ended)) {
      if (ended) return true;
      if (peek() == ')' && stop == Stop::item) return false;
      continue;
    }
    if (redirected(current)) continue;
    const auto before = pos_;
    keyed_ = makes_keyed(current);
    auto word = this->word();
    array_descriptor(since(before));
    if (pos_ == before) ++pos_;
    if (current.empty() && word.plain && reserved(word)) {
      if (std::exchange(case_ended_, false)) {
        if (stop == Stop::item) return case_ended_ = true;
        syntax_.doubts("an esac stands where no case is");
      }
      continue;
    }
    if (current.words.empty() && !word.name.empty())
      current.assignments.push_back(std::move(word));
    else
      current.words.push_back(std::move(word));
  }
}

void ShellReader::finish(SimpleCommand& current) {
  if (current.empty()) return;
  if (syntax_.commands.size() >= syntax_.limits.commands) return give_up("it holds too many commands");
  current.dialect = dialect_;
  syntax_.commands.push_back(std::exchange(current, {}));
}

// What separates commands. True when there was something; `ended` when it was what `stop` waits for.
bool ShellReader::operators(SimpleCommand& current, Stop stop, bool& ended) {
  const char c = peek();
  if (c == '\n') {
    finish(current);
    ++pos_;
    read_documents();
  } else if (c == ';') {
    finish(current);
    ++pos_;
    if (peek() != ';' && peek() != '&') return true;
    pos_ += next_is(";&") ? 2 : 1;
    ended = stop == Stop::item;
    if (!ended) syntax_.doubts("a ;; stands where no case is");
  } else if (c == '&' && peek(1) != '>') {
    current.decides_next = peek(1) == '&';
    finish(current);
    pos_ += peek(1) == '&' ? 2 : 1;
  } else if (c == '|') {
    finish(current);
    pos_ += peek(1) == '|' || peek(1) == '&' ? 2 : 1;
  } else if (c == '(') {
    parenthesis(current);
  } else if (c == ')') {
    finish(current);
    ended = stop == Stop::paren;
    if (!ended) syntax_.doubts("a ) stands where nothing was opened");
    if (stop != Stop::item) ++pos_;
  } else {
    return false;
  }
  return true;
}

void ShellReader::parenthesis(SimpleCommand& current) {
  ++pos_;
  if (current.empty() && peek() == '(' && dialect_ == Dialect::bash) {
    --pos_;
    if (arithmetic_expansion()) return;
    syntax_.doubts("(( may begin a reckoning or a command");
    ++pos_;
  }
  skip_blanks();
  if (current.words.size() == 1 && current.assignments.empty() && peek() == ')') {
    ++pos_;
    current.words.clear();  // the name of a function; what it does follows
    return;
  }
  if (!current.empty()) syntax_.doubts("a ( stands within a command");
  if (!commands(Stop::paren)) syntax_.doubts("a ( is not closed");
}

// A redirection, with the descriptor before it if there is one.
bool ShellReader::redirected(SimpleCommand& current) {
  std::size_t ahead = 0;
  if (peek() == '{') {
    while (peek(ahead) != '\0' && !is_delimiter(peek(ahead)) && peek(ahead) != '}') ++ahead;
    if (peek(ahead) != '}') return false;
    const auto name = text_.substr(pos_ + 1, ahead - 1);
    ++ahead;
    if (!is_shell_name(name) || (peek(ahead) != '<' && peek(ahead) != '>') || peek(ahead + 1) == '(')
      return false;
    syntax_.assigned(std::string(name), Word{"1"});
    if (rules_the_shell(name)) syntax_.doubts("it sets " + std::string(name));
  }
  while (is_digit(peek(ahead))) ++ahead;
  const bool both = ahead == 0 && next_is("&>");
  const char c = peek(ahead + (both ? 1 : 0));
  if ((c != '<' && c != '>') || (!both && peek(ahead + 1) == '(')) return false;
  const auto to = text_.substr(pos_, ahead);
  pos_ += ahead;
  redirection(current, to);
  return true;
}

// `{NAME[INDEX]}>` reckons with the index.
void ShellReader::array_descriptor(string_view raw) {
  const bool redirects = (peek() == '<' || peek() == '>') && peek(1) != '(';
  if (redirects && raw.starts_with('{') && raw.ends_with('}') && raw.find('[') != string_view::npos)
    syntax_.doubts("a descriptor is put where something may run");
}

void ShellReader::redirection(SimpleCommand& current, string_view to) {
  constexpr std::array<string_view, 12> operators{"&>>", "&>", "<<<", "<<-", "<<", "<>",
                                                  "<&",  ">&", ">>",  ">|",  "<",  ">"};
  const auto* found = std::find_if(operators.begin(), operators.end(), [&](auto op) { return next_is(op); });
  const auto op = *found;
  pos_ += op.size();
  if (op.starts_with('&') || op == "<<<") bash_only(op);
  const bool of_input = to.empty() ? op.starts_with('<') : to.find_first_not_of('0') == string_view::npos;
  if (of_input != op.starts_with("<<")) current.mixes_input = true;
  skip_blanks();
  if (op == "<<" || op == "<<-") return here_document(current, op == "<<-");
  if (at_end() || is_delimiter(peek())) {
    const bool process = next_is("<(") || next_is(">(");
    if (!process) return syntax_.doubts("a redirection names no file");
  }
  const auto target = word();
  if (op == "<<<") {
    current.documents.push_back(syntax_.documents.size());
    syntax_.documents.push_back(target.word.known ? std::optional(target.word.text + "\n") : std::nullopt);
    return;
  }
  const string_view text = target.word.text;
  const bool descriptor =
      target.word.known &&
      (text == "-" || is_number(text) || (text.ends_with('-') && is_number(text.substr(0, text.size() - 1))));
  if ((op == ">&" || op == "<&") && descriptor) return;
  const bool writes = op != "<" && op != "<&";
  current.files.push_back({target.word, writes, {}});
}

void ShellReader::here_document(SimpleCommand& current, bool strips_tabs) {
  if (at_end() || is_delimiter(peek())) return syntax_.doubts("a here-document has no end");
  const auto start = pos_;
  const auto end = word();
  const auto raw = since(start);
  if (!end.word.known || raw.find_first_of("$`\n") != string_view::npos)
    syntax_.doubts("the end of a here-document is no plain word");
  pending_.push_back({end.word.text, raw.find_first_of("'\"\\") != string_view::npos, strips_tabs,
                      syntax_.documents.size()});
  current.documents.push_back(syntax_.documents.size());
  syntax_.documents.emplace_back();
}

// The bodies of the here-documents that were announced, at the beginning of a line.
void ShellReader::read_documents() {
  for (const auto& document : std::exchange(pending_, {})) {
    std::string body;
    bool ended = false;
    while (!ended && !at_end()) {
      const auto end = std::min(text_.find('\n', pos_), text_.size());
      auto line = text_.substr(pos_, end - pos_);
      pos_ = std::min(end + 1, text_.size());
      if (document.strips_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
      ended = line == document.end;
      if (ended) break;
      if (line.starts_with(document.end) && !document.end.empty())
        syntax_.doubts("a here-document may end earlier than it seems");
      if (!document.quoted && line.ends_with('\\'))
        syntax_.doubts("a line of a here-document is continued on the next");
      body.append(line).append("\n");
    }
    if (!ended) syntax_.doubts("a here-document does not end");
    if (document.quoted) {
      syntax_.documents[document.document] = std::move(body);
    } else if (spend(body.size())) {
      auto text = ShellReader(body, dialect_, syntax_).expansions();
      syntax_.documents[document.document] = std::move(text);
    }
  }
}

bool ShellReader::is_delimiter(char c) {
  return string_view(" \t\n;&|()<>").find(c) != string_view::npos;
}

bool ShellReader::next_word_is(string_view what) const {
  if (!next_is(what)) return false;
  const auto after = pos_ + what.size();
  return after >= text_.size() || is_delimiter(text_[after]);
}

void ShellReader::skip_blanks() {
  while (true) {
    if (peek() == ' ' || peek() == '\t')
      ++pos_;
    else if (next_is("\\\n"))
      pos_ += 2;
    else
      return;
  }
}

void ShellReader::skip_comment() {
  pos_ = std::min(text_.find('\n', pos_), text_.size());
}

void ShellReader::skip_space() {
  while (!at_end()) {
    skip_blanks();
    if (peek() == '#') {
      skip_comment();
    } else if (peek() == '\n') {
      ++pos_;
      read_documents();
    } else {
      return;
    }
  }
}

void ShellReader::give_up(std::string why) {
  syntax_.doubts(std::move(why));
  pos_ = text_.size();
}

bool ShellReader::spend(std::size_t bytes) {
  if (bytes <= syntax_.bytes_left) {
    syntax_.bytes_left -= bytes;
    return true;
  }
  syntax_.bytes_left = 0;
  give_up("it is too long to be understood");
  return false;
}

}  // namespace agentrouter::policy
