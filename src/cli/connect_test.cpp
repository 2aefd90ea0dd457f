#include "cli/connect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <semaphore>

#include "base/file.h"
#include "base/id.h"
#include "cli/interrupt.h"
#include "cli/server_files.h"
#include "scripted_server.hpp"

namespace agentrouter::cli {
namespace {

using testing::HasSubstr;

struct ConnectTest : testing::Test {
  std::filesystem::path data =
      std::filesystem::path(testing::TempDir()) / base::new_uuid(base::system_entropy());
  scripted::ScriptedServer server;
  std::vector<LocalServer> started;

  ConnectTest() { std::filesystem::create_directories(data); }
  ~ConnectTest() override { std::filesystem::remove_all(data); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(data / name) << text; }
  void announce(const std::string& url, pid_t pid, const std::string& more = "") const {
    write("server.json",
          R"({"url":")" + url + R"(","pid":)" + std::to_string(pid) + R"(,"startTime":"x")" + more + "}");
  }
  // "url key", or the error's message.
  std::string connected(const Environment& environment, std::optional<Provider> provider = std::nullopt,
                        const Cassettes& cassettes = {}) {
    const auto found = connect(
        environment,
        {.data = data, .provider = provider, .cassettes = cassettes, .start = [this](const auto& wanted) {
           started.push_back(wanted);
           write("api_key", "made-key\n");
           return base::Result<std::string>("http://started");
         }});
    return found ? found->url + " " + found->api_key : found.error().message;
  }
};

TEST_F(ConnectTest, TheBaseUrlOfTheEnvironmentWins) {
  announce(server.url(), ::getpid());
  EXPECT_EQ(connected({.base_url = "http://elsewhere", .api_key = "k"}), "http://elsewhere k");
  EXPECT_TRUE(started.empty());
}

TEST_F(ConnectTest, TheServerOfTheDataFolderIsFoundWithItsKey) {
  server.on("GET /healthz", scripted::reply(200, R"({"ok":true})"));
  announce(server.url(), ::getpid());
  write("api_key", "kept-key\n");
  EXPECT_EQ(connected({}), server.url() + " kept-key");
  EXPECT_EQ(connected({.api_key = "k"}), server.url() + " k");
  write("other", " file-key ");
  EXPECT_EQ(connected({.api_key_file = data / "other"}), server.url() + " file-key");
  EXPECT_TRUE(started.empty());
  EXPECT_EQ(server.requests().front().header("authorization"), "") << "no key before the server is known";
}

TEST_F(ConnectTest, AServerIsStartedWhenNoneAnswers) {
  EXPECT_EQ(connected({}, Provider::simulated), "http://started made-key");
  ASSERT_EQ(started.size(), 1u);
  EXPECT_EQ(started[0].data, data);
  EXPECT_EQ(started[0].provider, Provider::simulated);
}

TEST_F(ConnectTest, FilesThatNoLivingServerStandsBehindAreNotBelieved) {
  server.on("GET /healthz", scripted::reply(200, R"({"ok":true})"));
  announce(server.url(), 0);
  EXPECT_EQ(connected({}), "http://started made-key");
  announce(server.url(), 0x7ffffff0);
  EXPECT_EQ(connected({}), "http://started made-key");
  for (const auto* text : {"", "garbage", "[]", "{}", R"({"url":7,"pid":1})"}) {
    write("server.json", text);
    EXPECT_EQ(connected({}), "http://started made-key") << text;
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(ConnectTest, AServerThatDoesNotAnswerOrIsNotWellIsReplaced) {
  announce(server.url(), ::getpid());
  EXPECT_EQ(connected({}), "http://started made-key");
  announce("http://127.0.0.1:1", ::getpid());
  EXPECT_EQ(connected({}), "http://started made-key");
  announce("not a url", ::getpid());
  EXPECT_EQ(connected({}), "http://started made-key");
}

TEST_F(ConnectTest, AServerWithTheOtherKindOfProviderIsRefused) {
  server.on("GET /healthz", scripted::reply(200, R"({"ok":true})"));
  announce(server.url(), ::getpid(), R"(,"sim":true)");
  EXPECT_THAT(connected({}, Provider::configured), HasSubstr("add --sim"));
  EXPECT_THAT(connected({}, Provider::simulated), HasSubstr(server.url()));
  EXPECT_THAT(connected({}), HasSubstr(server.url()));
  announce(server.url(), ::getpid(), R"(,"sim":false)");
  EXPECT_THAT(connected({}, Provider::simulated), HasSubstr("leave out --sim"));
  EXPECT_TRUE(started.empty());
}

TEST_F(ConnectTest, AServerThatRecordsOrReplaysSomethingElseIsRefused) {
  server.on("GET /healthz", scripted::reply(200, R"({"ok":true})"));
  const Cassettes recorded{.record = "/tapes"}, played{.replay = "/tapes"};
  announce(server.url(), ::getpid());
  EXPECT_THAT(connected({}, Provider::configured, recorded), HasSubstr("does not record to /tapes"));
  EXPECT_THAT(connected({}, Provider::configured, played), HasSubstr("does not replay /tapes"));
  announce(server.url(), ::getpid(), R"(,"sim":false,"record":"/tapes")");
  EXPECT_THAT(connected({}, Provider::configured, recorded), HasSubstr(server.url()));
  EXPECT_THAT(connected({}, Provider::configured), HasSubstr(server.url()));
  announce(server.url(), ::getpid(), R"(,"sim":false,"replay":"/tapes")");
  EXPECT_THAT(connected({}, Provider::configured, played), HasSubstr(server.url()));
  EXPECT_THAT(connected({}, Provider::configured), HasSubstr("add --replay /tapes"));
  EXPECT_THAT(connected({}), HasSubstr(server.url())) << "who only looks takes any";
  EXPECT_TRUE(started.empty());
  EXPECT_THAT(connected({.base_url = "http://elsewhere"}, Provider::configured, recorded),
              HasSubstr("serve --record"));
}

TEST_F(ConnectTest, AServerIsStartedWithItsCassettes) {
  connected({}, Provider::configured, {.record = "/tapes"});
  connected({}, Provider::configured, {.replay = "/tapes"});
  ASSERT_EQ(started.size(), 2u);
  EXPECT_EQ(started[0].cassettes.record, "/tapes");
  EXPECT_EQ(started[1].cassettes.replay, "/tapes");
}

TEST(Connect, SaysWhatIsMissingWhenThereIsNoPlaceForData) {
  const auto found = connect({}, {});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, base::Code::invalid);
}

TEST(DefaultData, FollowsXdgForUsersAndTheSystemForRoot) {
  EXPECT_EQ(default_data("/state", "/home/u", false), "/state/agentrouter");
  EXPECT_EQ(default_data("", "/home/u", false), "/home/u/.local/state/agentrouter");
  EXPECT_EQ(default_data("", "", false), "");
  EXPECT_EQ(default_data("/state", "/root", true), "/var/lib/agentrouter");
}

struct LocalServerTest : ConnectTest {
  // Starts a script in the place of the program.
  base::Result<std::string> start(const std::string& script, Provider provider = Provider::configured) const {
    const auto program = data / "program";
    std::ofstream(program) << "#!/bin/sh\n" << script;
    ::chmod(program.c_str(), 0700);
    return start_local_server(
        {.program = program, .data = data, .provider = provider, .environment = {"A=b"}});
  }
  std::string text_of(const std::string& name) const {
    return base::value_or_throw(base::read_file(data / name));
  }
};

TEST_F(LocalServerTest, IsReadyWhenItsLineSaysSo) {
  const auto url =
      start("echo \"$@ A=$A $PWD\" >&2; echo noise; echo 'agentrouter: listening on http://127.0.0.1:9'\n",
            Provider::simulated);
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(*url, "http://127.0.0.1:9");
  EXPECT_EQ(text_of("server.log"), "serve --listen 127.0.0.1:0 --data " + data.string() +
                                       " --idle-exit 600 --workspace-root / --sim A=b /\n");
}

TEST_F(LocalServerTest, IsToldWhereItsCassettesAre) {
  const auto program = data / "program";
  std::ofstream(program)
      << "#!/bin/sh\necho \"$@\" >&2; echo 'agentrouter: listening on http://127.0.0.1:9'\n";
  ::chmod(program.c_str(), 0700);
  ASSERT_TRUE(start_local_server({.program = program, .data = data, .cassettes = {.record = "/a"}}));
  EXPECT_THAT(text_of("server.log"), HasSubstr("--record /a\n"));
  ASSERT_TRUE(start_local_server({.program = program, .data = data, .cassettes = {.replay = "/b"}}));
  EXPECT_THAT(text_of("server.log"), HasSubstr("--replay /b\n"));
}

TEST_F(LocalServerTest, ItsLastWordsTellWhyItEnded) {
  const auto url = start("echo 'port in use \033[31m' >&2; exit 3\n");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, base::Code::unavailable);
  EXPECT_THAT(url.error().message, HasSubstr("port in use"));
  EXPECT_EQ(url.error().message.find('\x1b'), std::string::npos);
}

TEST_F(LocalServerTest, SilenceEndsInATimeoutAndStopsIt) {
  const auto program = data / "program";
  std::ofstream(program) << "#!/bin/sh\nread line < " << (data / "never").string() << "\n";
  ::chmod(program.c_str(), 0700);
  ASSERT_EQ(::mkfifo((data / "never").c_str(), 0600), 0);
  const auto url =
      start_local_server({.program = program, .data = data, .patience = std::chrono::milliseconds(100)});
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, base::Code::timeout);
}

TEST_F(LocalServerTest, AnInterruptEndsTheWaitAndLeavesItStarting) {
  const auto program = data / "program";
  std::ofstream(program) << "#!/bin/sh\nread line < " << (data / "gate").string() << "\necho $line >"
                         << (data / "done").string() << "\n";
  ::chmod(program.c_str(), 0700);
  ASSERT_EQ(::mkfifo((data / "gate").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((data / "done").c_str(), 0600), 0);
  std::stop_source stop;
  stop.request_stop();
  const auto url = start_local_server({.program = program, .data = data, .stop = stop.get_token()});
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, base::Code::cancelled);
  std::ofstream(data / "gate") << "alive\n";
  std::string line;
  std::ifstream(data / "done") >> line;
  EXPECT_EQ(line, "alive");
}

TEST_F(LocalServerTest, ADataFolderThatCannotBeMadeIsSaid) {
  write("file", "");
  EXPECT_FALSE(start_local_server({.data = data / "file" / "below"}));
  EXPECT_FALSE(start_local_server({.program = "/nonexistent", .data = data}));
}

TEST(Interrupts, FirstAndSecondSignalAreTwoTokens) {
  const Interrupts interrupts;
  std::binary_semaphore seen(0);
  {
    const std::stop_callback on_first(interrupts.first(), [&] { seen.release(); });
    ::kill(::getpid(), SIGINT);
    seen.acquire();
  }
  EXPECT_FALSE(interrupts.second().stop_requested());
  const std::stop_callback on_second(interrupts.second(), [&] { seen.release(); });
  ::kill(::getpid(), SIGTERM);
  seen.acquire();
}

}  // namespace
}  // namespace agentrouter::cli
