#pragma once
// Codex counts tokens over the whole life of a thread, also across resumption; a run pays for its own turn
// only.

#include <optional>

#include "agents/session.h"

namespace agentrouter::agents::codex {

class UsageMeter {
 public:
  // A thread/tokenUsage/updated: `usage` is {total, last}. What comes for an earlier turn (a resumed thread
  // repeats its last count) is where this turn starts from; without one, the first count less its own last
  // step is.
  enum class Turn { this_one, earlier };
  void update(const json::object& usage, Turn turn);
  // Nothing before the first count of this turn.
  [[nodiscard]] std::optional<TokenUsage> of_turn() const;

 private:
  std::optional<TokenUsage> base_;
  std::optional<TokenUsage> total_;
};

}  // namespace agentrouter::agents::codex
