// What follows when the agent makes no progress: a warning, an interrupt, a question, the end.

#include <arpa/inet.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

using Words = std::vector<ServerMessage>;
// What is sent once the question with this number (from 0 on) is in the journal.
using Watcher = std::function<Words(int number, const DecisionMessage& yes)>;

constexpr const char* begins = "event agent.started {\"threadId\":\"t7\"}\n";
constexpr const char* circle =
    "event agent.no_progress {\"provider\":\"codex\",\"signal\":\"repeated_command\",\"reason\":\"The same\","
    "\"command\":\"make\"}\n";

class KeeperProgressTest : public KeeperTest {
 protected:
  void hold_to(const char* table, const char* more = "") {
    const auto text = std::string(R"({"name": "p", "no_progress": )") + table + more + "}";
    plan_.rules =
        base::value_or_throw(policy::Rules::parse(base::value_or_throw(base::parse_json(text)).as_object()));
  }
  void run(AgentScript script, Watcher watcher = {}) {
    agent(std::move(script));
    watcher_ = std::move(watcher);
    keep([this](LineSocket socket) { return attend(std::move(socket)); });
  }
  base::Task<void> attend(LineSocket socket) {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    for (std::size_t asked = 0;;) {
      auto line = co_await socket.read_line();
      if (!line || line->find("\"bye\"") != std::string::npos) break;
      read_all();
      const auto questions = of_kind("question");
      for (; watcher_ && asked < questions.size(); ++asked) {
        const auto& question = questions[asked];
        const DecisionMessage yes{std::string(*base::get_string(question, "actionId")),
                                  std::string(*base::get_string(question, "actionDigest")),
                                  DecisionKind::approved, "evt_decision_" + std::to_string(asked)};
        const auto words = watcher_(static_cast<int>(asked), yes);
        for (const auto& word : words) (void)co_await socket.write(to_line(word));
      }
    }
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  }
  std::vector<json::object> of_kind(std::string_view kind) const {
    std::vector<json::object> all;
    for (const auto& record : records_)
      if (record.kind == kind) all.push_back(record.data);
    return all;
  }
  std::string action_of_signal(std::size_t number = 0) const {
    return std::string(payloads("agent.no_progress").at(number).at("action").as_string());
  }
  std::vector<std::string> heard() const { return sandbox_->heard; }
  static ServerMessage answered(DecisionMessage message, DecisionKind kind, std::string reason = {}) {
    message.decision = kind;
    message.reason = std::move(reason);
    return message;
  }

  Watcher watcher_;
};

Watcher answers(DecisionKind kind, std::string reason = {}) {
  return [kind, reason](int, DecisionMessage yes) {
    yes.decision = kind;
    yes.reason = reason;
    return Words{yes};
  };
}

TEST_F(KeeperProgressTest, WithoutAPolicyASignalIsAWarning) {
  run({.says = std::string(begins) + circle + "say ok\n"});
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(action_of_signal(), "warn");
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(KeeperProgressTest, AnInterruptedAgentIsToldWhyAndGoesOnInItsThread) {
  hold_to(R"({"action": "interrupt"})");
  run({.says = std::string(begins) + circle, .says_next = {std::string(begins) + "say ok\n"}});
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(action_of_signal(), "interrupt");
  EXPECT_THAT(heard(), ElementsAre("start", "interrupt", "start"));
  ASSERT_EQ(sessions_.size(), 2u);
  EXPECT_EQ(sessions_[1].resume_thread, "t7");
  EXPECT_THAT(sessions_[1].task, HasSubstr("makes no progress (repeated_command). The same: make"));
  EXPECT_EQ(payloads("agent.started").size(), 1u);
  EXPECT_EQ(payloads("agent.error").size(), 0u);
  EXPECT_EQ(sandbox_->collections, 1);
}

TEST_F(KeeperProgressTest, AfterItsInterruptsTheRunIsStopped) {
  hold_to(R"({"action": "interrupt", "interrupts": 1})");
  run({.says = std::string(begins) + circle, .says_next = {std::string(begins) + circle}});
  EXPECT_EQ(outcome(), "failed no_progress");
  EXPECT_EQ(action_of_signal(0), "interrupt");
  EXPECT_EQ(action_of_signal(1), "stop");
  EXPECT_EQ(sessions_.size(), 2u);
}

TEST_F(KeeperProgressTest, AnAgentThatDoesNotObeyTheInterruptIsKilledAndGoesOn) {
  hold_to(R"({"action": "interrupt"})");
  agent({.says = std::string(begins) + circle, .says_next = {"say ok\n"}, .obeys_interrupt = false});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sessions_.size(), 2u);
}

