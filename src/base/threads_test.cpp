#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <future>

#include "base/pool.h"

namespace agentrouter::base {
namespace {

using namespace std::chrono_literals;

TEST(Threads, OneThreadRunsInTheOrderOfPosting) {
  std::vector<int> order;
  Threads threads(1);
  for (int i = 0; i < 100; ++i) threads.post([&order, i] { order.push_back(i); });
  threads.join();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Threads, DelayedWorkRunsNotBeforeItsTime) {
  Threads threads(1);
  const auto begin = std::chrono::steady_clock::now();
  std::promise<std::chrono::steady_clock::time_point> ran;
  threads.post_after(20ms, [&] { ran.set_value(std::chrono::steady_clock::now()); });
  EXPECT_GE(ran.get_future().get(), begin + 20ms);
}

TEST(Threads, JoinDropsWhatStillWaitsForItsTime) {
  std::atomic<bool> ran = false;
  {
    Threads threads(2);
    threads.post_after(1h, [&] { ran = true; });
    threads.join();
    threads.post_after(0ms, [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

// Keeps what is posted until it is asked to run it.
struct Kept final : ThreadSource {
  Kept() { set_thread_source(this); }
  ~Kept() override { set_thread_source(nullptr); }
  void begin(const Threads&, std::size_t) override {}
  void post(const Threads&, Threads::Work work, std::chrono::milliseconds delay) override {
    (delay > 0ms ? delayed : posted).push_back(std::move(work));
  }
  void join(const Threads&) override { run(); }
  void run() {
    for (auto& work : std::exchange(posted, {})) work();
  }
  std::vector<Threads::Work> posted, delayed;
};

TEST(Threads, AreASimulationsWorkWhenThereIsOne) {
  Kept simulation;
  bool ran = false;
  bool late = false;
  {
    Threads threads(4);
    threads.post([&] { ran = true; });
    threads.post_after(1ms, [&] { late = true; });
    EXPECT_FALSE(ran);
  }
  EXPECT_TRUE(ran);
  EXPECT_FALSE(late);
  EXPECT_EQ(simulation.delayed.size(), 1u);
}

TEST(Threads, APoolOfASimulationResumesOnItsExecutor) {
  Kept simulation;
  Pool pool(2);
  asio::io_context io;
  int got = 0;
  asio::co_spawn(io.get_executor(), pool.run([] { return 7; }), [&](auto, int value) { got = value; });
  io.poll();
  EXPECT_EQ(got, 0);
  simulation.run();
  io.restart();
  io.poll();
  EXPECT_EQ(got, 7);
}

}  // namespace
}  // namespace agentrouter::base
