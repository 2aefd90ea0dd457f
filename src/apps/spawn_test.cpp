#include "apps/spawn.h"

#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

constexpr int report_fd = 3;
constexpr std::size_t report_size = 300'000;  // a pipe holds less

// This program again, as this test of itself.
std::vector<std::string> words_for(const std::string& test) {
  return {"--gtest_also_run_disabled_tests", "--gtest_filter=SelfRun.DISABLED_" + test};
}

TEST(SelfRun, DISABLED_Reports) {
  ASSERT_TRUE(base::write_all(report_fd, std::string(report_size, 'x')));
}

TEST(SelfRun, DISABLED_ReportsForever) {
  while (base::write_all(report_fd, std::string(report_size, 'x'))) {
  }
}

TEST(SelfRun, AReportMayBeLongerThanAPipe) {
  SelfRun run;
  const auto report = run.run(words_for("Reports"), {}, report_size);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->size(), report_size);
}

TEST(SelfRun, AReportThatIsTooLongEndsIt) {
  SelfRun run;
  const auto report = run.run(words_for("ReportsForever"), {}, report_size);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::exhausted);
}

TEST(SelfRun, NothingIsStartedOnceItIsStopped) {
  SelfRun run;
  run.stop();
  EXPECT_EQ(run.run(words_for("Reports"), {}, report_size).error().code, base::Code::cancelled);
}

}  // namespace
}  // namespace agentrouter::apps