TEST_F(KeeperProgressTest, AnAgentThatCompletesMeanwhileIsNotStartedAgain) {
  hold_to(R"({"action": "interrupt"})");
  run({.says = std::string(begins) + circle + "say ok\n"});
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(KeeperProgressTest, AStoppedRunSaysWhyAndKeepsEverything) {
  hold_to(R"({"action": ["warn", "stop"]})");
  run({.says = std::string(begins) + circle + circle});
  EXPECT_EQ(outcome(), "failed no_progress");
  EXPECT_THAT(exit_text(), HasSubstr(R"("cause":"repeated_command")"));
  EXPECT_THAT(exit_text(), HasSubstr("The agent makes no progress. The same: make"));
  EXPECT_THAT(exit_text(), HasSubstr(R"("threadId":"t7")"));
  EXPECT_EQ(action_of_signal(0), "warn");
  EXPECT_EQ(action_of_signal(1), "stop");
  EXPECT_THAT(heard(), ElementsAre("start", "interrupt"));
  EXPECT_EQ(sandbox_->collections, 1);
  EXPECT_EQ(sandbox_->checkpoints, 1);
  EXPECT_EQ(payload("execution.failed").at("reason"), "no_progress");
}

TEST_F(KeeperProgressTest, APersonLetsTheRunGoOn) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle + "ask shell touch a\n" + "say ok\n"},
      answers(DecisionKind::approved));
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(action_of_signal(), "ask");
  EXPECT_THAT(heard(), ElementsAre("start", "yes"));
  EXPECT_EQ(sessions_.size(), 1u);
  const auto all = kinds();
  const std::vector<std::string> story(std::ranges::find(all, "agent.no_progress"), all.end());
  EXPECT_THAT(story, ElementsAre("agent.no_progress", "action.proposed", "policy.evaluated",
                                 "approval.requested", "question", "execution.started", "released",
                                 "execution.completed", "agent.completed", "execution.completed", "exit"));
  const auto proposed = payloads("action.proposed").at(1);
  EXPECT_EQ(proposed.at("actionName"), "codex.continue");
  EXPECT_EQ(proposed.at("action").at("type"), "continue");
  EXPECT_EQ(proposed.at("action").at("args").at("signal"), "repeated_command");
  EXPECT_EQ(proposed.at("priorEventId"), payload("execution.started").at("eventId"));
  const auto verdict = payloads("policy.evaluated").at(1);
  EXPECT_EQ(verdict.at("policyId"), "p");
  EXPECT_EQ(verdict.at("ruleId"), "no_progress.repeated_command");
  EXPECT_EQ(verdict.at("decision"), "requires_approval");
  EXPECT_EQ(base::get_string(payloads("execution.started").at(1), "priorEventId"), "evt_decision_0");
}

TEST_F(KeeperProgressTest, NothingOfTheAgentGoesOnBeforeThePersonHasDecided) {
  hold_to(R"({"action": "ask"})");
  std::vector<std::string> before;
  run({.says =
           std::string(begins) + circle + "question shell touch a\nquestion shell touch b\nwait\nsay ok\n"},
      [&](int, const DecisionMessage& yes) {
        before = heard();
        return Words{yes};
      });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(before, ElementsAre("start"));
  EXPECT_THAT(heard(), ElementsAre("start", "yes", "yes"));
}

TEST_F(KeeperProgressTest, AtActionScopeItsQuestionsAndTheirDecisionsWaitToo) {
  plan_.approval_scope = model::ApprovalScope::action;
  plan_.runtime.mode = "default";
  hold_to(R"({"action": "ask"})");
  std::optional<DecisionMessage> first;
  std::vector<std::string> between;
  run({.says = std::string(begins) + "question shell touch a\n" + circle + "wait\nsay ok\n"},
      [&](int number, const DecisionMessage& yes) {
        if (number == 0) {
          first = yes;
          return Words{};
        }
        between = heard();
        return Words{*first, yes};
      });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(between, ElementsAre("start"));
  EXPECT_THAT(heard(), ElementsAre("start", "yes"));
  const auto released = of_kind("released");
  ASSERT_EQ(released.size(), 3u);  // the launch, then that the run goes on, and only then the call
  EXPECT_EQ(base::get_string(released[2], "actionId"), first->action_id);
}

