// What a service manager gives and hears: sockets, readiness, the watchdog. Whole programs: tests/e2e/test_service.py.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "apps/config_check.h"
#include "apps/inherited_sockets.h"
#include "apps/service_notify.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

constexpr pid_t self = 4711;

std::string sockets_of(const std::map<std::string, std::string>& variables) {
  const auto sockets = activated_sockets(Environment(variables), self);
  return sockets ? std::to_string(sockets->size()) + " sockets" : sockets.error().message;
}

TEST(SocketActivation, WhatIsMeantForAnotherProcessIsNotTaken) {
  EXPECT_EQ(sockets_of({}), "0 sockets");
  EXPECT_EQ(sockets_of({{"LISTEN_PID", "4711"}}), "0 sockets");
  EXPECT_EQ(sockets_of({{"LISTEN_FDS", "1"}}), "0 sockets");
  EXPECT_EQ(sockets_of({{"LISTEN_PID", "4712"}, {"LISTEN_FDS", "1"}}), "0 sockets");
}

TEST(SocketActivation, WhatIsWrongIsSaid) {
  const auto said = [](const std::string& fds, const std::string& names = "") {
    return sockets_of({{"LISTEN_PID", "4711"}, {"LISTEN_FDS", fds}, {"LISTEN_FDNAMES", names}});
  };
  EXPECT_EQ(said("0"), "0 sockets");
  EXPECT_THAT(said("one"), HasSubstr("LISTEN_FDS is \"one\""));
  EXPECT_THAT(said("17"), HasSubstr("from 0 to 16"));
  EXPECT_THAT(said("1", "a:b"), HasSubstr("LISTEN_FDNAMES has 2 names for 1 descriptors"));
}

ListeningSocket socket_at(const std::string& host, bool activated = false) {
  auto fd = base::value_or_throw(net::open_listener(host, 0));
  auto address = base::value_or_throw(net::listener_address(fd.get()));
  return {std::move(fd), std::move(address), activated};
}

class Choice : public ::testing::Test {
 protected:
  base::Result<SocketChoice> choose() { return choose_sockets(config_, activated_, passed_); }
  Config config_;
  std::vector<ListeningSocket> activated_, passed_;
};

TEST_F(Choice, ASocketThatWasPassedIsServedWhereItFits) {
  passed_.push_back(socket_at("127.0.0.1"));
  config_.listen_port = passed_[0].address.port;
  const auto fd = passed_[0].fd.get();
  auto choice = base::value_or_throw(choose());
  ASSERT_EQ(choice.serve.size(), 1u);
  EXPECT_EQ(choice.serve[0].fd.get(), fd);
  EXPECT_TRUE(choice.retire.empty());
  EXPECT_EQ(url_of(config_, choice.serve[0]), "http://127.0.0.1:" + std::to_string(config_.listen_port));
}

TEST_F(Choice, ElseOneIsOpenedAndThePassedOneRetires) {
  passed_.push_back(socket_at("127.0.0.1"));
  config_.listen_host = "::1";
  config_.listen_port = 0;
  const auto choice = base::value_or_throw(choose());
  ASSERT_EQ(choice.serve.size(), 1u);
  EXPECT_EQ(choice.serve[0].address.host, "::1");
  EXPECT_EQ(choice.retire.size(), 1u);
}

TEST_F(Choice, WhenNoneCanBeOpenedNothingIsLost) {
  const auto other = socket_at("127.0.0.1");
  passed_.push_back(socket_at("127.0.0.1"));
  config_.listen_port = other.address.port;
  EXPECT_EQ(choose().error().code, base::Code::conflict);
  ASSERT_EQ(passed_.size(), 1u);
  EXPECT_TRUE(passed_[0].fd);
}

TEST_F(Choice, AnAddressThatIsInUseForAMomentIsWaitedFor) {
  std::optional other = socket_at("127.0.0.1");
  config_.listen_port = other->address.port;
  int waits = 0;
  auto choice = choose_sockets(config_, activated_, passed_, [&] {
    other.reset();
    return ++waits < 100;
  });
  EXPECT_EQ(base::value_or_throw(std::move(choice)).serve.size(), 1u);
  EXPECT_EQ(waits, 1);
}

TEST_F(Choice, AnAddressThatStaysInUseIsRefusedWhenTheTimeIsOver) {
  const auto other = socket_at("127.0.0.1");
  config_.listen_port = other.address.port;
  int waits = 0;
  EXPECT_EQ(choose_sockets(config_, activated_, passed_, [&] { return ++waits < 3; }).error().code,
            base::Code::conflict);
  EXPECT_EQ(waits, 3);
  EXPECT_TRUE(wait_for_address()());
}

TEST_F(Choice, TheServiceManagersSocketsComeFirst) {
  activated_.push_back(socket_at("0.0.0.0", true));
  passed_.push_back(socket_at("127.0.0.1"));
  config_.listen_port = passed_[0].address.port;
  const auto choice = base::value_or_throw(choose());
  ASSERT_EQ(choice.serve.size(), 1u);
  EXPECT_EQ(choice.retire.size(), 1u);
  EXPECT_EQ(url_of(config_, choice.serve[0]),
            "http://127.0.0.1:" + std::to_string(choice.serve[0].address.port));
}

