// What a sandbox cannot exhaust: connections, bytes, time; and what holding, stopping and many at once do.
#include <dirent.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <fstream>
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/allocator_interface.h>
#endif
#endif

#include "egress/outbound_world_test.h"
#include "net/hello_test.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// What is in use: AddressSanitizer keeps what was freed in its quarantine.
long resident_kib() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  return static_cast<long>(__sanitizer_get_current_allocated_bytes() / 1024);
#endif
#endif
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word && word != "VmRSS:") {
  }
  long kib = 0;
  status >> kib;
  return kib;
}

class OutboundLimits : public OutboundTest {
 protected:
  OutboundLimits() {
    rules = {{.host = "raw.test", .scheme = Scheme::tcp}, {.host = "plain.test", .scheme = Scheme::http}, {.host = "api.test", .method = "GET"}};
  }

  Task<void> spent_by_a_connection() {
    auto agent = co_await reach("raw.test", echo.port());
    co_await agent->send(std::string(60, 'x'));
    const auto some = co_await agent->until(std::string(40, 'x'));
    co_await agent->send(std::string(60, 'x'));
    std::ignore = co_await agent->rest();
    co_await log.until([this] { return log.done.size() == 1; });
    EXPECT_EQ(log.done.at(0).reason, "egress_limit");
    EXPECT_LE(log.done.at(0).bytes_out + log.done.at(0).bytes_in, 150u);
  }
  Task<void> spent_by_a_request() {
    provider.script = [](Provider&, net::Exchange& exchange) {
      return exchange.respond(reply("text/plain", std::string(200, 'x')));
    };
    const auto cut = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(cut, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(log.done.at(0).reason, "egress_limit");
    const auto denied = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(denied, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("egress_limit")));
    auto agent = co_await reach("raw.test", echo.port());
    const auto nothing = co_await agent->rest();
    EXPECT_EQ(nothing, "");
    EXPECT_EQ(log.denied.size(), 2u);
    EXPECT_EQ(echo.accepted, 0);
  }
  Task<void> long_request() {
    const auto answer =
        co_await ask("plain.test", "POST / HTTP/1.1\r\nHost: plain.test:" + std::to_string(http_port) +
                                       "\r\nConnection: close\r\nContent-Length: 101\r\n\r\n" + std::string(101, 'x'));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 413"), HasSubstr("request_body")));
  }
  Task<void> long_answer() {
    provider.script = [](Provider&, net::Exchange& exchange) {
      return exchange.respond(reply("text/plain", std::string(200, 'x')));
    };
    std::ignore = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_EQ(log.done.at(0).reason, "response_too_large");
  }
  Task<void> idle() {
    auto agent = co_await reach("raw.test", echo.port());
    co_await agent->send("x");
    const auto rest = co_await agent->rest();
    EXPECT_EQ(rest, "x");
    co_await log.until([this] { return log.done.size() == 1; });
    EXPECT_EQ(log.done.at(0).reason, "idle_timeout");
  }
  Task<void> silent_host() {
    provider.script = [](Provider& self, net::Exchange&) -> Task<void> { co_await self.go.wait(); };
    const auto answer = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 504"), HasSubstr("host_timeout")));
    provider.go.notify();
  }
  Task<void> one_at_a_time() {
    auto first = co_await reach("raw.test", echo.port());
    co_await first->send("1");
    std::ignore = co_await first->until("1");
    auto second = co_await reach("raw.test", echo.port());
    co_await second->send("2");
    EXPECT_EQ(echo.accepted, 1);
    first->leave();
    std::ignore = co_await second->until("2");
    EXPECT_EQ(echo.accepted, 2);
    second->leave();
  }
  Task<void> held() {
    outbound->hold();
    auto agent = co_await reach("raw.test", echo.port());
    co_await agent->send("x");
    auto request = co_await reach("plain.test", http_port);
    co_await request->send(get("plain.test", http_port));
    while (outbound->open() < 2) co_await base::sleep_for(1ms);
    EXPECT_EQ(log.asked, 0);
    EXPECT_TRUE(looked_up.empty());
    outbound->release();
    std::ignore = co_await agent->until("x");
    const auto answer = co_await request->rest();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(log.asked, 1);
    agent->leave();
  }
  Task<void> not_written_down() {
    log.answer = base::fail(base::Code::unavailable, "the disk is full");
    const auto answer = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("held")));
    auto agent = co_await reach("raw.test", echo.port());
    const auto nothing = co_await agent->rest();
    EXPECT_EQ(nothing, "");
    EXPECT_EQ(log.denied.size(), 2u);
    EXPECT_TRUE(looked_up.empty());
  }
  // Stops while a connection is carried, a request waits for its answer and TLS is inspected.
  Task<void> stopped() {
    provider.script = [](Provider& self, net::Exchange&) -> Task<void> { co_await self.go.wait(); };
    carried = co_await reach("raw.test", echo.port());
    co_await carried->send("x");
    std::ignore = co_await carried->until("x");
    waiting = co_await reach("plain.test", http_port);
    co_await waiting->send(get("plain.test", http_port));
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_run);
    inspected = std::make_unique<Agent>(base::value_or_throw(std::move(stream)));
    co_await inspected->send(get("api.test", host.port()));
    co_await provider.until([this] { return provider.requests.size() == 2; });
    EXPECT_EQ(outbound->open(), 3u);
  }
  Task<void> no_authority() {
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_run);
    EXPECT_FALSE(stream);
    EXPECT_EQ(log.denied.at(0).reason, "inspection_unavailable");
  }
  Task<void> http2_only() {
    auto agent = co_await reach("api.test", host.port());
    const auto protocols = net::hello::extension(16, net::hello::with_length(2, net::hello::with_length(1, "h2")));
    co_await agent->send(
        net::hello::record(net::hello::message(net::hello::server_name("api.test") + protocols)));
    const auto alert = co_await agent->rest();
    EXPECT_EQ(alert, std::string("\x15\x03\x03\x00\x02\x02\x78", 7));
    EXPECT_EQ(log.denied.at(0).reason, "protocol_unsupported");
  }
  Task<void> unbelieving_client() {
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_host);
    EXPECT_FALSE(stream);
    co_await log.until([this] { return log.denied.size() == 1; });
    EXPECT_EQ(log.denied.at(0).reason, "tls_failed");
  }
  Task<void> unbelievable_host() {
    const auto answer = co_await ask_tls("api.test", get("api.test", host.port()));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 502"), HasSubstr("host_certificate")));
    EXPECT_TRUE(provider.requests.empty());
  }
  // 32 MiB to somebody who does not read: only so much is taken from the one who sends.
  Task<void> back_pressure() {
    auto agent = co_await reach("raw.test", echo.port());
    const auto before = resident_kib();
    base::Deadline deadline = base::after(200ms);
    const std::string piece(1 << 20, 'x');
    int taken = 0;
    for (; taken < 64; ++taken) {
      const bool sent = co_await agent->offer(piece, deadline);
      if (!sent) break;
    }
    EXPECT_LT(taken, 64);
    EXPECT_LT(resident_kib() - before, 8 * 1024);
    agent->leave();
  }
  Task<void> one_stream(int number, std::size_t& done, base::Event& changed) {
    auto agent = co_await reach_address(address, echo.port());
    const auto word = "<" + std::to_string(number) + ">";
    co_await agent->send(word);
    std::ignore = co_await agent->until(word);
    ++open_streams;
    changed.notify();
    while (open_streams < wanted_streams) co_await changed.wait();
    co_await agent->send(word);
    std::ignore = co_await agent->until(word);
    agent->leave();
    ++done;
    changed.notify();
  }
  Task<void> thousand() {
    // Six descriptors for each: here, there, and in between.
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
    ::setrlimit(RLIMIT_NOFILE, &files);
    wanted_streams = std::min<std::size_t>(wanted_streams, (files.rlim_cur - 200) / 6);
    address = co_await address_of("raw.test");
    std::size_t done = 0;
    base::Event changed(io.get_executor());
    base::TaskScope scope(io.get_executor());
    for (std::size_t i = 0; i < wanted_streams; ++i) scope.spawn(one_stream(static_cast<int>(i), done, changed));
    co_await scope.join();
    EXPECT_EQ(done, wanted_streams);
    co_await log.until([this] { return log.done.size() == wanted_streams; });
    EXPECT_EQ(outbound->open(), 0u);
  }
  Task<void> thousands_of_requests() {
    constexpr int warm = 500;
    constexpr int all = 3000;
    std::size_t descriptors = 0;
    long memory = 0;
    for (int i = 0; i < all; ++i) {
      if (i == warm) {
        descriptors = open_descriptors();
        memory = resident_kib();
      }
      if (i % 30 == 0) {
        std::ignore = co_await ask_tls("api.test", get("api.test", host.port(), "/" + std::to_string(i)));
      } else {
        std::ignore = co_await ask("plain.test", get("plain.test", http_port, "/" + std::to_string(i)));
      }
      provider.requests.clear();
      looked_up.clear();
      log.done.clear();
    }
    EXPECT_LE(open_descriptors(), descriptors + 4);
    EXPECT_LT(resident_kib() - memory, 8 * 1024);
  }

  asio::ip::address address;
  std::size_t wanted_streams = 1000;
  std::size_t open_streams = 0;
  std::unique_ptr<Agent> carried;
  std::unique_ptr<Agent> waiting;
  std::unique_ptr<Agent> inspected;
};

