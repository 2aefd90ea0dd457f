#include "egress/git_gate.h"

#include <boost/asio/co_spawn.hpp>
#include <future>

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A gate in front of a scripted server, and git as raw bytes.
class GitGateTest : public ::testing::Test {
 protected:
  GitGateTest() : server_(io_.get_executor()) {}

  void open(const std::string& path = "/team/repo.git", std::uint64_t response_bytes = 1 << 20,
            std::uint16_t other_port = 0) {
    auto [listener, port] = loopback_listener();
    upstream_.emplace(io_.get_executor(), server_, [](const net::ServerError& error) {
      return reply("text/plain", std::string(error.message));
    });
    base::value_or_throw(upstream_->adopt(std::move(listener)));
    port_ = port;
    config_.repository =
        base::value_or_throw(net::parse_url("http://127.0.0.1:" + std::to_string(port) + path));
    if (other_port != 0) config_.repository.port = other_port;
    config_.response_bytes = response_bytes;
    gate_.emplace(io_.get_executor(), config_);
    auto [inner, inner_port] = loopback_listener();
    base::value_or_throw(gate_->serve(std::move(inner)));
    gate_port_ = inner_port;
  }

  // What git is answered.
  std::string ask(const std::string& request) {
    std::string answer;
    std::exception_ptr failed;
    asio::co_spawn(io_.get_executor(), talk(request, answer),
                   [&](std::exception_ptr error) { failed = error; });
    io_.run();
    io_.restart();
    if (failed) std::rethrow_exception(failed);
    return answer;
  }
  base::Task<void> talk(std::string request, std::string& answer) {
    auto stream = base::value_or_throw(co_await net::connect_tcp("127.0.0.1", gate_port_, soon()));
    Agent agent(std::move(stream));
    co_await agent.send(std::move(request));
    answer = co_await agent.rest();
    co_await gate_->stop();
    co_await upstream_->stop(soon());
  }
  static std::string get(const std::string& target) {
    return "GET " + target +
           " HTTP/1.1\r\nHost: 127.83.1.1\r\nAuthorization: Basic sandbox\r\nCookie: a=b\r\n" +
           "Git-Protocol: version=2\r\nConnection: close\r\n\r\n";
  }
  static std::string post(const std::string& target, const std::string& body) {
    return "POST " + target + " HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n" +
           "Content-Type: application/x-git-upload-pack-request\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  void answer_with(int status, std::string body = "refs", std::string location = "") {
    server_.script = [status, body, location](Provider&, net::Exchange& exchange) {
      return respond(exchange, status, body, location);
    };
  }
  static base::Task<void> respond(net::Exchange& exchange, int status, std::string body,
                                  std::string location) {
    auto response = reply("application/x-git-upload-pack-advertisement", std::move(body));
    response.status = status;
    if (!location.empty()) response.headers.add("location", std::move(location));
    co_await exchange.respond(std::move(response));
  }

  asio::io_context io_{1};
  Provider server_;
  GitGateConfig config_;
  std::optional<net::Server> upstream_;
  std::optional<GitGate> gate_;
  std::uint16_t port_ = 0;
  std::uint16_t gate_port_ = 0;
};

TEST_F(GitGateTest, TheCredentialIsAddedOutsideAndNothingOfTheSandboxsOwnLeaves) {
  const auto secret = base::value_or_throw(Secret::create("dTpw"));
  config_.credential = &secret;
  open();
  answer_with(200);
  EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("refs"), Not(HasSubstr("dTpw"))));
  ASSERT_EQ(server_.requests.size(), 1u);
  const auto& seen = server_.requests[0].request;
  EXPECT_EQ(seen.target, "/team/repo.git/info/refs?service=git-upload-pack");
  EXPECT_EQ(seen.headers.get("authorization"), "Basic dTpw");
  EXPECT_EQ(seen.headers.count("authorization"), 1u);
  EXPECT_EQ(seen.headers.get("git-protocol"), "version=2");
  EXPECT_EQ(seen.headers.get("host"), "127.0.0.1:" + std::to_string(port_));
  EXPECT_EQ(seen.headers.count("cookie"), 0u);
  EXPECT_EQ(gate_->problem().trouble, GitTrouble::none);
}