TEST_F(KeeperProgressTest, DeniedEndsTheRun) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle + "ask shell touch a\n"},
      answers(DecisionKind::denied, "enough"));
  EXPECT_EQ(outcome(), "failed approval_denied");
  EXPECT_THAT(exit_text(), HasSubstr(R"("cause":"repeated_command")"));
  EXPECT_THAT(exit_text(), HasSubstr("enough"));
  EXPECT_THAT(heard(), ElementsAre("start", "interrupt"));
  EXPECT_EQ(of_kind("refused").at(0).at("reason"), "approval_denied");
  EXPECT_EQ(sandbox_->checkpoints, 1);
}

TEST_F(KeeperProgressTest, ExpiredEndsTheRun) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle}, answers(DecisionKind::expired));
  EXPECT_EQ(outcome(), "failed approval_expired");
  EXPECT_THAT(heard(), ElementsAre("start", "interrupt"));
}

TEST_F(KeeperProgressTest, ADecisionAboutAnotherDigestEndsTheRun) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle}, [](int, DecisionMessage yes) {
    yes.action_digest = "sha256:other";
    return Words{yes};
  });
  EXPECT_EQ(outcome(), "failed approval_digest_mismatch");
}

TEST_F(KeeperProgressTest, CancelWhileAPersonIsAsked) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle + "ask shell touch a\n"},
      [](int, const DecisionMessage&) { return Words{CancelMessage{}}; });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_THAT(heard(), Not(Contains("yes")));
  EXPECT_EQ(of_kind("refused").at(0).at("reason"), "turn_ended");
}

TEST_F(KeeperProgressTest, TheTimeOfThePersonIsNoTimeOfTheRun) {
  hold_to(R"({"action": "ask"})");
  plan_.limits.wall_time = 300ms;
  plan_.limits.quiet = 100ms;
  agent({.says = std::string(begins) + circle + "ask shell touch a\nsay ok\n"});
  keep([this](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    for (read_all(); of_kind("question").empty(); read_all()) co_await base::sleep_for(5ms);
    co_await base::sleep_for(500ms);
    const auto question = of_kind("question")[0];
    const DecisionMessage yes{std::string(*base::get_string(question, "actionId")),
                              std::string(*base::get_string(question, "actionDigest")),
                              DecisionKind::approved, "evt_1"};
    (void)co_await socket.write(to_line(ServerMessage(yes)));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(outcome(), "completed");
}

TEST_F(KeeperProgressTest, AnAgentThatCannotWaitGoesOnInItsThreadOnceItMay) {
  hold_to(R"({"action": "ask"})");
  agent({.says = std::string(begins) + circle, .says_next = {"say ok\n"}, .leaves_at_once = true});
  keep([this](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    for (read_all(); of_kind("question").empty(); read_all()) co_await base::sleep_for(5ms);
    co_await base::sleep_for(2'500ms);  // longer than what the agent said is waited for
    const auto question = of_kind("question")[0];
    const DecisionMessage yes{std::string(*base::get_string(question, "actionId")),
                              std::string(*base::get_string(question, "actionDigest")),
                              DecisionKind::approved, "evt_1", "look at the log"};
    (void)co_await socket.write(to_line(ServerMessage(yes)));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(outcome(), "completed");
  ASSERT_EQ(sessions_.size(), 2u);
  EXPECT_EQ(sessions_[1].resume_thread, "t7");
  EXPECT_THAT(sessions_[1].task, HasSubstr("A person decided that you go on: look at the log"));
}

TEST_F(KeeperProgressTest, AnAgentThatEndsItsTurnNeedsNobodysWord) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle + "say ok\n"});
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(of_kind("question").size(), 1u);
  EXPECT_EQ(of_kind("refused").at(0).at("reason"), "turn_ended");
}

TEST_F(KeeperProgressTest, StricterRulesReachARunThatIsUnderWay) {
  hold_to(R"({"action": "ask"})");
  run({.says = std::string(begins) + circle + "ask shell touch a\n" + circle}, [](int, const DecisionMessage& yes) {
    return Words{PolicyMessage{R"({"name": "night", "no_progress": {"action": "stop"}})"}, yes};
  });
  EXPECT_EQ(outcome(), "failed no_progress");
  EXPECT_EQ(action_of_signal(0), "ask");
  EXPECT_EQ(action_of_signal(1), "stop");
}

TEST_F(KeeperProgressTest, ADryRunOnlySaysWhatWouldHaveBeen) {
  hold_to(R"({"action": "stop"})", R"(, "mode": "dry-run")");
  run({.says = std::string(begins) + circle + "say ok\n"});
  EXPECT_EQ(outcome(), "completed");
  const auto signal = payload("agent.no_progress");
  EXPECT_EQ(signal.at("action"), "warn");
  EXPECT_EQ(signal.at("wouldBe"), "stop");
  EXPECT_EQ(signal.at("dryRun"), true);
}

TEST_F(KeeperProgressTest, LinesOnStderrThatSayNothingAreASignal) {
  std::string lines;
  for (int i = 0; i < 60; ++i) lines += "noise\n";
  hold_to(R"({"action": "stop"})");
  run({.says_to_stderr = lines});
  EXPECT_EQ(outcome(), "failed no_progress");
  EXPECT_EQ(payload("agent.no_progress").at("signal"), "long_output_without_state");
  EXPECT_EQ(payload("agent.no_progress").at("provider"), "codex");
}

// A request of the agent through the sandbox's listener; its answer when it has come.
base::Task<void> ask_simulator(base::Executor executor, int listener, std::string& answer) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(executor);
  co_await socket.async_connect({asio::ip::make_address_v4("127.0.0.1"), ntohs(address.sin_port)},
                                base::use_task);
  const std::string body = R"({"model":"gpt-5.5","stream":true,"input":[{"type":"message","role":"user",)"
                           R"("content":[{"type":"input_text","text":"sim: reply hi"}]}],"tools":[]})";
  co_await asio::async_write(
      socket,
      asio::buffer("POST /v1/responses HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n"
                   "content-type: application/json\r\ncontent-length: " +
                   std::to_string(body.size()) + "\r\n\r\n" + body),
      base::use_task);
  boost::system::error_code ended;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(base::use_task, ended));
}

