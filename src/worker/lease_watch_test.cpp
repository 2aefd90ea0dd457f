#include "worker/lease_watch.h"

#include <gtest/gtest.h>

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

store::Attempt held(const char* id, std::int64_t token, std::int64_t beats) {
  store::Attempt attempt;
  attempt.id = model::AttemptId(id);
  attempt.token = token;
  attempt.beats = beats;
  return attempt;
}

TEST(LeaseWatch, ALeaseThatStandsStillForItsWholeTimeHasRunOut) {
  LeaseWatch watch(30s);
  const base::Deadline begin{};
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin).empty());
  EXPECT_EQ(watch.next(), begin + 30s);
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin + 29s).empty());
  EXPECT_EQ(watch.look({held("a", 1, 0)}, begin + 30s).size(), 1u);
}

TEST(LeaseWatch, EachBeatAndEachNewTokenBeginsAnew) {
  LeaseWatch watch(30s);
  const base::Deadline begin{};
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin).empty());
  EXPECT_TRUE(watch.look({held("a", 1, 1)}, begin + 29s).empty());
  EXPECT_EQ(watch.next(), begin + 59s);
  EXPECT_TRUE(watch.look({held("a", 2, 1)}, begin + 58s).empty());
  EXPECT_TRUE(watch.look({held("a", 2, 1)}, begin + 87s).empty());
  EXPECT_EQ(watch.look({held("a", 2, 1)}, begin + 88s).size(), 1u);
}

TEST(LeaseWatch, TimeInWhichNobodyCouldHaveRenewedItDoesNotCount) {
  LeaseWatch watch(30s);
  const base::Deadline begin{};
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin).empty());
  watch.begin_anew(begin + 100s);
  EXPECT_EQ(watch.next(), begin + 130s);
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin + 129s).empty());
  EXPECT_EQ(watch.look({held("a", 1, 0)}, begin + 130s).size(), 1u);
}

TEST(LeaseWatch, OneThatNobodyTookIsNamedAgainAfterAnotherLease) {
  LeaseWatch watch(30s);
  const base::Deadline begin{};
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin).empty());
  EXPECT_EQ(watch.look({held("a", 1, 0)}, begin + 30s).size(), 1u);
  EXPECT_EQ(watch.next(), begin + 60s);
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin + 59s).empty());
  EXPECT_EQ(watch.look({held("a", 1, 0)}, begin + 60s).size(), 1u);
}

TEST(LeaseWatch, WhoIsNotSeenIsForgottenAndTheNextOneIsKnown) {
  LeaseWatch watch(30s);
  const base::Deadline begin{};
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin).empty());
  EXPECT_TRUE(watch.look({held("a", 1, 0), held("b", 1, 0)}, begin + 10s).empty());
  EXPECT_EQ(watch.next(), begin + 30s);
  EXPECT_TRUE(watch.look({held("b", 1, 0)}, begin + 20s).empty());
  EXPECT_EQ(watch.next(), begin + 40s);
  EXPECT_TRUE(watch.look({}, begin + 20s).empty());
  EXPECT_EQ(watch.next(), base::Deadline::max());
  EXPECT_TRUE(watch.look({held("a", 1, 0)}, begin + 100s).empty());
}

}  // namespace
}  // namespace agentrouter::worker