TEST_F(Choice, OnesThatAServiceManagerOpenedFitAnyConfiguration) {
  passed_.push_back(socket_at("127.0.0.1", true));
  config_.listen_port = 1;
  EXPECT_EQ(base::value_or_throw(choose()).serve.size(), 1u);
}

// The other end of NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(std::string name) : name_(std::move(name)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name_.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  }
  base::Result<base::Message> hear() { return base::receive_message(socket_.get(), 4096); }
  [[nodiscard]] ServiceNotify notify() const {
    return base::value_or_throw(ServiceNotify::open(Environment({{"NOTIFY_SOCKET", name_}}), self));
  }

 private:
  std::string name_;
  base::Fd socket_;
};

TEST(ServiceNotify, SpeaksToAPathAndToAnAbstractName) {
  const agentrouter::testing::TempDir folder;
  for (const std::string& name : {(folder.path() / "notify").string(), "@agentrouter-notify-" + std::to_string(::getpid())}) {
    Manager manager(name);
    manager.notify().say("READY=1\nSTATUS=Here");
    EXPECT_EQ(manager.hear()->bytes, "READY=1\nSTATUS=Here");
    manager.notify().say_reloading();
    EXPECT_THAT(manager.hear()->bytes, ::testing::MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+\nSTATUS=.*"));
  }
}

TEST(ServiceNotify, ABarrierWaitsUntilTheManagerHasLooked) {
  Manager manager("@agentrouter-barrier-" + std::to_string(::getpid()));
  const auto begun = base::SteadyClock::now();
  manager.notify().barrier(std::chrono::milliseconds(30));
  EXPECT_GE(base::SteadyClock::now() - begun, std::chrono::milliseconds(30));
  {
    const auto heard = manager.hear();
    EXPECT_EQ(heard->bytes, "BARRIER=1");
    EXPECT_EQ(heard->fds.size(), 1u);
  }
}

TEST(ServiceNotify, WithoutAManagerNothingIsSaid) {
  const ServiceNotify silent = base::value_or_throw(ServiceNotify::open(Environment({}), self));
  EXPECT_FALSE(silent.heard());
  silent.say("READY=1");
  silent.barrier(std::chrono::hours(1));
  const auto gone = base::value_or_throw(ServiceNotify::open(Environment({{"NOTIFY_SOCKET", "/nowhere/at-all"}}), self));
  gone.say("READY=1");
}

TEST(ServiceNotify, VariablesThatMakeNoSenseAreSaid) {
  const auto said = [](const std::map<std::string, std::string>& variables) {
    const auto notify = ServiceNotify::open(Environment(variables), self);
    return notify ? "taken" : notify.error().message;
  };
  EXPECT_THAT(said({{"NOTIFY_SOCKET", "relative"}}), HasSubstr("NOTIFY_SOCKET is \"relative\""));
  EXPECT_THAT(said({{"NOTIFY_SOCKET", "/" + std::string(200, 'x')}}), HasSubstr("at most 107 bytes"));
  EXPECT_THAT(said({{"WATCHDOG_USEC", "soon"}}), HasSubstr("WATCHDOG_USEC is \"soon\""));
}

TEST(ServiceNotify, TheWatchdogIsFedOnlyByWhomItIsMeantFor) {
  const auto interval = [](const std::map<std::string, std::string>& variables) {
    return base::value_or_throw(ServiceNotify::open(Environment(variables), self)).watchdog();
  };
  EXPECT_EQ(interval({}), std::nullopt);
  EXPECT_EQ(interval({{"WATCHDOG_USEC", "5000"}}), std::chrono::microseconds(5000));
  EXPECT_EQ(interval({{"WATCHDOG_USEC", "5000"}, {"WATCHDOG_PID", "4711"}}), std::chrono::microseconds(5000));
  EXPECT_EQ(interval({{"WATCHDOG_USEC", "5000"}, {"WATCHDOG_PID", "1"}}), std::nullopt);
}

TEST(ConfigChange, NamesTheKeysThatDifferAndNoSecret) {
  Config before, after;
  EXPECT_EQ(changed_keys(before, after), "");
  after.log_level = "debug";
  after.conversations.idle_ttl = std::chrono::minutes(7);
  after.openai_key = "sk-secret";
  EXPECT_EQ(changed_keys(before, after), "conversations.idle_ttl_minutes, log_level, providers.openai.api_key");
}

TEST(ConfigChange, PoliciesAndCertificatesThatDoNotWorkAreFoundBefore) {
  const agentrouter::testing::TempDir data;
  Config config;
  EXPECT_TRUE(check_config(config, data.path()));
  config.policy.fallback = "nowhere";
  EXPECT_FALSE(check_config(config, data.path()));
  config.policy.fallback.clear();
  config.webhooks_ca_file = (data.path() / "none.pem").string();
  EXPECT_FALSE(check_config(config, data.path()));
}

TEST(EnvironmentOfAChild, HasNotWhatIsMeantForThisProcess) {
  const Environment environment({{"A", "1"}, {"LISTEN_FDS", "1"}});
  EXPECT_EQ(environment.without({"LISTEN_FDS"}), std::vector<std::string>{"A=1"});
  ::setenv("AGENTROUTER_FORGOTTEN", "1", 1);
  Environment::forget({"AGENTROUTER_FORGOTTEN"});
  EXPECT_EQ(Environment::current().get("AGENTROUTER_FORGOTTEN"), std::nullopt);
}

}  // namespace
}  // namespace agentrouter::apps
