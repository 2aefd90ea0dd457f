// What leaves the sandbox for hosts that the policy opens, where its rules are about nothing else.

#include "keeper/keeper_person_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

base::Fd loopback_socket(int type) {
  base::Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 8), 0);
  }
  return fd;
}

class KeeperEgressTest : public KeeperPersonTest {
 protected:
  KeeperEgressTest() { plan_.egress.private_hosts = {"127.0.0.1"}; }
  ~KeeperEgressTest() override { testing::run_task(io_, server_.stop(std::chrono::steady_clock::now())); }

  policy::Rules opens(std::string_view verdict) const {
    return rules(R"({"name":"web","egress":[{"id":"host","host":"127.0.0.1","scheme":"http","port":)" +
                 std::to_string(port_) + R"(,"verdict":")" + std::string(verdict) + R"("}]})");
  }
  void run_with(policy::Rules rules, std::function<base::Task<void>(LineSocket&)> person) {
    plan_.rules = std::move(rules);
    auto& sandbox = agent({});
    sandbox.outbound.names_udp = loopback_socket(SOCK_DGRAM);
    sandbox.outbound.names_tcp = loopback_socket(SOCK_STREAM);
    sandbox.outbound.listeners.push_back({port_, loopback_socket(SOCK_STREAM)});
    way_ = sandbox.outbound.listeners.front().fd.get();
    person_ = std::move(person);
    keep([this](LineSocket socket) { return attend(std::move(socket)); });
  }
  base::Task<std::string> post() {
    return exchange(way_, "POST /deploy?now=1 HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port_) +
                              "\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=1");
  }
  base::Task<void> post_into(std::string& answer) { answer = co_await post(); }
  base::Task<void> began(LineSocket& socket) {
    while (payloads("execution.started").empty()) {
      std::ignore = co_await socket.read_line();
      read_all();
    }
  }
  base::Task<void> cancelled(LineSocket& socket) { co_await say(socket, CancelMessage{}); }

  base::Task<void> asks(LineSocket& socket) {
    co_await began(socket);
    base::TaskScope beside(io_.get_executor());
    beside.spawn(post_into(answer_));
    auto decision = co_await question(socket, 0);
    EXPECT_THAT(tracker_.bodies, IsEmpty());
    if (!approves_) {
      decision.decision = DecisionKind::denied;
      decision.reason = "not today";
    }
    co_await say(socket, decision);
    co_await beside.join();
    co_await cancelled(socket);
  }
  base::Task<void> posts(LineSocket& socket) {
    co_await began(socket);
    answer_ = co_await post();
    co_await cancelled(socket);
  }
  base::Task<void> is_tightened(LineSocket& socket) {
    co_await began(socket);
    base::TaskScope beside(io_.get_executor());
    beside.spawn(post_into(answer_));
    co_await question(socket, 0);
    co_await say(socket, PolicyMessage{base::to_text(opens("deny").document())});
    co_await beside.join();
    EXPECT_EQ(co_await post(), "") << "an address that no rule knows is nobody's";
    co_await cancelled(socket);
  }

  Tracker tracker_;
  net::Server server_{io_.get_executor(), tracker_, no_reply};
  std::uint16_t port_ = server_.listen("127.0.0.1", 0).value();
  int way_ = -1;
  bool approves_ = true;
  std::string answer_;
};

TEST_F(KeeperEgressTest, WhatARuleAllowsPassesWithoutBeingAnAction) {
  run_with(opens("allow"), [this](LineSocket& socket) { return posts(socket); });
  EXPECT_THAT(answer_, HasSubstr("200 OK"));
  EXPECT_THAT(tracker_.bodies, ElementsAre("POST a=1"));
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch"));
  const auto event = payload("egress.request");
  EXPECT_EQ(event.at("purpose"), "network");
  EXPECT_EQ(event.at("scheme"), "http");
  EXPECT_EQ(event.at("port"), port_);
  EXPECT_EQ(event.at("rule"), "host");
  EXPECT_EQ(event.at("path"), "/deploy");
  EXPECT_EQ(event.at("decision"), "forwarded");
  EXPECT_EQ(exit().at("usage").at("requests"), 0) << "no provider's";
}

TEST_F(KeeperEgressTest, WhatARuleAsksAboutWaitsForAPersonAndPassesOnce) {
  run_with(opens("ask"), [this](LineSocket& socket) { return asks(socket); });
  EXPECT_THAT(answer_, HasSubstr("200 OK"));
  EXPECT_EQ(tracker_.bodies.size(), 1u);
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch", "codex.network"));
  const auto proposed = payloads("action.proposed").at(1);
  const auto& input = proposed.at("action").at("args").at("input").as_object();
  EXPECT_EQ(input.at("host"), "127.0.0.1");
  EXPECT_EQ(input.at("port"), port_);
  EXPECT_EQ(input.at("method"), "POST");
  EXPECT_EQ(input.at("path"), "/deploy");
  EXPECT_EQ(input.at("query"), "now=1");
  EXPECT_EQ(input.at("body"), "a=1");
  const auto verdict = payloads("policy.evaluated").back();
  EXPECT_EQ(verdict.at("ruleId"), "host");
  EXPECT_EQ(verdict.at("policyId"), "web");
  EXPECT_EQ(payload("egress.request").at("actionId"), proposed.at("actionId"));
}

TEST_F(KeeperEgressTest, WhatAPersonDeniesIsAnsweredWithTheReason) {
  approves_ = false;
  run_with(opens("ask"), [this](LineSocket& socket) { return asks(socket); });
  EXPECT_THAT(answer_, AllOf(HasSubstr("403"), HasSubstr("approval_denied"), HasSubstr("not today")));
  EXPECT_THAT(tracker_.bodies, IsEmpty());
}

TEST_F(KeeperEgressTest, StricterRulesCountAtOnceAlsoForWhatIsAskedAbout) {
  run_with(opens("ask"), [this](LineSocket& socket) { return is_tightened(socket); });
  EXPECT_THAT(answer_, AllOf(HasSubstr("403"), HasSubstr("policy_denied")));
  EXPECT_THAT(tracker_.bodies, IsEmpty());
}

TEST_F(KeeperEgressTest, WhatNoRuleOpensIsRefusedAndTold) {
  run_with(rules(R"({"name":"web","egress":[{"host":"127.0.0.1","scheme":"http","port":1}]})"),
           [this](LineSocket& socket) { return posts(socket); });
  EXPECT_THAT(answer_, HasSubstr("403"));
  EXPECT_THAT(tracker_.bodies, IsEmpty());
  EXPECT_EQ(payload("egress.request").at("reason"), "policy_denied");
}

}  // namespace
}  // namespace agentrouter::keeper
