#pragma once
// For this room's tests: an egress on a free loopback port, a scripted provider behind it, an observer that
// writes down what it is told, and an agent that sends and sees raw bytes. Nothing waits for time to pass.
// The coroutines are in world_test.cpp: g++ 12 breaks inline ones.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>
#include <vector>

#include "egress/egress.h"
#include "net/client.h"
#include "net/server.h"
#include "net/stream.h"
#include "sim/simulator.h"

namespace agentrouter::egress {

using namespace std::chrono_literals;

inline base::Deadline soon() {
  return base::SteadyClock::now() + 20s;
}

inline std::pair<base::Fd, std::uint16_t> loopback_listener() {
  base::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(0, ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size));
  EXPECT_EQ(0, ::listen(fd.get(), 128));
  EXPECT_EQ(0, ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size));
  return {std::move(fd), ntohs(address.sin_port)};
}

// The agent's end of one connection.
class Agent {
 public:
  explicit Agent(std::unique_ptr<net::Stream> stream) : stream_(std::move(stream)) {}

  Task<void> send(std::string bytes);
  // Up to and with `end`. Throws when the connection ends before.
  Task<std::string> until(std::string end);
  Task<std::string> rest();
  // False: it was not taken before the deadline, and the connection is of no more use.
  Task<bool> offer(std::string_view bytes, base::Deadline deadline);
  // Says that nothing more is sent.
  Task<void> finish();
  void leave() { stream_->close(); }

 private:
  Task<bool> fill();

  std::unique_ptr<net::Stream> stream_;
  std::string seen_;
};

// A function, because g++ 12 takes no braces behind co_await.
inline net::Response reply(const std::string& content_type, std::string body = "") {
  net::Response response;
  response.headers.add("content-type", content_type);
  response.body = std::move(body);
  return response;
}

struct Seen {
  net::Request request;
  std::string body;
};

// Answers as `script` says, once the request's body is read; by default 200 with a small document.
class Provider final : public net::Handler {
 public:
  using Script = std::function<Task<void>(Provider&, net::Exchange&)>;

  explicit Provider(base::Executor executor) : changed(executor), go(executor) {}

  Task<void> handle(net::Exchange& exchange) override;
  // Waits until `condition` holds; it is looked at again after each change.
  Task<void> until(std::function<bool()> condition);

  Script script;
  Script early;  // instead, before the body is read
  std::vector<Seen> requests;
  bool broken = false;  // a request body ended early
  bool left = false;    // set by scripts
  base::Event changed;
  base::Event go;  // tests let scripts go on
};

class Log final : public Observer {
 public:
  explicit Log(base::Executor executor) : changed(executor), release(executor) {}

  Task<Result<void>> on_first_forward() override;
  void on_request_done(const RequestRecord& record) override {
    done.push_back(record);
    changed.notify();
  }
  void on_denied(const RequestRecord& record, std::uint64_t total) override {
    denied.push_back(record);
    denials = total;
    changed.notify();
  }
  Task<void> until(std::function<bool()> condition);

  int asked = 0;
  bool hold = false;
  Result<void> answer;
  std::vector<RequestRecord> done;
  std::vector<RequestRecord> denied;
  std::uint64_t denials = 0;
  base::Event changed;
  base::Event release;
};

class EgressTest : public testing::Test {
 protected:
  static constexpr std::string_view real_key = "sk-real-0123456789-canary";

  EgressTest()
      : provider(io.get_executor()),
        provider_server(io.get_executor(), provider,
                        [](const net::ServerError& error) {
                          return net::Response{error.status, {}, std::string(error.message)};
                        }),
        log(io.get_executor()) {
    provider_port = provider_server.listen("127.0.0.1", 0).value();
    config.authorities = {"egress.test"};
    config.models = {"gpt-5.5"};
    config.openai = upstream("/v1", BaseUrl::with_version);
  }

  Upstream upstream(const std::string& path, BaseUrl kind) {
    return {upstream_base("http://127.0.0.1:" + std::to_string(provider_port) + path, kind).value(), &key};
  }

  // Runs `task` against an egress made of `config`, then stops everything. Rethrows what the task throws.
  void run(Task<void> task) {
    egress = std::make_unique<Egress>(io.get_executor(), config, log);
    auto [listener, bound] = loopback_listener();
    port = bound;
    EXPECT_TRUE(egress->serve(std::move(listener)));
    std::exception_ptr failure;
    asio::co_spawn(io, run_and_stop(std::move(task)), [&](std::exception_ptr error) { failure = error; });
    io.run();
    io.restart();
    if (failure) std::rethrow_exception(failure);
  }

  Task<std::unique_ptr<Agent>> connect();
  // One request on a connection of its own; all that comes back.
  Task<std::string> ask(std::string wire);
  static std::string post(const std::string& path, const std::string& body, const std::string& fields = "") {
    return "POST " + path +
           " HTTP/1.1\r\nHost: egress.test\r\nAuthorization: Bearer dummy\r\nConnection: close\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string status_of(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }

  asio::io_context io{1};
  Secret key = Secret::create(real_key).value();
  Provider provider;
  net::Server provider_server;
  std::uint16_t provider_port = 0;
  Log log;
  Config config;
  std::unique_ptr<Egress> egress;
  std::uint16_t port = 0;

 private:
  Task<void> run_and_stop(Task<void> task);
};

}  // namespace agentrouter::egress
