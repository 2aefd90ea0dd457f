#pragma once
// Finds the token counts in a provider's answer while it streams by, in constant memory: server-sent events
// or one JSON document, of the OpenAI Responses or the Anthropic Messages API.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::egress {

// Tokens as the provider reported them; what it did not report is missing.
struct Usage {
  std::optional<std::int64_t> input_tokens;
  std::optional<std::int64_t> cached_input_tokens;
  std::optional<std::int64_t> output_tokens;
  std::optional<std::int64_t> reasoning_output_tokens;
};

// Reads the numbers of an object `usage` at the top, in `response` or in `message`. A later one wins.
class UsageScanner {
 public:
  void feed(std::string_view json);
  // The next byte begins another document.
  void reset();
  [[nodiscard]] const std::optional<Usage>& usage() const { return usage_; }

 private:
  static constexpr std::size_t levels = 4;
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
};

// Feeds a scanner from the body of an answer.
class UsageMeter {
 public:
  enum class Format { none, json, events };
  [[nodiscard]] static Format format_of(std::string_view content_type);

  explicit UsageMeter(Format format) : format_(format) {}
  void feed(std::string_view body);
  [[nodiscard]] const std::optional<Usage>& usage() const { return scanner_.usage(); }

 private:
  void take_line_start(char c);

  Format format_;
  UsageScanner scanner_;
  enum class Line { begin, data, other } line_ = Line::begin;
  bool after_newline_ = true;
  std::string prefix_;  // the line so far, while it may still become "data:"
};

}  // namespace agentrouter::egress