TEST_F(OutboundLimits, BytesCutAConnection) {
  config.total_bytes = 150;
  run(spent_by_a_connection());
}
TEST_F(OutboundLimits, BytesCutAnAnswerAndRefuseWhatComesAfter) {
  config.total_bytes = 150;
  run(spent_by_a_request());
}
TEST_F(OutboundLimits, OfARequest) {
  config.request_bytes = 100;
  run(long_request());
}
TEST_F(OutboundLimits, OfAnAnswer) {
  config.response_bytes = 100;
  run(long_answer());
}
TEST_F(OutboundLimits, SilenceEndsAConnection) {
  config.idle_timeout = 50ms;
  run(idle());
}
TEST_F(OutboundLimits, HostsThatDoNotAnswerAreATimeout) {
  config.head_timeout = 50ms;
  run(silent_host());
}
TEST_F(OutboundLimits, OneConnectionTooManyWaits) {
  config.max_connections = 1;
  run(one_at_a_time());
}
TEST_F(OutboundLimits, NothingLeavesWhileItIsHeld) {
  run(held());
}
TEST_F(OutboundLimits, NothingLeavesThatCouldNotBeWrittenDown) {
  run(not_written_down());
}
TEST_F(OutboundLimits, StopCutsAndReportsWhatIsUnderWay) {
  run(stopped());
  EXPECT_EQ(log.done.size(), 3u);
  EXPECT_EQ(outbound->open(), 0u);
}
TEST_F(OutboundLimits, WithoutAnAuthorityNothingIsInspected) {
  config.authority = nullptr;
  run(no_authority());
}
TEST_F(OutboundLimits, ClientsThatSpeakOnlyHttp2AreTold) {
  run(http2_only());
}
TEST_F(OutboundLimits, ClientsThatDoNotBelieveTheRunsAuthorityAreReported) {
  run(unbelieving_client());
}
TEST_F(OutboundLimits, HostsWithoutABelievedCertificateGetNothing) {
  config.tls = believes_run;
  run(unbelievable_host());
}
TEST_F(OutboundLimits, WhoDoesNotReadIsNotReadFor) {
  run(back_pressure());
}
TEST_F(OutboundLimits, AThousandStreamsAtOnce) {
  run(thousand());
}
TEST_F(OutboundLimits, ThousandsOfRequestsLeaveNothing) {
  run(thousands_of_requests());
}

}  // namespace
}  // namespace agentrouter::egress
