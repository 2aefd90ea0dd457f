#pragma once
// An output file under a cap, hashed while it is written.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"

namespace agentrouter::workspace {

class Sink {
 public:
  // `fd` is borrowed.
  Sink(int fd, std::uint64_t cap) : fd_(fd), cap_(cap) {}

  [[nodiscard]] bool fits(std::uint64_t bytes) const { return bytes <= cap_ - bytes_; }
  // The caller has asked fits(). A write that fails is reported by finish().
  void append(std::string_view bytes);
  // Everything is written. Errors: those of write(2).
  [[nodiscard]] base::Result<void> finish();

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::string sha256() const { return hash_.hex(); }

 private:
  void flush();

  int fd_;
  std::uint64_t cap_;
  std::uint64_t bytes_ = 0;
  base::Sha256 hash_;
  std::string pending_;
  base::Result<void> state_;
};

}  // namespace agentrouter::workspace
