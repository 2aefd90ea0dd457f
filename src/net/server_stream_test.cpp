// Answers that are written piece by piece, peers that do not read or leave, and the graceful stop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "net/loopback_test.h"

namespace agentrouter::net {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string get(std::string path, std::string fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}
std::string get_last(std::string path) {
  return get(std::move(path), "Connection: close\r\n");
}

Task<void> framings(Loopback& loopback) {
  const auto chunked = co_await loopback.ask(get("/stream") + get_last("/last"));
  EXPECT_THAT(chunked, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(chunked, HasSubstr("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200"));
  EXPECT_THAT(chunked, EndsWith("GET /last"));
  const auto sized = co_await loopback.ask(get("/sized") + get_last("/last"));
  EXPECT_THAT(sized, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_THAT(sized, HasSubstr("\r\n\r\nonetwoHTTP/1.1 200"));
  const auto old = co_await loopback.ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(old, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(old, EndsWith("\r\n\r\nonetwo"));
}
TEST(StreamedAnswer, IsFramedAsThePeerUnderstandsIt) {
  Loopback loopback;
  loopback.run(framings(loopback));
}

Task<void> broken_streams(Loopback& loopback) {
  EXPECT_THAT(co_await loopback.ask(get("/short") + get("/a")), EndsWith("onetwo"));
  const auto thrown = co_await loopback.ask(get("/breaks") + get("/a"));
  EXPECT_THAT(thrown, EndsWith("3\r\ntwo\r\n"));
}
TEST(StreamedAnswer, ThatFailsHalfWayIsVisiblyIncomplete) {
  Loopback loopback;
  loopback.run(broken_streams(loopback));
}

Task<void> leaves_quietly(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/quiet"));
  co_await peer->head();
  while (loopback.handler.streams == 0) co_await loopback.handler.changed.wait();
  peer->leave();
  while (loopback.handler.ends == 0) co_await loopback.handler.changed.wait();
}
TEST(StreamedAnswer, NoticesAPeerThatLeavesWhileNothingIsSent) {
  Loopback loopback;
  loopback.run(leaves_quietly(loopback));
}

Task<void> sends_ahead(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/quiet"));
  co_await peer->head();
  co_await peer->send(get("/last"));
  while (loopback.handler.streams == 0) co_await loopback.handler.changed.wait();
  EXPECT_EQ(loopback.handler.ends, 0);
  EXPECT_EQ(loopback.handler.calls, 1);
  peer->leave();
  while (loopback.handler.ends == 0) co_await loopback.handler.changed.wait();
}
TEST(StreamedAnswer, ARequestSentAheadWaitsForTheStreamsEnd) {
  Loopback loopback;
  loopback.run(sends_ahead(loopback));
}

Task<void> does_not_read(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/endless"));
  co_await peer->head();
  // Nothing is read any more: the writer must stand still, then be told that the peer is lost.
  while (loopback.handler.ends == 0) co_await loopback.handler.changed.wait();
  // What went through is what two kernels buffer, not what a fast writer could produce.
  EXPECT_LT(loopback.handler.passed, 1000);
  EXPECT_GT(loopback.handler.passed, 0);
}
TEST(StreamedAnswer, APeerThatDoesNotReadHoldsTheWriterAndIsCut) {
  Loopback loopback({.write_timeout = 50ms});
  loopback.run(does_not_read(loopback));
}

Task<void> reads_and_leaves(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/endless"));
  for (int n = 0; n < 100; ++n) co_await peer->until(std::string(30'000, 'x'));
  peer->leave();
  while (loopback.handler.ends == 0) co_await loopback.handler.changed.wait();
  EXPECT_GT(loopback.handler.passed, 90);
}
TEST(StreamedAnswer, FlowsToAPeerThatReadsAndEndsWhenItLeaves) {
  Loopback loopback;
  loopback.run(reads_and_leaves(loopback));
}

Task<void> large_answer(Loopback& loopback) {
  const auto all = co_await loopback.ask(get_last("/large"));
  EXPECT_GT(all.size(), 32u << 20);
}
TEST(Answer, ALargeOneArrivesWhole) {
  Loopback loopback;
  loopback.run(large_answer(loopback));
}

Task<void> large_answer_not_taken(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/large"));
  while (loopback.server.connections() > 0) {
    base::Event turn(co_await base::this_executor);
    std::ignore = co_await turn.wait_until(base::SteadyClock::now() + 5ms);
  }
}
TEST(Answer, APeerThatDoesNotTakeItIsCut) {
  Loopback loopback({.write_timeout = 50ms});
  loopback.run(large_answer_not_taken(loopback));
}

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "net_test_XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored))
      ::unlink(entry.path().c_str());
    ::rmdir(path.c_str());
  }
  std::string path;
};

Task<void> files(Loopback& loopback, std::string content) {
  auto& handler = loopback.handler;
  handler.file_size = content.size();
  const auto whole = co_await loopback.ask(get("/file") + get_last("/last"));
  EXPECT_THAT(whole, HasSubstr("Content-Length: " + std::to_string(content.size()) + "\r\n"));
  EXPECT_NE(whole.find("\r\n\r\n" + content + "HTTP/1.1 200"), std::string::npos);
  handler.file_size = content.size() + 1;
  const auto cut = co_await loopback.ask(get("/file") + get_last("/last"));
  EXPECT_TRUE(cut.ends_with("\r\n\r\n" + content));
  EXPECT_THAT(co_await loopback.ask("HEAD /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              EndsWith("\r\n\r\n"));
}
TEST(FileAnswer, SendsTheFileAndCutsWhenItIsShorterThanSaid) {
  Folder folder;
  std::string content;
  for (int n = 0; n < 200'000; ++n) content += std::to_string(n);
  std::FILE* file = std::fopen((folder.path + "/f").c_str(), "w+");
  ASSERT_TRUE(file);
  std::fwrite(content.data(), 1, content.size(), file);
  std::fflush(file);
  Loopback loopback;
  loopback.handler.file = ::fileno(file);
  loopback.run(files(loopback, content));
  std::fclose(file);
}

// Stops the server while `peers` are in the states that a test put them in.
Task<void> idle_and_stopping(Loopback& loopback, std::unique_ptr<Peer>& peer) {
  peer = co_await loopback.connect();
  co_await peer->send(get("/a"));
  co_await peer->until("GET /a");
}
TEST(ServerStop, ClosesIdleConnectionsAtOnce) {
  Loopback loopback;
  std::unique_ptr<Peer> peer;
  const auto begin = base::SteadyClock::now();
  loopback.run(idle_and_stopping(loopback, peer));
  EXPECT_LT(base::SteadyClock::now() - begin, 5s);
  EXPECT_EQ(loopback.server.connections(), 0u);
}

Task<void> read_all(std::unique_ptr<Peer> peer, std::string& all) {
  all = co_await peer->rest();
}

Task<void> stop_in_flight(Loopback& loopback, std::string& held, std::string& streamed,
                          base::TaskScope& reading) {
  auto peer = co_await loopback.connect();
  co_await peer->send(get("/hold"));
  auto follower = co_await loopback.connect();
  co_await follower->send(get("/quiet"));
  while (loopback.handler.calls < 2 || loopback.handler.streams < 1) co_await loopback.handler.changed.wait();
  reading.spawn(read_all(std::move(peer), held));
  reading.spawn(read_all(std::move(follower), streamed));
  base::TaskScope stopping(co_await base::this_executor);
  stopping.spawn(loopback.server.stop(soon()));
  while (loopback.handler.ends < 1) co_await loopback.handler.changed.wait();
  auto late = co_await connect_tcp("127.0.0.1", loopback.port, soon());
  EXPECT_FALSE(late);
  loopback.handler.release();
  co_await stopping.join();
  co_await reading.join();
}
TEST(ServerStop, LetsRequestsFinishAndTellsStreamsToEnd) {
  Loopback loopback;
  std::string held;
  std::string streamed;
  base::TaskScope reading(loopback.io.get_executor());
  loopback.run(stop_in_flight(loopback, held, streamed, reading));
  EXPECT_THAT(held, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(held, EndsWith("held"));
  // A last frame still went out, and the message is complete.
  EXPECT_THAT(streamed, EndsWith("\r\n\r\n3\r\nbye\r\n0\r\n\r\n"));
}

Task<void> stuck(Loopback& loopback, std::unique_ptr<Peer>& peer) {
  peer = co_await loopback.connect();
  co_await peer->send(get("/hold"));
  while (loopback.handler.calls < 1) co_await loopback.handler.changed.wait();
}
TEST(ServerStop, CancelsWhatIsLeftAtTheDeadline) {
  Loopback loopback;
  std::unique_ptr<Peer> peer;
  loopback.run(stuck(loopback, peer), 30ms);
  EXPECT_EQ(loopback.handler.cancelled, 1);
  EXPECT_EQ(loopback.server.connections(), 0u);
}

Task<void> over_unix(std::string path) {
  auto stream = co_await connect_unix(path, soon());
  Peer peer(base::value_or_throw(std::move(stream)));
  co_await peer.send(get_last("/a"));
  EXPECT_THAT(co_await peer.rest(), EndsWith("GET /a"));
}
TEST(Server, AcceptsFromASocketThatItIsGiven) {
  Folder folder;
  Loopback loopback;
  const std::string path = folder.path + "/s";
  base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd.get(), 8), 0);
  ASSERT_TRUE(loopback.server.adopt(std::move(fd)));
  loopback.run(over_unix(path));
}

}  // namespace
}  // namespace agentrouter::net
