#pragma once
// What the world outside of the product has seen. Whoever plays an agent or a client tells it; the checker judges
// the product by it.

#include <cstdint>
#include <string>

namespace agentrouter::simulation {

class Witness {
 public:
  virtual ~Witness() = default;
  // An agent was started, or one of its actions ran.
  virtual void ran(const std::string& run, const std::string& attempt, const std::string& action,
                   const std::string& digest, bool launch, bool needs_approval) = 0;
  // A keeper has made this journal.
  virtual void journal_made(const std::string& run, const std::string& attempt) = 0;
};

}  // namespace agentrouter::simulation
