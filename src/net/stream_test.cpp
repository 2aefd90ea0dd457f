#include "net/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/loopback_test.h"
#include "net/tls_test.h"

namespace agentrouter::net {
namespace {

using base::Code;
using testing::HasSubstr;

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code::internal : result.error().code;
}

base::Deadline very_soon() {
  return base::SteadyClock::now() + 20ms;
}

void run(Task<void> task) {
  asio::io_context io{1};
  std::exception_ptr failure;
  asio::co_spawn(io, std::move(task), [&](std::exception_ptr error) { failure = error; });
  io.run();
  if (failure) std::rethrow_exception(failure);
}

struct Pair {
  std::unique_ptr<Stream> ours;
  std::unique_ptr<Stream> theirs;
};

Pair make_pair_of(base::Executor executor) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) base::throw_errno("socketpair", errno);
  return {adopt_stream(executor, base::Fd(fds[0])), adopt_stream(executor, base::Fd(fds[1]))};
}

Task<void> end_and_timeout() {
  auto pair = make_pair_of(co_await base::this_executor);
  std::string buffer(10, '\0');
  EXPECT_TRUE(co_await pair.theirs->write("abc", soon()));
  EXPECT_EQ(*(co_await pair.ours->read_some(buffer, soon())), 3u);
  pair.theirs->close();
  EXPECT_EQ(*(co_await pair.ours->read_some(buffer, soon())), 0u);
  auto second = make_pair_of(co_await base::this_executor);
  EXPECT_EQ(code_of(co_await second.ours->read_some(buffer, very_soon())), Code::timeout);
  EXPECT_EQ(code_of(co_await second.ours->read_some(buffer, soon())), Code::timeout);
}
TEST(Stream, TellsTheEndFromATimeout) {
  run(end_and_timeout());
}

Task<void> full() {
  auto pair = make_pair_of(co_await base::this_executor);
  const std::string much(8 << 20, 'x');
  EXPECT_EQ(code_of(co_await pair.ours->write(much, very_soon())), Code::timeout);
  auto second = make_pair_of(co_await base::this_executor);
  second.theirs->close();
  EXPECT_EQ(code_of(co_await second.ours->write(much, soon())), Code::unavailable);
}
TEST(Stream, AWriteThatNobodyTakesTimesOut) {
  run(full());
}

Task<void> read_into(Stream& stream, Code& code) {
  std::string buffer(10, '\0');
  code = code_of(co_await stream.read_some(buffer, soon()));
}
Task<void> closed_while_reading() {
  auto pair = make_pair_of(co_await base::this_executor);
  Code code = Code::internal;
  base::TaskScope scope(co_await base::this_executor);
  scope.spawn(read_into(*pair.ours, code));
  EXPECT_TRUE(co_await pair.ours->write("still works", soon()));
  pair.ours->close();
  co_await scope.join();
  EXPECT_EQ(code, Code::cancelled);
}
TEST(Stream, CloseEndsAReadThatIsUnderWay) {
  run(closed_while_reading());
}

// The name has a label that is too long to be asked for, so no packet leaves the machine.
Task<void> nobody_listens() {
  EXPECT_EQ(code_of(co_await connect_tcp("127.0.0.1", 1, soon())), Code::unavailable);
  EXPECT_EQ(code_of(co_await connect_tcp(std::string(64, 'x') + ".invalid", 80, soon())), Code::unavailable);
  EXPECT_EQ(code_of(co_await connect_unix("/nowhere/at/all", soon())), Code::not_found);
  EXPECT_EQ(code_of(co_await connect_unix(std::string(200, 'x'), soon())), Code::invalid);
}
TEST(Connect, SaysThatNobodyIsThere) {
  run(nobody_listens());
}

Task<void> full_backlog() {
  // A listener that accepts nothing: once its queue is full, a connect hangs.
  base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 0), 0);
  EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::vector<std::unique_ptr<Stream>> waiting;
  Code code = Code::internal;
  for (int n = 0; n < 8 && code == Code::internal; ++n) {
    auto stream =
        co_await connect_tcp("127.0.0.1", ntohs(address.sin_port), base::SteadyClock::now() + 100ms);
    code = code_of(stream);
    if (stream) waiting.push_back(std::move(*stream));
  }
  EXPECT_EQ(code, Code::timeout);
}
TEST(Connect, GivesUpAtItsDeadline) {
  run(full_backlog());
}

