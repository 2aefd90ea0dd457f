#pragma once
// The provider key in the one place where it lives: a buffer that is locked in memory, left out of core dumps
// and wiped when it ends. It is never copied into a std::string and never written to a log.

#include <cstddef>
#include <string_view>

#include "base/error.h"
#include "base/secret_buffer.h"

namespace agentrouter::egress {

using base::SecretBuffer;

class Secret {
 public:
  static constexpr std::size_t max_bytes = 4096;

  // Errors: invalid (empty, too long, or a byte that no header field may hold).
  [[nodiscard]] static base::Result<Secret> create(std::string_view key);
  // Reads `fd` to its end, so that the key goes from the pipe to its buffer without a copy in between.
  // Blanks and line ends around it are dropped. Errors: as create(), and those of read(2).
  [[nodiscard]] static base::Result<Secret> read_from(int fd);
  // Reads exactly `size` bytes: the value of a header field, which may hold blanks ("Bearer ..."). Errors: as
  // create(), invalid (cut), and those of read(2).
  [[nodiscard]] static base::Result<Secret> read_field(int fd, std::size_t size);
  [[nodiscard]] static base::Result<Secret> create_field(std::string_view value);

  // Dies with the Secret. Do not copy.
  [[nodiscard]] std::string_view view() const { return view_; }

 private:
  enum class Blanks { refused, inside };
  [[nodiscard]] static base::Result<Secret> take(SecretBuffer buffer, Blanks blanks = Blanks::refused);
  Secret(SecretBuffer buffer, std::string_view view) : buffer_(std::move(buffer)), view_(view) {}

  SecretBuffer buffer_;
  std::string_view view_;
};

}  // namespace agentrouter::egress
