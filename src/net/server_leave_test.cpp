// A server that goes on elsewhere: nobody is refused, and nobody's request is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/loopback_test.h"

namespace agentrouter::net {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

std::string request_of(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}
std::string last_request(const std::string& path) {
  return request_of(path, "Connection: close\r\n");
}

Response told(const ServerError& error) {
  Response response;
  response.status = error.status;
  return response;
}

// Another server beside that of the loopback.
struct Elsewhere {
  explicit Elsewhere(Loopback& loopback) : server(loopback.io.get_executor(), loopback.handler, told) {}
  Server server;
};

Task<void> idle_goes_on(Loopback& loopback, Elsewhere& other) {
  auto used = co_await loopback.connect();
  co_await used->send(request_of("/a"));
  EXPECT_THAT(co_await used->until("GET /a"), HasSubstr("HTTP/1.1 200 OK"));
  auto fresh = co_await loopback.connect();
  while (loopback.server.connections() < 2) co_await base::sleep_for(1ms);
  const auto listeners = loopback.server.leave();
  co_await loopback.server.stop(soon());
  auto idle = loopback.server.take_idle();
  EXPECT_EQ(listeners.size(), 1u);
  EXPECT_EQ(idle.size(), 2u);
  for (auto& connection : idle) other.server.resume(std::move(connection));
  co_await used->send(last_request("/b"));
  EXPECT_THAT(co_await used->rest(), EndsWith("GET /b"));
  co_await fresh->send(last_request("/c"));
  EXPECT_THAT(co_await fresh->rest(), EndsWith("GET /c"));
  co_await other.server.stop(soon());
}
TEST(ServerThatLeaves, ConnectionsBetweenRequestsGoOnAtAnother) {
  Loopback loopback;
  Elsewhere other(loopback);
  loopback.run(idle_goes_on(loopback, other));
}

Task<void> finish_there(Loopback& loopback, std::unique_ptr<Peer> peer, std::string& all) {
  all = co_await peer->rest();
  loopback.handler.changed.notify();
}

Task<void> in_flight_and_waiting(Loopback& loopback, Elsewhere& other) {
  auto busy = co_await loopback.connect();
  co_await busy->send(request_of("/hold"));
  while (loopback.handler.calls < 1) co_await loopback.handler.changed.wait();
  auto listeners = loopback.server.leave();
  base::TaskScope stopping(co_await base::this_executor);
  stopping.spawn(loopback.server.stop(soon()));
  auto waiting = co_await loopback.connect();
  co_await waiting->send(last_request("/d"));
  std::string held;
  stopping.spawn(finish_there(loopback, std::move(busy), held));
  loopback.handler.release();
  co_await stopping.join();
  EXPECT_THAT(held, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(held, EndsWith("held"));
  EXPECT_TRUE(loopback.server.take_idle().empty());
  EXPECT_TRUE(other.server.adopt(std::move(listeners.at(0))));
  EXPECT_THAT(co_await waiting->rest(), EndsWith("GET /d"));
  co_await other.server.stop(soon());
}
TEST(ServerThatLeaves, RequestsInFlightEndHereAndNewOnesWaitForAnother) {
  Loopback loopback;
  Elsewhere other(loopback);
  loopback.run(in_flight_and_waiting(loopback, other));
}

Task<void> only_who_waits(Loopback& loopback, Elsewhere& other) {
  auto listeners = loopback.server.leave();
  co_await loopback.server.stop(soon());
  auto waiting = co_await loopback.connect();
  co_await waiting->send(last_request("/e"));
  other.server.accept_waiting(std::move(listeners.at(0)));
  EXPECT_THAT(co_await waiting->rest(), EndsWith("GET /e"));
  EXPECT_FALSE(co_await connect_tcp("127.0.0.1", loopback.port, soon()));
  co_await other.server.stop(soon());
}
TEST(ServerThatLeaves, OfASocketThatIsGivenUpWhoWaitsAlreadyIsAnswered) {
  Loopback loopback;
  Elsewhere other(loopback);
  loopback.run(only_who_waits(loopback, other));
}

Task<void> body_under_way(Loopback& loopback, std::string& answer) {
  auto peer = co_await loopback.connect();
  co_await peer->send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  while (loopback.handler.calls < 1) co_await loopback.handler.changed.wait();
  bool called = false;
  base::TaskScope reading(co_await base::this_executor);
  reading.spawn(finish_there(loopback, std::move(peer), answer));
  co_await loopback.server.stop(base::after(250ms), [&called] { called = true; });
  co_await reading.join();
  EXPECT_TRUE(called);
}
TEST(ServerStop, ABodyThatIsStillOnItsWayIsAnsweredBeforeTheDeadline) {
  Loopback loopback;
  std::string answer;
  loopback.run(body_under_way(loopback, answer));
  EXPECT_THAT(answer, HasSubstr("the server is stopping: send the request again"));
}

}  // namespace
}  // namespace agentrouter::net
