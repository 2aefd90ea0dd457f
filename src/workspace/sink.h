#pragma once
// An output under a cap, hashed while it is written: a file, or whatever takes pieces.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"

namespace agentrouter::workspace {

class Sink {
 public:
  // `fd` is borrowed.
  Sink(int fd, std::uint64_t cap) : fd_(fd), cap_(cap) {}
  using Take = std::function<base::Result<void>(std::string_view bytes)>;
  explicit Sink(Take take) : cap_(~0ull), take_(std::move(take)) {}

  [[nodiscard]] bool fits(std::uint64_t bytes) const { return bytes <= cap_ - bytes_; }
  // The caller has asked fits(). A write that fails is reported by finish().
  void append(std::string_view bytes);
  // What has gone wrong so far.
  [[nodiscard]] const base::Result<void>& state() const { return state_; }
  // Everything is written. Errors: those of write(2).
  [[nodiscard]] base::Result<void> finish();

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::string sha256() const { return hash_.hex(); }

 private:
  void flush();
  [[nodiscard]] base::Result<void> put(std::string_view bytes) const;

  int fd_ = -1;
  std::uint64_t cap_;
  std::uint64_t bytes_ = 0;
  base::Sha256 hash_;
  std::string pending_;
  base::Result<void> state_;
  Take take_;
};

}  // namespace agentrouter::workspace
