#include "base/shares.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/pace.h"

namespace agentrouter::base {
namespace {

using namespace std::chrono_literals;

// As many places as `owner` gets.
std::vector<Shares::Place> take_all(Shares& shares, std::string_view owner) {
  std::vector<Shares::Place> places;
  while (auto place = shares.take(owner)) places.push_back(std::move(*place));
  return places;
}

TEST(Shares, NobodyTakesAllAndEachNextOneGetsHalfOfTheRest) {
  Shares shares(16);
  const auto a = take_all(shares, "a");
  EXPECT_EQ(a.size(), 8u);
  const auto b = take_all(shares, "b");
  EXPECT_EQ(b.size(), 4u);
  EXPECT_EQ(take_all(shares, "c").size(), 2u);
  EXPECT_FALSE(shares.take("a"));
}

TEST(Shares, APlaceThatIsGivenBackIsFreeForAnybody) {
  Shares shares(4);
  auto a = take_all(shares, "a");
  auto b = take_all(shares, "b");
  auto c = take_all(shares, "c");
  EXPECT_EQ(a.size() + b.size() + c.size(), 4u);
  EXPECT_FALSE(shares.take("d"));
  a.pop_back();
  EXPECT_TRUE(shares.take("d"));
  a.clear();
  b.clear();
  c.clear();
  EXPECT_EQ(take_all(shares, "d").size(), 2u);
}

TEST(Shares, APlaceIsGivenBackOnceHoweverOftenItMoves) {
  Shares shares(2);
  {
    auto place = shares.take("a");
    const auto moved = std::move(place);
    EXPECT_FALSE(shares.take("a"));
  }
  EXPECT_EQ(take_all(shares, "a").size(), 1u);
}

TEST(Pace, WaitingUsesUpTheTimeInHandAndBytesBringItBack) {
  Pace pace({.in_hand = 10s, .bytes_per_second = 1000});
  pace.waited(9s);
  EXPECT_FALSE(pace.is_lost());
  EXPECT_EQ(pace.left(), 1s);
  pace.moved(2000);
  EXPECT_EQ(pace.left(), 3s);
  pace.waited(3s);
  EXPECT_TRUE(pace.is_lost());
}

TEST(Pace, WhoWasFastHasNoMoreInHandThanInTheBeginning) {
  Pace pace({.in_hand = 10s, .bytes_per_second = 1});
  pace.moved(~0ull);
  EXPECT_EQ(pace.left(), 10s);
  pace.waited(11s);
  pace.moved(~0ull);
  EXPECT_EQ(pace.left(), 10s);
}

}  // namespace
}  // namespace agentrouter::base
