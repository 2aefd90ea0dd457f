#include "sandbox/stats.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace agentrouter::bench {

double ms_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

double now_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return ms_of(time);
}

double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
  return values[std::min(values.size(), std::max<std::size_t>(rank, 1)) - 1];
}

void print_rows(const std::string& title, const std::vector<Row>& rows) {
  std::printf("\n%-44s %7s %8s %8s %8s %8s %8s %17s\n", title.c_str(), "samples", "min", "p25", "p50", "p90", "p99",
              "p50 first/last 1/4");
  for (const auto& row : rows) {
    if (row.times.empty()) continue;
    const auto part = static_cast<std::ptrdiff_t>((row.times.size() + 3) / 4);
    std::printf("%-44s %7zu %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f\n", row.name.c_str(), row.times.size(),
                quantile(row.times, 0), quantile(row.times, 0.25), quantile(row.times, 0.5), quantile(row.times, 0.9),
                quantile(row.times, 0.99), quantile({row.times.begin(), row.times.begin() + part}, 0.5),
                quantile({row.times.end() - part, row.times.end()}, 0.5));
  }
  std::fflush(stdout);
}

}  // namespace agentrouter::bench
