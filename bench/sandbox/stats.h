#pragma once
// Times in milliseconds, and how they are shown.

#include <time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace agentrouter::bench {

// CLOCK_MONOTONIC, the same inside of every namespace that is used here.
[[nodiscard]] double now_ms();
[[nodiscard]] double ms_of(const timespec& time);

struct Row {
  std::string name;
  std::vector<double> times;
};

// The smallest value that at least `part` of all are not above. 0 when there are none.
[[nodiscard]] double quantile(std::vector<double> values, double part);

// With the medians of the first and the last quarter: whether it becomes slower the longer it goes on.
void print_rows(const std::string& title, const std::vector<Row>& rows);

}  // namespace agentrouter::bench