TEST_F(GitGateTest, AHostThatNobodyHasNamedIsNoneOfThisMachineOrAPrivateNetwork) {
  config_.reach = net::Reach::public_only;
  open();
  EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")), StartsWith("HTTP/1.1 502"));
  EXPECT_EQ(gate_->problem().trouble, GitTrouble::unreachable);
  EXPECT_THAT(gate_->problem().message, HasSubstr("no public address of it is known here"));
  EXPECT_TRUE(server_.requests.empty());
}

TEST_F(GitGateTest, BodiesGoBothWays) {
  open();
  answer_with(200, std::string(200'000, 'p'));
  const auto answer = ask(post("/team/repo.git/git-upload-pack", "0032want"));
  EXPECT_THAT(answer, HasSubstr(std::string(1000, 'p')));
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].body, "0032want");
  EXPECT_EQ(server_.requests[0].request.headers.get("content-length"), "8");
  EXPECT_EQ(server_.requests[0].request.headers.count("authorization"), 0u);
  EXPECT_EQ(gate_->bytes(), 200'000u);
}

TEST_F(GitGateTest, NothingButReadingThisRepositoryIsLetThrough) {
  for (const std::string& request : std::vector<std::string>{
           get("/team/repo.git/info/refs?service=git-receive-pack"), get("/team/repo.git/info/refs"),
           get("/team/other.git/info/refs?service=git-upload-pack"),
           get("/team/repo.git/../other.git/info/refs"), get("/"), get("/team/repo.git/HEAD"),
           get("/team/repo.git/objects/info/packs"), post("/team/repo.git/git-receive-pack", "x"),
           post("/team/other.git/git-upload-pack", "x"),
           get("http://127.83.1.1/team/repo.git/info/refs?service=git-upload-pack")}) {
    open();
    answer_with(200);
    EXPECT_THAT(ask(request), StartsWith("HTTP/1.1 403")) << request;
    EXPECT_EQ(gate_->problem().trouble, GitTrouble::refused);
  }
  EXPECT_TRUE(server_.requests.empty());
}

TEST_F(GitGateTest, WhatIsWrongOutsideIsToldApart) {
  const std::vector<std::pair<int, GitTrouble>> cases{{401, GitTrouble::unauthorized},
                                                      {403, GitTrouble::unauthorized},
                                                      {404, GitTrouble::not_found},
                                                      {500, GitTrouble::unreachable},
                                                      {302, GitTrouble::redirected}};
  for (const auto& [status, trouble] : cases) {
    open();
    answer_with(status, "secret page");
    EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")), Not(HasSubstr("secret page")));
    EXPECT_EQ(gate_->problem().trouble, trouble) << status;
  }
}

TEST_F(GitGateTest, ARedirectWithinTheServerIsFollowedAndOneToElsewhereIsNot) {
  open();
  server_.script = [this](Provider&, net::Exchange& exchange) {
    const bool moved = exchange.request().path.starts_with("/team/");
    return respond(exchange, moved ? 301 : 200, "refs",
                   moved ? "http://127.0.0.1:" + std::to_string(port_) +
                               "/new/repo.git/info/refs?service=git-upload-pack"
                         : "");
  };
  EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")), StartsWith("HTTP/1.1 200"));
  ASSERT_EQ(server_.requests.size(), 2u);
  EXPECT_EQ(server_.requests[1].request.path, "/new/repo.git/info/refs");

  server_.requests.clear();
  const auto secret = base::value_or_throw(Secret::create("dTpw"));
  config_.credential = &secret;
  open();
  answer_with(301, "", "http://127.0.0.2:9/x/info/refs?service=git-upload-pack");
  EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")), StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(gate_->problem().trouble, GitTrouble::redirected);
}

TEST_F(GitGateTest, AnAnswerOverTheLimitIsCut) {
  open("/team/repo.git", 1000);
  answer_with(200, std::string(5000, 'p'));
  (void)ask(get("/team/repo.git/info/refs?service=git-upload-pack"));
  EXPECT_EQ(gate_->problem().trouble, GitTrouble::too_large);
}

TEST_F(GitGateTest, AServerThatIsNotThereIsUnreachable) {
  open("/team/repo.git", 1 << 20, 9);
  EXPECT_THAT(ask(get("/team/repo.git/info/refs?service=git-upload-pack")), StartsWith("HTTP/1.1 502"));
  EXPECT_EQ(gate_->problem().trouble, GitTrouble::unreachable);
}

}  // namespace
}  // namespace agentrouter::egress
