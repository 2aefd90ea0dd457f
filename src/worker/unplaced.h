#pragma once
// Ends runs that wait for something that no worker has, where the configuration says so: a lane that nobody could
// take from for that long, without a moment in between by this worker's steady clock, fails its runs that have waited
// for as long. A worker that comes and goes begins it anew.

#include "worker/run_driver.h"

namespace agentrouter::worker {

class Unplaced {
 public:
  // `context` outlives it.
  explicit Unplaced(DriverContext& context) : context_(context) {}

  // Throws Failure.
  base::Task<void> sweep();
  // When there may be something to do; never where the configuration does not ask for it.
  [[nodiscard]] base::Deadline next_look() const { return next_look_; }

 private:
  struct Lanes {
    std::vector<std::string> unplaceable;
    std::vector<std::string> all;  // that wait
    std::map<std::string, std::string> why;
  };
  base::Task<Lanes> read();
  base::Task<void> fail_runs(const std::string& lane, const Lanes& lanes);

  DriverContext& context_;
  std::map<std::string, base::Deadline> since_;  // by lane
  base::Deadline next_look_ = base::Deadline::max();
};

}  // namespace agentrouter::worker
