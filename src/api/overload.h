#pragma once
// What the server still takes on when it is asked for more than it can keep up with. Everything that a request
// can make wait is bounded: connections by net::ServerOptions, runs by runs::QueueRules, what waits for the
// store and the process's memory here. What frees something, a cancel above all, is taken for longest.

#include <cstdint>
#include <functional>

#include "base/event.h"
#include "store/store.h"

namespace agentrouter::api {

struct OverloadRules {
  std::size_t max_waiting_calls = 4'096;  // of the store, reads and writes each; 0: any number
  // Of this process, resident. Beyond it nothing is begun that takes more: runs, uploads, live streams.
  std::uint64_t max_memory_bytes = 0;  // 0: no bound
  std::function<std::uint64_t()> memory = [] { return std::uint64_t{0}; };
  std::chrono::milliseconds memory_is_known_for{200};
};

enum class Demand { usual, more };  // `more`: begins what goes on after the answer, or may be large

class Overload {
 public:
  Overload(const store::Store& store, OverloadRules rules) : store_(store), rules_(std::move(rules)) {}

  // Errors: unavailable (overloaded, details {what: store|memory, retryAfterSeconds}).
  [[nodiscard]] base::Result<void> check(Demand demand);

 private:
  [[nodiscard]] bool memory_is_full();

  const store::Store& store_;
  OverloadRules rules_;
  base::Deadline look_again_{};
  bool full_ = false;
};

}  // namespace agentrouter::api
