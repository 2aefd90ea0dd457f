#include "nodes/member.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "testing/store_fixture.h"

namespace agentrouter::nodes {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

// Several members on one store and one loop. Their leases are short: what they wait for is that others beat
// or do not.
class Members : public ::testing::Test {
 protected:
  struct Server {
    Server(Members& test, std::string id, MemberConfig config, MemberHooks hooks)
        : scope(test.db_.io().get_executor()),
          member({test.db_.io().get_executor(), test.db_.store(), test.db_.clock, test.db_.entropy},
                 with_id(std::move(config), std::move(id)), std::move(hooks)) {
      scope.spawn(member.run());
    }
    static MemberConfig with_id(MemberConfig config, std::string id) {
      config.self.id = std::move(id);
      config.self.capacity = 1;
      return config;
    }
    base::TaskScope scope;
    Member member;
  };
  ~Members() override {
    for (auto& [id, server] : servers_) kill(id);
  }

  Member& start(const std::string& id, MemberHooks hooks = {}) {
    return begin(id, {.wants = {"webhooks"}, .owns_store = false, .lease = lease}, std::move(hooks));
  }
  Member& start_owner(const std::string& id) {
    return begin(id, {.wants = {"webhooks"}, .owns_store = true, .lease = lease}, {});
  }
  Member& begin(const std::string& id, const MemberConfig& config, MemberHooks hooks) {
    servers_[id] = std::make_unique<Server>(*this, id, config, std::move(hooks));
    return servers_[id]->member;
  }
  // It stops in the middle of whatever it does and tells nobody.
  void kill(const std::string& id) {
    auto& server = servers_[id];
    if (!server) return;
    testing::run_task(db_.io(), server->scope.cancel_and_join());
    server.reset();
  }
  void leave(const std::string& id) {
    testing::run_task(db_.io(), servers_[id]->scope.cancel_and_join());
    testing::run_task(db_.io(), servers_[id]->member.leave());
    servers_[id].reset();
  }
  template <class Condition>
  void run_until(Condition condition) {
    const auto limit = base::after(20s);
    while (!condition() && !base::passed(limit)) {
      db_.io().restart();
      db_.io().run_one_for(10ms);
    }
    ASSERT_TRUE(condition());
  }
  std::vector<std::string> ids() {
    std::vector<std::string> all;
    for (const auto& one : db_.read([](store::Reader& reader) { return runs::nodes(reader); }))
      all.push_back(one.id);
    return all;
  }

  static constexpr std::chrono::milliseconds lease{300};
  testing::StoreFixture db_;
  std::map<std::string, std::unique_ptr<Server>> servers_;
};

TEST_F(Members, OneOfThemHasTheDutyAndAnotherOneWhenItIsKilled) {
  auto& a = start("a");
  run_until([&] { return a.has("webhooks"); });
  auto& b = start("b");
  run_until([&] { return b.known() == 2; });
  EXPECT_FALSE(b.has("webhooks"));
  kill("a");
  run_until([&] { return b.has("webhooks"); });
  EXPECT_THAT(ids(), ElementsAre("b"));
}

TEST_F(Members, WhoCouldNotBeatForAWhileIsToldThatItHasItsDutyAgain) {
  int told = 0;
  auto& a = start("a", {.duties_changed = [&] { ++told; }});
  run_until([&] { return a.has("webhooks"); });
  ASSERT_EQ(told, 1);
  while (a.has("webhooks")) continue;  // nothing of it goes on meanwhile
  run_until([&] { return a.has("webhooks"); });
  EXPECT_EQ(told, 2);
}

TEST_F(Members, WhoLeavesIsNotWaitedFor) {
  auto& a = start("a");
  run_until([&] { return a.has("webhooks"); });
  leave("a");
  EXPECT_TRUE(ids().empty());
  auto& b = start("b");
  run_until([&] { return b.has("webhooks"); });
}

TEST_F(Members, OneThatWasTakenForGoneJoinsAgain) {
  auto& a = start("a");
  run_until([&] { return a.has("webhooks"); });
  db_.write([](store::Transaction& tx) { runs::leave(tx, "a"); });
  run_until([&] { return ids() == std::vector<std::string>{"a"}; });
}

TEST_F(Members, TheOwnerOfAStoreHasItsDutiesForGoodAndForgetsWhoWasThere) {
  start("a");
  run_until([&] { return ids() == std::vector<std::string>{"a"}; });
  kill("a");
  auto& b = start_owner("b");
  run_until([&] { return b.has("webhooks"); });
  EXPECT_THAT(ids(), ElementsAre("b"));
  const auto longer = base::after(2 * lease);
  run_until([&] { return base::passed(longer); });
  EXPECT_TRUE(b.has("webhooks"));
}

TEST_F(Members, DrainingIsHeardAtOnce) {
  std::vector<bool> told;
  auto& a = start("a", {.drain = [&](bool draining) { told.push_back(draining); }});
  run_until([&] { return a.has("webhooks"); });
  const auto set = [&](bool draining) {
    return db_.write([&](store::Transaction& tx) { return runs::set_draining(tx, "a", draining); });
  };
  ASSERT_TRUE(set(true));
  run_until([&] { return a.draining(); });
  ASSERT_TRUE(set(false));
  run_until([&] { return !a.draining(); });
  EXPECT_THAT(told, ElementsAre(true, false));
}

class Questions : public Members {
 protected:
  base::Result<runs::NodeRequest> ask(Member& member, std::string node,
                                      std::chrono::milliseconds patience = 20s) {
    return testing::run_task(db_.io(), member.ask(std::move(node), testing::run_id("r"), "{}", patience));
  }
  std::size_t notes() {
    return db_.read([](store::Reader& reader) { return reader.notes("request").size(); });
  }
};

base::Task<runs::NodeRequest> told(runs::NodeRequest request) {
  request.head = R"({"size":3})";
  request.key = runs::answer_key(request);
  co_return request;
}

base::Task<runs::NodeRequest> refused(runs::NodeRequest request) {
  request.error = base::Error{base::Code::not_found, "no such file", "file_not_found"};
  co_return request;
}

TEST_F(Questions, AreAnsweredByTheNodeThatIsAsked) {
  auto& a = start("a");
  (void)start("b", {.answer = told});
  run_until([&] { return a.known() == 2; });
  const auto answer = ask(a, "b");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->head, R"({"size":3})");
  EXPECT_EQ(notes(), 0u) << "nothing is left of a question that was answered";
}

TEST_F(Questions, ARefusalComesBackWithItsReason) {
  auto& a = start("a");
  (void)start("b", {.answer = refused});
  run_until([&] { return a.known() == 2; });
  EXPECT_EQ(ask(a, "b").error().reason, "file_not_found");
}

TEST_F(Questions, ANodeThatIsNotThereIsNotWaitedFor) {
  auto& a = start("a");
  run_until([&] { return a.known() == 1; });
  const auto answer = ask(a, "b");
  EXPECT_EQ(answer.error().reason, "worker_unreachable");
  EXPECT_EQ(answer.error().code, base::Code::unavailable);
}

TEST_F(Questions, OneThatDoesNotAnswerIsWaitedForAsLongAsWasSaid) {
  auto& a = start("a");
  (void)start("b");  // answers nothing
  run_until([&] { return a.known() == 2; });
  EXPECT_EQ(ask(a, "b", 50ms).error().reason, "worker_unreachable");
  EXPECT_EQ(notes(), 0u);
}

}  // namespace

}  // namespace agentrouter::nodes
