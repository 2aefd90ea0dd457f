#include "base/figures.h"

#include <gtest/gtest.h>

namespace agentrouter::base {
namespace {

TEST(Figures, AValueCountsInTheFirstBucketThatHoldsIt) {
  Histogram histogram({0.1, 1});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.add(value);
  const auto seen = histogram.seen();
  EXPECT_EQ(seen.counts, (std::vector<std::uint64_t>{2, 1, 1}));
  EXPECT_DOUBLE_EQ(seen.sum, 7.65);
}

TEST(Figures, TextIsWhatPrometheusReads) {
  FigureText text;
  text.gauge("a_seconds", "How long.");
  text.value(1.5);
  text.value(2, {{"state", "a\"b\\\n"}});
  Histogram histogram({0.5});
  histogram.add(0.25);
  histogram.add(3);
  text.histogram("b_seconds", "How often.");
  text.values(histogram.seen(), {{"of", "x"}});
  EXPECT_EQ(text.text(),
            "# HELP a_seconds How long.\n"
            "# TYPE a_seconds gauge\n"
            "a_seconds 1.5\n"
            "a_seconds{state=\"a\\\"b\\\\\\n\"} 2\n"
            "# HELP b_seconds How often.\n"
            "# TYPE b_seconds histogram\n"
            "b_seconds_bucket{of=\"x\",le=\"0.5\"} 1\n"
            "b_seconds_bucket{of=\"x\",le=\"+Inf\"} 2\n"
            "b_seconds_sum{of=\"x\"} 3.25\n"
            "b_seconds_count{of=\"x\"} 2\n");
}

}  // namespace
}  // namespace agentrouter::base
