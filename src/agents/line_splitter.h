#pragma once
// Cuts a stream of bytes into lines, in linear time however the bytes arrive, and never holds more than one
// line of the allowed length.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::agents {

class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

  // Bytes to cut. They must live until next() has returned nothing.
  void push(std::string_view bytes) { rest_ = bytes; }
  // The next whole line without its LF; nothing when more bytes are needed or a line was too long. The view
  // is valid until the next call.
  [[nodiscard]] std::optional<std::string_view> next();
  // A line was longer than allowed. It stays so.
  [[nodiscard]] bool overflowed() const { return overflowed_; }

 private:
  std::size_t max_line_bytes_;
  std::string pending_;  // the begin of a line whose end has not come
  bool pending_taken_ = false;
  std::string_view rest_;
  bool overflowed_ = false;
};

}  // namespace agentrouter::agents
