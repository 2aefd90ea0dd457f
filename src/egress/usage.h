#pragma once
// Finds the token counts in a provider's answer while it streams by, in constant memory: server-sent events
// or one JSON document, of the OpenAI Responses or the Anthropic Messages API.

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::egress {

// Tokens as the provider reported them; what it did not report is missing.
struct Usage {
  std::optional<std::int64_t> input_tokens;
  std::optional<std::int64_t> cached_input_tokens;
  std::optional<std::int64_t> cache_write_tokens;
  std::optional<std::int64_t> output_tokens;
  std::optional<std::int64_t> reasoning_output_tokens;
};

// Reads the numbers of an object `usage` at the top, in `response` or in `message`. A later one wins. Counts
// the bytes of what the model said, without names and what is encrypted.
class UsageScanner {
 public:
  void feed(std::string_view json);
  // The next byte begins another document.
  void reset();
  [[nodiscard]] const std::optional<Usage>& usage() const { return usage_; }
  // A stream says the same several times: piece by piece, item by item, as a whole. The longest of these.
  [[nodiscard]] std::int64_t text_bytes() const { return *std::max_element(text_.begin(), text_.end()); }

 private:
  static constexpr std::size_t levels = 8;
  struct Level {
    bool is_object = false;
    bool expects_key = false;
    std::string key;
  };

  void take(char c);
  void take_in_string(char c);
  void open(bool is_object);
  void close();
  void end_number();
  void count(char c);
  [[nodiscard]] std::int64_t* place_of_text();
  [[nodiscard]] std::string path() const;

  Level level_[levels];
  std::uint64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool is_key_ = false;
  std::string key_;
  std::string number_;
  bool is_integer_ = true;
  std::optional<Usage> usage_;
  std::int64_t* counting_ = nullptr;  // of the string that is open
  int hex_digits_ = 0;                // of \uXXXX that are still to come
  std::array<std::int64_t, 4> text_{};
};

// Feeds a scanner from the body of an answer.
class UsageMeter {
 public:
  enum class Format { none, json, events };
  [[nodiscard]] static Format format_of(std::string_view content_type);

  explicit UsageMeter(Format format) : format_(format) {}
  void feed(std::string_view body);
  [[nodiscard]] const std::optional<Usage>& usage() const { return scanner_.usage(); }
  [[nodiscard]] std::int64_t text_bytes() const { return std::max(scanner_.text_bytes(), other_bytes_); }

 private:
  void take_line_start(char c);

  Format format_;
  UsageScanner scanner_;
  std::int64_t other_bytes_ = 0;  // of a body that is neither
  enum class Line { begin, data, other } line_ = Line::begin;
  bool after_newline_ = true;
  std::string prefix_;  // the line so far, while it may still become "data:"
};

}  // namespace agentrouter::egress
