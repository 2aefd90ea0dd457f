#include "base/steady_clock.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "base/event.h"

namespace agentrouter::base {
namespace {

struct StandingTime final : SteadySource {
  StandingTime() { set_steady_source(this); }
  ~StandingTime() override { set_steady_source(nullptr); }
  [[nodiscard]] SteadyClock::time_point now() const noexcept override { return time; }
  void waits(SteadyClock::duration next) noexcept override { asked = next; }

  SteadyClock::time_point time{std::chrono::hours(1)};
  SteadyClock::duration asked{};
};

TEST(SteadyClock, IsTheMachinesUnlessASimulationHasItsOwn) {
  EXPECT_GT(SteadyClock::now() + std::chrono::minutes(1), std::chrono::steady_clock::now());
  const StandingTime simulation;
  EXPECT_EQ(SteadyClock::now(), simulation.time);
}

TEST(SteadyClock, MovesTimersOnlyWhenTheSimulationDoes) {
  StandingTime simulation;
  asio::io_context io;
  Timer timer(io.get_executor());
  bool fired = false;
  timer.expires_after(std::chrono::hours(24));
  timer.async_wait([&](auto) { fired = true; });
  io.poll();
  EXPECT_FALSE(fired);
  EXPECT_EQ(simulation.asked, std::chrono::hours(24));

  simulation.time += simulation.asked;
  io.poll();
  EXPECT_TRUE(fired);
}

TEST(SteadyClock, LeavesADeadlineThatNeverComesAlone) {
  StandingTime simulation;
  asio::io_context io;
  Event never(io.get_executor());
  bool resumed = false;
  asio::co_spawn(io.get_executor(), never.wait(), [&](auto) { resumed = true; });
  io.poll();
  simulation.time += std::chrono::years(10);
  io.poll();
  EXPECT_FALSE(resumed);
  never.notify();
  io.poll();
  EXPECT_TRUE(resumed);
}

}  // namespace
}  // namespace agentrouter::base