TEST_F(KeeperProgressTest, RequestsToTheProviderWaitForThePerson) {
  hold_to(R"({"action": "ask"})");
  std::string answer;
  std::size_t before = 1;
  agent({.says = std::string(begins) + circle});
  keep([&](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    for (read_all(); of_kind("question").empty(); read_all()) co_await base::sleep_for(5ms);
    base::TaskScope agents(io_.get_executor());
    agents.spawn(ask_simulator(io_.get_executor(), listener_.get(), answer));
    co_await base::sleep_for(200ms);
    read_all();
    before = of_kind("forwarded").size();
    const auto question = of_kind("question")[0];
    const DecisionMessage yes{std::string(*base::get_string(question, "actionId")),
                              std::string(*base::get_string(question, "actionDigest")), DecisionKind::denied,
                              "evt_1"};
    (void)co_await socket.write(to_line(ServerMessage(yes)));
    co_await until_bye(socket);
    co_await agents.join();
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(before, 0u);
  EXPECT_EQ(answer, "");  // it never left
  EXPECT_TRUE(of_kind("forwarded").empty());
  EXPECT_EQ(outcome(), "failed approval_denied");
}

TEST_F(KeeperProgressTest, SilenceIsASignalBeforeItIsTheEnd) {
  hold_to(R"({"action": "interrupt", "long_silence": {"after": 1}})");
  agent({.says = begins, .says_next = {"say ok\n"}});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(payload("agent.no_progress").at("signal"), "long_silence");
  EXPECT_EQ(action_of_signal(), "interrupt");
  EXPECT_EQ(sessions_.size(), 2u);
}

TEST_F(KeeperProgressTest, AnAgentWithAnOpenCallIsNotSilent) {
  hold_to(R"({"action": "stop", "long_silence": {"after": 1}})");
  plan_.limits.wall_time = 1'300ms;
  agent({.says = std::string(begins) +
                 "event agent.tool_started "
                 "{\"callId\":\"1\",\"tool\":\"shell\",\"args\":{\"command\":\"sleep\"}}\n"});
  keep();
  EXPECT_EQ(outcome(), "failed wall_limit");
}

}  // namespace
}  // namespace agentrouter::keeper
