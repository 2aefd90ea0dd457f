// Arbitrary bytes as a file without a name.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/fd.h"

inline agentrouter::base::Fd file_of(const std::string& bytes) {
  agentrouter::base::Fd fd(::memfd_create("input", MFD_CLOEXEC));
  if (!fd || !agentrouter::base::write_all(fd.get(), bytes) || ::lseek(fd.get(), 0, SEEK_SET) != 0) std::abort();
  return fd;
}

inline std::string bytes_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A zstd frame whose blocks are not compressed, so that what is in it can be mutated byte by byte.
inline std::string plain_zstd(const std::string& bytes) {
  std::string frame("\x28\xb5\x2f\xfd\x00\x58", 6);  // no checksum, a window of 2 MiB
  constexpr std::size_t block = 64 * 1024;
  for (std::size_t at = 0;; at += block) {
    const auto piece = bytes.substr(std::min(at, bytes.size()), block);
    const bool last = at + block >= bytes.size();
    const auto head = piece.size() << 3 | (last ? 1u : 0u);
    for (int shift = 0; shift < 24; shift += 8) frame += static_cast<char>(head >> shift & 0xff);
    frame += piece;
    if (last) return frame;
  }
}
