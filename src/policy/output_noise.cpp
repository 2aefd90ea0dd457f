#include "policy/output_noise.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/hash.h"
#include "base/utf8.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::size_t kept_bytes = 512u << 10;  // of each end of a long output

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool word(char c) {
  return digit(c) || letter(c) || c == '_';
}
bool hex(char c) {
  return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string lower(string_view text) {
  std::string result(text);
  for (auto& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// A place in a text, and what stands from there on.
class NoiseReader {
 public:
  explicit NoiseReader(string_view text) : text_(text) {}

  [[nodiscard]] bool done() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  [[nodiscard]] char before() const { return at_ > 0 ? text_[at_ - 1] : '\n'; }
  [[nodiscard]] string_view rest() const { return text_.substr(at_); }
  void skip(std::size_t count) { at_ = std::min(at_ + count, text_.size()); }

  [[nodiscard]] std::size_t digits(std::size_t from) const { return run(from, digit); }
  [[nodiscard]] std::size_t letters(std::size_t from) const { return run(from, letter); }
  template <class Kind>
  [[nodiscard]] std::size_t run(std::size_t from, Kind kind) const {
    std::size_t count = 0;
    while (at_ + from + count < text_.size() && kind(text_[at_ + from + count])) ++count;
    return count;
  }

 private:
  string_view text_;
  std::size_t at_ = 0;
};

// ".123" or ",123" behind `from`.
std::size_t fraction(const NoiseReader& reader, std::size_t from) {
  const char mark = reader.peek(from);
  if (mark != '.' && mark != ',') return 0;
  const auto count = reader.digits(from + 1);
  return count == 0 ? 0 : count + 1;
}

// "12:34:56.789"
std::size_t clock_at(const NoiseReader& reader, std::size_t from) {
  const auto hours = reader.digits(from);
  if (hours < 1 || hours > 2 || reader.peek(from + hours) != ':') return 0;
  auto at = from + hours + 1;
  if (reader.digits(at) != 2 || reader.peek(at + 2) != ':' || reader.digits(at + 3) != 2) return 0;
  at += 5;
  return at + fraction(reader, at) - from;
}

// "Z", "+01:00", " +0100"
std::size_t zone_at(const NoiseReader& reader, std::size_t from) {
  if (reader.peek(from) == 'Z') return 1;
  const std::size_t blank = reader.peek(from) == ' ' ? 1 : 0;
  const char sign = reader.peek(from + blank);
  if (sign != '+' && sign != '-') return 0;
  const auto first = from + blank + 1;
  if (reader.digits(first) == 4) return blank + 5;
  return reader.digits(first) == 2 && reader.peek(first + 2) == ':' && reader.digits(first + 3) == 2
             ? blank + 6
             : 0;
}

// "2026-11-29T08:36:03Z", "2026-11-29 08:36:03.123 +0100", "2026/11/29"
std::size_t date_at(const NoiseReader& reader) {
  const char mark = reader.peek(4);
  if (reader.digits(0) != 4 || (mark != '-' && mark != '/')) return 0;
  if (reader.digits(5) != 2 || reader.peek(7) != mark || reader.digits(8) != 2) return 0;
  std::size_t length = 10;
  if (reader.peek(10) != 'T' && reader.peek(10) != ' ') return length;
  const auto clock = clock_at(reader, 11);
  if (clock == 0) return length;
  length = 11 + clock;
  return length + zone_at(reader, length);
}

constexpr std::array<string_view, 30> units{
    "ns",           "us",           "ms",         "s",    "m",      "h",       "d",    "sec",  "secs",
    "second",       "seconds",      "min",        "mins", "minute", "minutes", "hr",   "hrs",  "hour",
    "hours",        "day",          "days",       "week", "weeks",  "msec",    "usec", "nsec", "millis",
    "milliseconds", "microseconds", "nanoseconds"};

// "1m2.5s", "0.12 seconds": a number and a unit, again and again.
std::size_t duration_at(const NoiseReader& reader) {
  std::size_t length = 0;
  for (;;) {
    auto at = length + reader.digits(length);
    if (at == length) break;
    at += fraction(reader, at);
    const bool apart = reader.peek(at) == ' ';
    const auto start = at + (apart ? 1 : 0);
    const bool micro = reader.rest().substr(start).starts_with("\xc2\xb5s");
    const auto count = micro ? 3 : reader.letters(start);
    const auto name = reader.rest().substr(start, count);
    const bool known = micro || std::ranges::find(units, name) != units.end();
    // "5 m" may be metres, and "3 d" anything.
    if (!known || (apart && count < 2 && name != "s")) break;
    const char next = reader.peek(start + count);
    if (next == '_' || next == '=' || (length == 0 && apart && digit(next))) break;
    length = start + count;
    if (!digit(next)) break;
  }
  return length;
}

// Seconds, milliseconds, microseconds or nanoseconds since 1970, of our days.
std::size_t epoch_at(const NoiseReader& reader) {
  const auto count = reader.digits(0);
  const bool length = count == 10 || count == 13 || count == 16 || count == 19;
  return length && reader.peek() == '1' && reader.peek(1) >= '5' ? count + fraction(reader, count) : 0;
}

std::size_t uuid_at(const NoiseReader& reader) {
  constexpr std::array<std::size_t, 5> groups{8, 4, 4, 4, 12};
  std::size_t length = 0;
  for (const auto group : groups) {
    if (length > 0 && reader.peek(length++) != '-') return 0;
    if (reader.run(length, hex) != group) return 0;
    length += group;
  }
  return length;
}

// "Nov 29 08:36", "Nov 29  2026"
std::size_t month_at(const NoiseReader& reader) {
  static constexpr string_view names = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
  if (reader.letters(0) != 3 || names.find(reader.rest().substr(0, 3)) % 4 != 0) return 0;
  auto at = 3 + reader.run(3, [](char c) { return c == ' '; });
  const auto day = reader.digits(at);
  if (at == 3 || day < 1 || day > 2) return 0;
  at += day;
  const auto gap = reader.run(at, [](char c) { return c == ' '; });
  if (gap == 0) return 0;
  if (const auto clock = clock_at(reader, at + gap); clock > 0) return at + gap + clock;
  const auto count = reader.digits(at + gap);
  if (count == 4) return at + gap + 4;
  const auto minutes = at + gap + count + 1;
  return count == 2 && reader.peek(at + gap + 2) == ':' && reader.digits(minutes) == 2 ? minutes + 2 : 0;
}

// "pid 4711", "PID: 4711", "seed=4711": what stands before the number.
std::size_t named_number_at(const NoiseReader& reader) {
  const auto count = reader.letters(0);
  const auto name = lower(reader.rest().substr(0, count));
  if (name != "pid" && name != "ppid" && name != "tid" && name != "seed") return 0;
  const auto gap =
      reader.run(count, [](char c) { return c == ' ' || c == ':' || c == '=' || c == '#' || c == '('; });
  return gap == 0 || reader.digits(count + gap) == 0 ? 0 : count + gap;
}

// "[1] 4711" at the begin of a line: a job of the shell.
std::size_t job_at(const NoiseReader& reader) {
  const auto number = reader.digits(1);
  if (reader.peek() != '[' || number == 0 || reader.peek(number + 1) != ']') return 0;
  const auto gap = reader.run(number + 2, [](char c) { return c == ' '; });
  return gap > 0 && reader.digits(number + 2 + gap) >= 2 ? number + 2 + gap : 0;
}

// The name behind "/tmp/" that looks as if somebody had made it up.
std::size_t made_up_at(const NoiseReader& reader, std::size_t from) {
  const auto count = reader.run(from, [](char c) { return word(c) || c == '.' || c == '-'; });
  const auto name = reader.rest().substr(from, count);
  const bool small = std::ranges::any_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
  const bool large = std::ranges::any_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
  const bool number = std::ranges::any_of(name, digit);
  const bool random = name.size() >= 6 && ((small && large) || number);
  return random || name.starts_with("tmp") ? count : 0;
}

class Cleaner {
 public:
  std::string clean(string_view text) {
    NoiseReader reader(text);
    while (!reader.done()) {
      if (!take(reader)) {
        put(reader.peek());
        reader.skip(1);
      }
    }
    return std::move(out_);
  }

 private:
  bool replace(NoiseReader& reader, std::size_t length, string_view mark) {
    if (length == 0) return false;
    out_ += mark;
    reader.skip(length);
    return true;
  }
  // What was written over does not count.
  void put(char c) {
    if (c == '\r') {
      pending_return_ = true;
      return;
    }
    if (pending_return_ && c != '\n') out_.resize(line_);
    pending_return_ = false;
    out_ += c;
    if (c == '\n') line_ = out_.size();
  }
  bool take(NoiseReader& reader) {
    const char c = reader.peek();
    if (c == '\x1b') return escape(reader);
    const bool fresh = !word(reader.before());
    if (!fresh || pending_return_) return false;
    if (digit(c)) return number(reader);
    if (c == '[' && reader.before() == '\n') return kept(reader, job_at(reader));
    if (c == '/') return temporary(reader);
    if (!letter(c)) return false;
    if (replace(reader, uuid_at(reader), "<id>")) return true;
    if (replace(reader, month_at(reader), "<time>")) return true;
    return kept(reader, named_number_at(reader));
  }
  bool number(NoiseReader& reader) {
    if (reader.before() == '.') return false;
    if (replace(reader, uuid_at(reader), "<id>")) return true;
    if (replace(reader, date_at(reader), "<time>")) return true;
    if (replace(reader, clock_at(reader, 0), "<time>")) return true;
    if (replace(reader, duration_at(reader), "<duration>")) return true;
    if (replace(reader, epoch_at(reader), "<time>")) return true;
    if (c0x(reader)) return true;
    // One number is one word: its end is no begin of another.
    const auto count = reader.run(0, word);
    out_ += reader.rest().substr(0, count);
    reader.skip(count);
    return true;
  }
  bool c0x(NoiseReader& reader) {
    if (reader.peek() != '0' || reader.peek(1) != 'x') return false;
    const auto count = reader.run(2, hex);
    return count >= 4 && replace(reader, count + 2, "<address>");
  }
  // `length` bytes as they are, and a mark in place of the number behind them.
  bool kept(NoiseReader& reader, std::size_t length) {
    if (length == 0) return false;
    out_ += reader.rest().substr(0, length);
    reader.skip(length);
    return replace(reader, reader.digits(0), "<number>");
  }
  bool temporary(NoiseReader& reader) {
    for (const string_view folder : {"/var/tmp/", "/tmp/"}) {
      if (!reader.rest().starts_with(folder)) continue;
      const auto count = made_up_at(reader, folder.size());
      if (count == 0) return false;
      out_ += folder;
      reader.skip(folder.size());
      return replace(reader, count, "<name>");
    }
    return false;
  }
  static bool escape(NoiseReader& reader) {
    std::size_t length = 1;
    if (reader.peek(1) == '[') {
      length = 2 + reader.run(2, [](char c) { return digit(c) || c == ';' || c == '?'; });
      ++length;
    }
    reader.skip(length);
    return true;
  }

  std::string out_;
  std::size_t line_ = 0;  // where the line begins
  bool pending_return_ = false;
};

constexpr std::array<string_view, 20> error_words{
    "error",     "exception", "fatal",     "failed",    "failure",   "cannot ", "can't",
    "not found", "no such",   "denied",    "undefined", "unable to", "panic",   "refused",
    "invalid",   "missing",   "timed out", "timeout",   "not exist", "aborted"};
// They only pass on what went wrong elsewhere.
constexpr std::array<string_view, 10> wrappers{
    "make:",  "make[",     "gmake:",    "npm ERR!",      "npm error",
    "ninja:", "Traceback", "Exit code", "error: Recipe", "error: command failed"};

string_view trimmed(string_view line) {
  const auto begin = line.find_first_not_of(" \t");
  if (begin == string_view::npos) return {};
  line.remove_prefix(begin);
  line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
  if (line.starts_with("E   ")) line = trimmed(line.substr(1));  // pytest's margin
  return line;
}

bool names_error(string_view line) {
  if (line.empty() || std::ranges::any_of(wrappers, [&](string_view w) { return line.starts_with(w); }))
    return false;
  const auto text = lower(line.substr(0, 2000));
  return std::ranges::any_of(error_words, [&](string_view w) { return text.find(w) != std::string::npos; });
}

}  // namespace

std::string without_noise(string_view output) {
  if (output.size() <= 2 * kept_bytes) return Cleaner().clean(output);
  const auto begin = output.substr(0, kept_bytes);
  const auto end = output.substr(output.size() - kept_bytes);
  return Cleaner().clean(begin) + "\n<" + std::to_string(output.size()) + " bytes>\n" + Cleaner().clean(end);
}

ErrorSignature error_of(string_view output) {
  std::string first;
  std::string last;
  std::size_t count = 0;
  while (!output.empty()) {
    const auto end = std::min(output.find('\n'), output.size());
    const auto line = trimmed(output.substr(0, end));
    output.remove_prefix(std::min(end + 1, output.size()));
    if (!names_error(line)) continue;
    if (count++ == 0) first = line;
    last = line;
  }
  if (count == 0) return {};
  ErrorSignature signature{short_digest(first + "\n" + last + "\n" + std::to_string(count)), {}};
  signature.line = base::cut_utf8(last, 500);
  return signature;
}

std::uint64_t short_digest(string_view text) {
  const auto digest = base::Sha256::of(text);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | digest[i];
  return value;
}

}  // namespace agentrouter::policy
