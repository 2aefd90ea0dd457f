#pragma once
// The provider key in the one place where it lives: a buffer that is locked in memory, left out of core dumps
// and wiped when it ends. It is never copied into a std::string and never written to a log.

#include <cstddef>
#include <string_view>

#include "base/error.h"

namespace agentrouter::egress {

// A buffer that swap and core dumps do not see. Not copyable; wiped by its destructor.
class SecretBuffer {
 public:
  SecretBuffer() = default;
  // Throws Failure(unavailable) when there is no memory that can be locked.
  explicit SecretBuffer(std::size_t capacity);
  SecretBuffer(SecretBuffer&& other) noexcept;
  SecretBuffer& operator=(SecretBuffer&& other) noexcept;
  ~SecretBuffer();

  // Aborts when it does not fit.
  void append(std::string_view bytes);
  void wipe();
  // Reads once from `fd` into what is free. Returns 0 at the end. Errors: that of read(2), exhausted (full).
  [[nodiscard]] base::Result<std::size_t> read_from(int fd);

  [[nodiscard]] std::string_view view() const { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  void release();

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

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
