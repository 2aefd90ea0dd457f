#pragma once
// Server-sent events as the HTML standard defines them, without I/O: bytes in any pieces in, frames out. LF,
// CR and CRLF end lines, comments are skipped, a frame that the end of the stream cut is never given out.

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::detail {

struct SseFrame {
  std::string id;
  std::string event;  // "message" when the sender named none
  std::string data;
};

class SseParser {
 public:
  // One frame holds at most this many bytes; an event of the protocol is far below.
  static constexpr std::size_t max_frame = 64u << 20;

  // Throws Error protocol_error when a frame is over the limit.
  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<SseFrame> next();
  // The pause that the sender asked for, once it has.
  [[nodiscard]] std::optional<std::chrono::milliseconds> retry() const { return retry_; }
  // Forgets everything but retry(): for the next connection.
  void reset();

 private:
  void line(std::string_view text);
  void dispatch();

  std::string pending_;  // an unfinished line
  std::string id_;
  std::string event_;
  std::string data_;
  bool has_data_ = false;
  bool first_line_ = true;
  bool skip_lf_ = false;  // the last byte was a CR that has ended a line already
  std::deque<SseFrame> frames_;
  std::optional<std::chrono::milliseconds> retry_;
};

}  // namespace agentrouter::detail
