#pragma once
// The place in memory of a secret while it is needed: guard pages around it, left out of core dumps, locked, and
// wiped when it ends.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::base {

// Not copyable; wiped by its destructor.
class SecretBuffer {
 public:
  // `where_possible` is for processes that keep many: what cannot be locked is wiped all the same, but may have
  // been written to swap.
  enum class Lock { demanded, where_possible };

  SecretBuffer() = default;
  // Throws Failure(unavailable) when there is no memory, or none that can be locked where that is demanded.
  explicit SecretBuffer(std::size_t capacity, Lock lock = Lock::demanded);
  SecretBuffer(SecretBuffer&& other) noexcept;
  SecretBuffer& operator=(SecretBuffer&& other) noexcept;
  ~SecretBuffer();

  // Aborts when it does not fit.
  void append(std::string_view bytes);
  // Room for `size` more bytes that the caller writes at once. Aborts when they do not fit.
  [[nodiscard]] unsigned char* extend(std::size_t size);
  void wipe();
  // Reads once from `fd` into what is free. Returns 0 at the end. Errors: that of read(2), exhausted (full).
  [[nodiscard]] Result<std::size_t> read_from(int fd);

  // Dies with the buffer.
  [[nodiscard]] std::string_view view() const { return {data_, size_}; }
  [[nodiscard]] const unsigned char* bytes() const { return reinterpret_cast<const unsigned char*>(data_); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  void release();

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// For a copy that could not be avoided: overwrites the text and empties it.
void wipe(std::string& text);

}  // namespace agentrouter::base
