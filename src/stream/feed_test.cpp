#include "stream/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/builders.h"

namespace agentrouter::stream {

namespace {

using ::testing::ElementsAre;

// A backlog of 100-byte frames with room for five.
class BacklogOf : public ::testing::Test {
 protected:
  static Frame frame(model::Seq sequence) {
    return {sequence, std::make_shared<const std::string>(std::string(100, 'x'))};
  }
  static std::vector<model::Event> events(model::Seq first, model::Seq last,
                                          std::string type = "agent.progress") {
    std::vector<model::Event> made;
    for (auto sequence = first; sequence <= last; ++sequence) {
      model::Event event;
      static_cast<model::EventDraft&>(event) = testing::make_draft(type);
      event.sequence = sequence;
      made.push_back(event);
    }
    return made;
  }
  std::vector<model::Seq> taken() {
    std::vector<model::Seq> sequences;
    for (const auto& each : backlog_.take().frames) sequences.push_back(each.sequence);
    return sequences;
  }
  void offer(model::Seq first, model::Seq last) {
    for (auto sequence = first; sequence <= last; ++sequence) backlog_.offer(frame(sequence), false);
  }

  HubOptions options_{.queue_bytes = 500, .batch_bytes = 1 << 20};
  Backlog backlog_{0, options_};
};

TEST_F(BacklogOf, ReadsTheStoreFirst) {
  EXPECT_TRUE(backlog_.must_read());
  offer(1, 1);
  EXPECT_TRUE(backlog_.must_read());
}

TEST_F(BacklogOf, WhatIsInBothSourcesIsGivenOnce) {
  offer(3, 5);
  backlog_.add_page(events(1, 4), true);
  EXPECT_FALSE(backlog_.must_read());
  EXPECT_THAT(taken(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_FALSE(backlog_.must_read());
}

TEST_F(BacklogOf, WhatTheHubMissedIsReadFromTheStoreAndGivenOnce) {
  backlog_.add_page(events(1, 2), true);
  EXPECT_THAT(taken(), ElementsAre(1, 2));
  EXPECT_FALSE(backlog_.must_read());
  backlog_.missed();
  offer(5, 5);
  EXPECT_TRUE(backlog_.must_read());
  backlog_.add_page(events(3, 5), true);
  EXPECT_THAT(taken(), ElementsAre(3, 4, 5));
  EXPECT_FALSE(backlog_.must_read());
}

TEST_F(BacklogOf, AFullPageMeansThereIsMore) {
  backlog_.add_page(events(1, 3), false);
  EXPECT_THAT(taken(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(backlog_.must_read());
  backlog_.add_page({}, true);
  EXPECT_FALSE(backlog_.must_read());
}

TEST_F(BacklogOf, WhatIsOfferedWhileAnEmptyPageIsReadIsKept) {
  offer(1, 1);
  backlog_.add_page({}, true);
  EXPECT_THAT(taken(), ElementsAre(1));
}

TEST_F(BacklogOf, ASlowSubscriberIsSentBackToTheStoreAndMemoryStaysBounded) {
  backlog_.add_page({}, true);
  for (model::Seq sequence = 1; sequence <= 1000; ++sequence) {
    backlog_.offer(frame(sequence), false);
    ASSERT_LE(backlog_.queued_bytes(), options_.queue_bytes);
  }
  EXPECT_TRUE(backlog_.must_read());
  EXPECT_TRUE(taken().empty());
  // The page ends where the tail goes on.
  backlog_.add_page(events(1, 996), false);
  EXPECT_EQ(taken().back(), 1000);
  EXPECT_FALSE(backlog_.must_read());
}

TEST_F(BacklogOf, TheLastEventBeingTooLargeForTheQueueIsStillMissed) {
  backlog_.add_page({}, true);
  backlog_.offer({1, std::make_shared<const std::string>(std::string(501, 'x'))}, false);
  EXPECT_TRUE(backlog_.must_read());
}

TEST_F(BacklogOf, ABatchEndsAtItsLimitButHoldsAtLeastOne) {
  options_.batch_bytes = 250;
  backlog_.add_page({}, true);
  offer(1, 3);
  EXPECT_THAT(taken(), ElementsAre(1, 2));
  EXPECT_THAT(taken(), ElementsAre(3));
  options_.batch_bytes = 1;
  offer(4, 5);
  EXPECT_THAT(taken(), ElementsAre(4));
}

TEST_F(BacklogOf, NothingFollowsTheTerminalEvent) {
  backlog_.add_page({}, true);
  offer(1, 1);
  backlog_.offer(frame(2), true);
  const auto batch = backlog_.take();
  EXPECT_EQ(batch.frames.size(), 2u);
  EXPECT_TRUE(batch.ended);
  backlog_.offer(frame(3), false);
  EXPECT_TRUE(taken().empty());
  EXPECT_FALSE(backlog_.must_read());
}

TEST_F(BacklogOf, ATerminalEventInAPageEndsIt) {
  backlog_.add_page(events(1, 1, "run.cancelled"), true);
  EXPECT_TRUE(backlog_.take().ended);
}

TEST_F(BacklogOf, OldOffersAreIgnored) {
  Backlog from_ten(10, options_);
  from_ten.add_page({}, true);
  from_ten.offer(frame(9), false);
  from_ten.offer(frame(10), false);
  EXPECT_FALSE(from_ten.must_read());
  EXPECT_TRUE(from_ten.take().frames.empty());
  from_ten.offer(frame(11), false);
  EXPECT_EQ(from_ten.take().frames.size(), 1u);
}

}  // namespace

}  // namespace agentrouter::stream
