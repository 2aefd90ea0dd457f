#include "api/key_watch.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using tenancy::Caller;

class KeyWatches : public ApiRig {
 protected:
  using Answer = base::Result<void>;

  KeyWatches() {
    write([&](store::Transaction& tx) {
      for (const auto* id : {"open", "shut"})
        tx.put_workspace({id, id, clock_.now(), std::string("shut") == id});
      for (const auto* id : {"key_good", "key_gone"}) tx.put_api_key(key_of(id));
    });
  }
  store::ApiKey key_of(const std::string& id) {
    store::ApiKey key{.id = id, .hash = id, .workspaces = {"open"}, .created_at = clock_.now()};
    if (id == "key_gone") key.revoked_at = clock_.now();
    return key;
  }
  static Caller stored(const std::string& id) { return {id, {"open"}, {tenancy::Scope::runs_read}, true}; }

  // All of them begin before any is answered.
  std::vector<Answer> asked(const std::vector<std::pair<Caller, std::string>>& all) {
    std::vector<std::future<Answer>> coming;
    std::promise<void> begun;
    asio::post(io_, [&] {
      for (const auto& [caller, workspace] : all)
        coming.push_back(
            asio::co_spawn(io_.get_executor(), watch_.check(caller, workspace), asio::use_future));
      begun.set_value();
    });
    begun.get_future().get();
    std::vector<Answer> answers;
    for (auto& one : coming) answers.push_back(one.get());
    return answers;
  }
  std::string reason(const Caller& caller, const std::string& workspace) {
    const auto answer = asked({{caller, workspace}}).front();
    return answer ? "" : answer.error().reason;
  }

  KeyWatch watch_{*store_, clock_};
};

TEST_F(KeyWatches, SayWhoMayYet) {
  EXPECT_EQ(reason(stored("key_good"), "open"), "");
  EXPECT_EQ(reason(stored("key_gone"), "open"), "unauthorized");
  EXPECT_EQ(reason(stored("key_none"), "open"), "unauthorized");
  EXPECT_EQ(reason(stored("key_good"), "shut"), "workspace_unknown");
  EXPECT_EQ(reason(Caller::of_server("key_own"), "shut"), "workspace_unknown");
}

TEST_F(KeyWatches, TheServersOwnKeyIsNotLookedUp) {
  EXPECT_EQ(reason(Caller::of_server("key_own"), "default"), "");
  EXPECT_EQ(watch_.reads(), 0u);
}

TEST_F(KeyWatches, ThousandsWhoAskAtTheSameTimeCostTwoReads) {
  std::vector<std::pair<Caller, std::string>> all;
  for (int i = 0; i < 3000; ++i) all.emplace_back(stored(i % 3 == 0 ? "key_gone" : "key_good"), "open");
  const auto answers = asked(all);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(answers[i].has_value(), i % 3 != 0);
  EXPECT_EQ(watch_.reads(), 2u);
}

TEST_F(KeyWatches, WhatIsChangedIsSeenByTheNextQuestion) {
  EXPECT_EQ(reason(stored("key_good"), "open"), "");
  write([&](store::Transaction& tx) {
    auto key = *tx.api_key("key_good");
    key.revoked_at = clock_.now();
    tx.put_api_key(key);
  });
  EXPECT_EQ(reason(stored("key_good"), "open"), "unauthorized");
}

TEST_F(KeyWatches, OneWhoLeavesWhileHeAsksForAllLeavesNobodyWaiting) {
  const auto caller = stored("key_good");
  const std::string workspace = "open";
  asio::cancellation_signal leave;
  std::future<Answer> first, second, third;
  std::promise<void> begun;
  asio::post(io_, [&] {
    first = asio::co_spawn(io_.get_executor(), watch_.check(caller, workspace),
                           asio::bind_cancellation_slot(leave.slot(), asio::use_future));
    second = asio::co_spawn(io_.get_executor(), watch_.check(caller, workspace), asio::use_future);
    third = asio::co_spawn(io_.get_executor(), watch_.check(caller, workspace), asio::use_future);
    asio::post(io_, [&] {
      leave.emit(asio::cancellation_type::terminal);
      begun.set_value();
    });
  });
  begun.get_future().get();
  EXPECT_TRUE(second.get().has_value());
  EXPECT_TRUE(third.get().has_value());
  first.wait();
}

TEST_F(KeyWatches, AStoreThatIsAwayAnswersNobody) {
  store_->close();
  for (const auto& answer : asked({{stored("key_good"), "open"}, {stored("key_gone"), "open"}})) {
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, base::Code::unavailable);
  }
}

}  // namespace
}  // namespace agentrouter::api