Task<void> tls_echo(TlsServer& server, TlsContext& context, std::string host) {
  auto stream = co_await connect_tls(host, server.port(), context, soon());
  std::unique_ptr<Stream> tls = base::value_or_throw(std::move(stream));
  const std::string message(100'000, 'x');
  EXPECT_TRUE(co_await tls->write(message, soon()));
  std::string buffer(200'000, '\0');
  std::size_t got = 0;
  while (got < message.size()) {
    auto size = co_await tls->read_some(std::span(buffer).subspan(got), soon());
    got += base::value_or_throw(std::move(size));
  }
  EXPECT_EQ(buffer.substr(0, got), message);
  EXPECT_EQ(server.seen_name(), host == "localhost" ? "localhost" : "");
}

TEST(Tls, BelievesTheConfiguredAuthorityAndTheRightName) {
  const Certificates made({.names = "DNS:localhost,IP:127.0.0.1"});
  auto context = base::value_or_throw(TlsContext::create({.ca_file = made.ca_file()}));
  for (const std::string host : {"localhost", "127.0.0.1"}) {
    TlsServer server(made);
    server.run(tls_echo(server, context, host));
  }
}

Task<void> tls_refused(TlsServer& server, TlsContext& context, std::string host, std::string why) {
  auto stream = co_await connect_tls(host, server.port(), context, soon());
  EXPECT_EQ(code_of(stream), Code::denied) << why;
  EXPECT_THAT(stream ? std::string() : stream.error().message, HasSubstr(why));
}

TEST(Tls, RefusesTheCertificateOfAnotherHost) {
  const Certificates made({.names = "DNS:example.com,IP:127.0.0.9"});
  auto context = base::value_or_throw(TlsContext::create({.ca_file = made.ca_file()}));
  TlsServer by_name(made);
  by_name.run(tls_refused(by_name, context, "localhost", "ostname mismatch"));
  TlsServer by_address(made);
  by_address.run(tls_refused(by_address, context, "127.0.0.1", "IP address mismatch"));
}

TEST(Tls, RefusesAnUnknownAuthorityAndAnExpiredCertificate) {
  const Certificates made({.names = "DNS:localhost"});
  const Certificates expired({.names = "DNS:localhost", .validity = Validity::over});
  auto system_only = base::value_or_throw(TlsContext::create({}));
  auto context = base::value_or_throw(TlsContext::create({.ca_file = expired.ca_file()}));
  TlsServer unknown(made);
  unknown.run(tls_refused(unknown, system_only, "localhost", "certificate"));
  TlsServer old(expired);
  old.run(tls_refused(old, context, "localhost", "expired"));
}

TEST(Tls, SaysThatACertificateFileCannotBeRead) {
  EXPECT_EQ(TlsContext::create({.ca_file = "/nowhere/ca.pem"}).error().code, Code::invalid);
}

Task<void> addresses_that_may_not_be_reached(std::uint16_t port) {
  for (const std::string host : {"127.0.0.1", "localhost", "::1"}) {
    auto refused = co_await connect_tcp(host, port, soon(), Reach::public_only);
    EXPECT_EQ(code_of(refused), Code::denied) << host;
    if (!refused) EXPECT_EQ(refused.error().reason, "address_denied");
  }
  EXPECT_TRUE(co_await connect_tcp("127.0.0.1", port, soon(), Reach::not_link_local));
  EXPECT_EQ(code_of(co_await connect_tcp("169.254.169.254", port, soon(), Reach::not_link_local)),
            Code::denied);
  auto context = base::value_or_throw(TlsContext::create({}));
  EXPECT_EQ(code_of(co_await connect_tls("localhost", port, context, soon(), Reach::public_only)),
            Code::denied);
}
TEST(Stream, ConnectsOnlyToAddressesThatItMayReach) {
  Loopback loopback;
  loopback.run(addresses_that_may_not_be_reached(loopback.port));
}

Task<std::string> refusal_of(std::string host, Reach reach) {
  const auto stream = co_await connect_tcp(host, 443, soon(), reach);
  EXPECT_FALSE(stream) << host;
  auto message = stream ? std::string() : stream.error().message;
  if (const auto at = message.find(host); at != message.npos) message.replace(at, host.size(), "HOST");
  co_return message;
}
Task<void> names_that_are_not_told_apart() {
  const auto unknown = co_await refusal_of("nobody.invalid", Reach::public_only);
  EXPECT_EQ(unknown, "cannot connect to HOST:443: no public address of it is known here");
  EXPECT_EQ(unknown, co_await refusal_of("localhost", Reach::public_only));
  EXPECT_EQ(unknown, co_await refusal_of("10.0.0.1", Reach::public_only));
  EXPECT_THAT(co_await refusal_of("nobody.invalid", Reach::not_link_local),
              ::testing::HasSubstr("cannot look up"));
}
TEST(Stream, TellsNobodyWhichPrivateNamesThisMachineKnows) {
  run(names_that_are_not_told_apart());
}

Task<void> silent_server(TlsContext& context) {
  base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(code_of(co_await connect_tls("127.0.0.1", ntohs(address.sin_port), context, very_soon())),
            Code::timeout);
}
TEST(Tls, AHandshakeThatGetsNoAnswerTimesOut) {
  auto context = base::value_or_throw(TlsContext::create({}));
  run(silent_server(context));
}

}  // namespace
}  // namespace agentrouter::net
