#pragma once
// "Random" bytes that are the same in every run of a test, and never repeat within one.

#include <atomic>

#include "base/hash.h"
#include "base/id.h"

namespace agentrouter::testing {

// Safe from any thread.
class FixedEntropy final : public base::Entropy {
 public:
  explicit FixedEntropy(std::uint64_t seed = 1) : next_(seed << 32) {}

  void fill(std::span<std::uint8_t> bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const auto block = base::Sha256::of("entropy " + std::to_string(next_++));
      for (const auto byte : block) {
        if (done == bytes.size()) return;
        bytes[done++] = byte;
      }
    }
  }

 private:
  std::atomic<std::uint64_t> next_;
};

}  // namespace agentrouter::testing
