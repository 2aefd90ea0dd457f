#pragma once
// For tests: how much SQLite does for something, in its own instructions and over every connection that is
// opened from now on. Unlike time it is the same whenever the same is done.

#include <sqlite3.h>

#include <atomic>

namespace agentrouter::store {

class StepCount {
 public:
  // For the whole process, for good.
  static StepCount& instance() {
    static StepCount count;
    return count;
  }
  void reset() { steps_ = 0; }
  [[nodiscard]] long steps() const { return steps_; }

 private:
  StepCount() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&StepCount::watch)); }

  static int watch(sqlite3* db, char**, const void*) {
    sqlite3_progress_handler(
        db, 1,
        [](void*) {
          ++instance().steps_;
          return 0;
        },
        nullptr);
    return SQLITE_OK;
  }

  std::atomic<long> steps_ = 0;
};

}  // namespace agentrouter::store
