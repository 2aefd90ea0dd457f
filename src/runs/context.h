#pragma once
// What every use case needs besides the transaction: the time and randomness.

#include "base/clock.h"
#include "base/id.h"

namespace agentrouter::runs {

struct Context {
  const base::Clock& clock;
  base::Entropy& entropy;
};

}  // namespace agentrouter::runs
