#include "apps/signals_between.h"

#include <gtest/gtest.h>

#include <csignal>

namespace agentrouter::apps {
namespace {

TEST(SignalsBetween, WhatEndsAServerIsRememberedUntilItBeginsAgain) {
  SignalsBetween between;
  EXPECT_FALSE(between.told_to_end());
  for (const int signal : {SIGTERM, SIGINT}) {
    ::raise(signal);
    EXPECT_TRUE(between.told_to_end());
    EXPECT_TRUE(between.told_to_end());
    EXPECT_FALSE(between.told_to_reload());
    between.begin();
    EXPECT_FALSE(between.told_to_end());
  }
}

TEST(SignalsBetween, AHangupWantsTheConfigurationReadAgain) {
  SignalsBetween between;
  ::raise(SIGHUP);
  EXPECT_TRUE(between.told_to_reload());
  EXPECT_FALSE(between.told_to_end());
  between.begin();
  EXPECT_FALSE(between.told_to_reload());
}

TEST(SignalsBetween, WhoeverWaitsForASignalHasItOnceItIsForgottenHere) {
  asio::io_context io(1);
  asio::basic_signal_set<base::Executor> rooms(io.get_executor(), SIGTERM);
  int heard = 0;
  rooms.async_wait([&](boost::system::error_code error, int signal) { heard = error ? -1 : signal; });
  SignalsBetween between;
  ::raise(SIGTERM);
  between.begin();
  rooms.cancel();  // too late for what has come
  io.run();
  EXPECT_EQ(heard, SIGTERM);
  EXPECT_FALSE(between.told_to_end());
}

}  // namespace
}  // namespace agentrouter::apps
