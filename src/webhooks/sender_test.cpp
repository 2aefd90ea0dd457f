// The sender against real sockets: what an honest receiver gets, and what others may try.

#include "webhooks/sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "base/task_scope.h"
#include "testing/manual_clock.h"
#include "testing/run_task.h"

namespace agentrouter::webhooks {

namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, base::Executor>;

// Takes connections, reads a request and answers it as it is told to.
class Receiver {
 public:
  Receiver() : acceptor_(io.get_executor(), Tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

  Outcome send(std::string reply, SenderLimits limits = {.time = 10s}, net::Reach reach = net::Reach::anywhere) {
    return send_to("http://127.0.0.1:" + std::to_string(port()) + "/hook?x=1", std::move(reply), limits, reach);
  }
  Outcome send_to(const std::string& url, std::string reply, SenderLimits limits, net::Reach reach) {
    reply_ = std::move(reply);
    HttpSender sender(clock_, "", limits);
    base::TaskScope scope(io.get_executor());
    scope.spawn(serve());
    Outcome outcome;
    testing::run_task(io, exchange(sender, url, reach, outcome, scope));
    return outcome;
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  asio::io_context io{1};
  std::string got;
  std::size_t connections = 0;
  std::size_t flooded = 0;
  bool floods = false;
  bool hangs = false;

 private:
  base::Task<void> exchange(HttpSender& sender, const std::string& url, net::Reach reach, Outcome& outcome,
                            base::TaskScope& scope) {
    Outgoing message;
    message.url = base::value_or_throw(net::parse_url(url));
    message.reach = reach;
    message.headers.add("webhook-id", "msg_1");
    message.body = R"({"type":"test"})";
    outcome = co_await sender.send(std::move(message));
    co_await scope.cancel_and_join();
  }
  base::Task<void> serve() {
    for (;;) {
      Socket socket = co_await acceptor_.async_accept(base::use_task);
      ++connections;
      co_await answer(socket);
    }
  }
  base::Task<void> answer(Socket& socket) {
    std::array<char, 4096> buffer{};
    while (got.find("}") == std::string::npos) {
      const auto size = co_await socket.async_read_some(asio::buffer(buffer), base::use_task);
      got.append(buffer.data(), size);
    }
    boost::system::error_code error;
    co_await asio::async_write(socket, asio::buffer(reply_), asio::redirect_error(base::use_task, error));
    const std::string junk(65536, 'x');
    while (floods && !error)
      flooded += co_await asio::async_write(socket, asio::buffer(junk), asio::redirect_error(base::use_task, error));
    if (hangs) co_await base::sleep_for(1h);
  }

  asio::basic_socket_acceptor<Tcp, base::Executor> acceptor_;
  testing::ManualClock clock_;
  std::string reply_;
};

TEST(HttpSender, AnHonestReceiverGetsTheMessage) {
  Receiver receiver;
  const auto outcome = receiver.send("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_EQ(outcome.status, 204);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(receiver.got.starts_with("POST /hook?x=1 HTTP/1.1\r\n")) << receiver.got;
  EXPECT_THAT(receiver.got, HasSubstr("Host: 127.0.0.1:" + std::to_string(receiver.port()) + "\r\n"));
  EXPECT_THAT(receiver.got, HasSubstr("webhook-id: msg_1\r\n"));
  EXPECT_TRUE(receiver.got.ends_with("\r\n\r\n{\"type\":\"test\"}")) << receiver.got;
}

TEST(HttpSender, ARefusalSaysWhenToComeAgain) {
  Receiver receiver;
  const auto outcome =
      receiver.send("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(outcome.status, 429);
  EXPECT_EQ(outcome.error, "the endpoint answered 429");
  EXPECT_EQ(outcome.retry_after, 120s);
}

TEST(HttpSender, RedirectsAreNotFollowed) {
  Receiver receiver;
  const auto outcome = receiver.send("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:" +
                                     std::to_string(receiver.port()) + "/other\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(outcome.status, 307);
  EXPECT_THAT(outcome.error, HasSubstr("redirects are not followed"));
  EXPECT_EQ(receiver.connections, 1u);
}

TEST(HttpSender, APrivateAddressIsNotConnectedTo) {
  Receiver receiver;
  const auto outcome = receiver.send("HTTP/1.1 200 OK\r\n\r\n", {.time = 10s}, net::Reach::public_only);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.error, "");
  EXPECT_EQ(receiver.connections, 0u);
  // Also by a name that is looked up.
  const auto named = receiver.send_to("http://localhost:" + std::to_string(receiver.port()) + "/", "", {.time = 10s},
                                      net::Reach::public_only);
  EXPECT_EQ(named.status, 0);
  EXPECT_EQ(receiver.connections, 0u);
}

TEST(HttpSender, ANameOfAPrivateAddressIsNotToldFromOneThatIsNot) {
  Receiver receiver;
  const auto error_of = [&](const std::string& host) {
    auto error = receiver.send_to("https://" + host + "/", "", {.time = 10s}, net::Reach::public_only).error;
    if (const auto at = error.find(host); at != error.npos) error.erase(at, host.size());
    return error;
  };
  const auto error = error_of("localhost");
  EXPECT_THAT(error, HasSubstr("no public address"));
  EXPECT_EQ(error, error_of("nobody.invalid"));
}

TEST(HttpSender, AFloodIsCutOffAndIsNoHarm) {
  Receiver receiver;
  receiver.floods = true;
  const auto outcome = receiver.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n");
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.error, "");
  EXPECT_LT(receiver.flooded, 64u << 20);
  Receiver head;
  head.floods = true;
  EXPECT_NE(head.send("HTTP/1.1 200 OK\r\nX: ").error, "");
  EXPECT_LT(head.flooded, 64u << 20);
}

TEST(HttpSender, AReceiverThatHangsOrDribblesIsLeftAtTheDeadline) {
  for (const auto* reply : {"", "HTTP/1.1 200"}) {
    Receiver receiver;
    receiver.hangs = true;
    const auto outcome = receiver.send(reply, {.time = 50ms});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.error, "");
  }
  Receiver receiver;
  receiver.hangs = true;
  EXPECT_EQ(receiver.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", {.time = 50ms}).error, "");
}

TEST(HttpSender, CertificatesThatCannotBeReadAreNamed) {
  testing::ManualClock clock;
  HttpSender sender(clock, "/nowhere/ca.pem");
  const auto read = sender.read_certificates();
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("/nowhere/ca.pem"));
  asio::io_context io{1};
  Outgoing message;
  message.url = base::value_or_throw(net::parse_url("https://127.0.0.1:1/"));
  EXPECT_THAT(testing::run_task(io, sender.send(message)).error, HasSubstr("/nowhere/ca.pem"));
}

TEST(HttpSender, WhatIsNoAnswerIsAFailure) {
  for (const auto* reply : {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"}) {
    Receiver receiver;
    const auto outcome = receiver.send(reply);
    EXPECT_EQ(outcome.status, 0) << reply;
    EXPECT_NE(outcome.error, "") << reply;
  }
}

}  // namespace

}  // namespace agentrouter::webhooks
