#pragma once
// The only thing that the simulated provider remembers between two requests: which `error`, `fail` and
// `drop` lines have had their one turn. One object per attempt; everything else follows from the request.

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_set>

namespace agentrouter::sim {

class Memory {
 public:
  // Lines remembered at most; beyond, the oldest is forgotten and would fire again.
  static constexpr std::size_t capacity = 65536;

  // True for the first call with this key.
  [[nodiscard]] bool fire(const std::string& key);

 private:
  std::unordered_set<std::string> fired_;
  std::deque<std::string> order_;
};

}  // namespace agentrouter::sim
