#include "keeper/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>

#include "base/file.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::keeper {
namespace {

class Listener final : public ControlHandler {
 public:
  void on_decision(const DecisionMessage& message) override {
    said.push_back("decision " + message.action_id + " " + message.action_digest + " " + message.event_id);
  }
  void on_policy(const PolicyMessage& message) override {
    said.push_back("policy " + std::to_string(message.document.size()));
  }
  void on_cancel() override { said.emplace_back("cancel"); }
  void on_allowance(const LeaseMessage::Allowance& allowance) override {
    said.push_back("allowance " + std::to_string(allowance.total.tokens) + " " + allowance.exhausted);
  }
  void on_done() override { said.emplace_back("done"); }
  base::Result<base::Fd> on_files(const FilesMessage& message) override {
    said.push_back("files " + message.request);
    if (message.request == "refused") return base::fail(base::Code::unavailable, "not now");
    auto pipe = base::value_or_throw(base::make_pipe());
    reader_out = std::move(pipe.second);
    return std::move(pipe.first);
  }
  base::Fd reader_out;
  std::vector<std::string> said;
};

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() { EXPECT_TRUE(server_.listen(dir_.get())); }
  ~ControlServerTest() override { testing::run_task(io_, server_.stop()); }

  LineSocket connect() { return base::value_or_throw(connect_to_keeper(io_.get_executor(), dir_.get())); }
  std::string read(LineSocket& socket) {
    auto line = testing::run_task(io_, socket.read_line());
    return line ? *line : "closed";
  }
  void say(LineSocket& socket, const ServerMessage& message) {
    EXPECT_TRUE(testing::run_task(io_, socket.write(to_line(message))));
  }
  void say_raw(LineSocket& socket, std::string bytes) {
    (void)testing::run_task(io_, socket.write(std::move(bytes)));
  }
  // Everything said so far has been heard when a later connection is greeted and closed.
  void settle() {
    for (int i = 0; i < 50; ++i) io_.poll(), io_.restart();
  }

  asio::io_context io_{1};
  testing::TempDir folder_;
  base::Fd dir_ = base::value_or_throw(base::open_directory(folder_.path()));
  Listener listener_;
  ControlServer server_{
      io_.get_executor(), {.attempt_id = "attempt_1", .run_id = "run_1", .token = 3}, listener_};
};

constexpr const char* hello =
    R"({"type":"hello","protocol":2,"attemptId":"attempt_1","runId":"run_1","token":3,"length":0,"takes":["policy"],"since":1})";
// As the version before wrote it.
constexpr const char* older_hello =
    R"({"type":"hello","protocol":1,"attemptId":"attempt_1","runId":"run_1","token":3,"length":0,"takes":["policy"]})";

TEST_F(ControlServerTest, GreetsEachConnectionAndTellsTheLength) {
  auto first = connect();
  EXPECT_EQ(read(first), hello);
  server_.set_length(10);
  EXPECT_EQ(read(first), R"({"type":"length","length":10})");
  auto second = connect();
  EXPECT_EQ(
      read(second),
      R"({"type":"hello","protocol":2,"attemptId":"attempt_1","runId":"run_1","token":3,"length":10,"takes":["policy"],"since":1})");
}

LeaseMessage gives(std::int64_t tokens, std::string exhausted = "") {
  return {3, LeaseMessage::Allowance{{tokens, 7}, std::move(exhausted)}};
}
constexpr const char* wish =
    R"({"type":"allowance","have":{"tokens":100,"nanoUsd":7},"needed":{"tokens":20,"nanoUsd":0}})";

TEST_F(ControlServerTest, AWishForMoreIsToldToThoseThatGiveUntilThereIsMore) {
  auto old = connect();
  read(old);
  say(old, LeaseMessage{3});
  auto giver = connect();
  read(giver);
  say(giver, gives(100));
  settle();
  server_.ask_allowance({{100, 7}, {20, 0}});
  server_.ask_allowance({{100, 7}, {20, 0}});  // the same again says nothing
  EXPECT_EQ(read(giver), wish);
  auto later = connect();
  read(later);
  say(later, gives(100));
  EXPECT_EQ(read(later), wish);
  say(later, gives(150));
  settle();
  server_.set_length(10);
  EXPECT_EQ(read(giver), R"({"type":"length","length":10})");
  EXPECT_EQ(read(old), R"({"type":"length","length":10})");
  auto last = connect();
  read(last);
  say(last, gives(150, "the day's"));
  settle();
  server_.set_length(11);
  EXPECT_EQ(read(last), R"({"type":"length","length":11})");
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("allowance 100 ", "allowance 100 ", "allowance 150 ",
                                                     "allowance 150 the day's"));
}

TEST_F(ControlServerTest, ObeysTheHolderOfTheNewestLease) {
  auto socket = connect();
  read(socket);
  say(socket, LeaseMessage{3});
  say(socket, DecisionMessage{"action_1", "sha256:x", DecisionKind::approved, "evt_1"});
  say(socket, CancelMessage{});
  say(socket, DoneMessage{});
  settle();
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("decision action_1 sha256:x evt_1", "cancel", "done"));
}

TEST_F(ControlServerTest, APolicyIsAsLongAsItsFiles) {
  auto socket = connect();
  read(socket);
  say(socket, LeaseMessage{3});
  const std::string document = R"({"name":")" + std::string(1u << 20, 'x') + "\"}";
  say(socket, PolicyMessage{document});
  for (int i = 0; i < 100 && listener_.said.empty(); ++i) settle();
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("policy " + std::to_string(document.size())));
}

TEST_F(ControlServerTest, AKeeperThatTakesNoPolicyDoesNotSaySo) {
  const auto older = parse_keeper_message(
      R"({"type":"hello","protocol":1,"attemptId":"a","runId":"r","token":3,"length":0})");
  EXPECT_FALSE(std::get<Hello>(older.value()).takes_policy);
  EXPECT_TRUE(std::get<Hello>(parse_keeper_message(hello).value()).takes_policy);
}

TEST_F(ControlServerTest, ARequestForFilesIsAnsweredByWhatItsReaderWrites) {
  auto socket = connect();
  read(socket);
  say(socket, LeaseMessage{3});
  say(socket, FilesMessage{"list"});
  EXPECT_EQ(read(socket), R"({"type":"files"})");
  ASSERT_TRUE(base::write_all(listener_.reader_out.get(), std::string_view("\0\n raw", 6)));
  EXPECT_EQ(testing::run_task(io_, socket.read_some()), std::string("\0\n raw", 6));
  server_.set_length(10);  // is not told between
  listener_.reader_out.reset();
  EXPECT_EQ(testing::run_task(io_, socket.read_some()), "");
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("files list"));
}

TEST_F(ControlServerTest, ARequestForFilesThatIsRefusedIsToldWhy) {
  auto socket = connect();
  read(socket);
  say(socket, LeaseMessage{3});
  say(socket, FilesMessage{"refused"});
  EXPECT_EQ(read(socket), R"({"type":"files","refused":"not now"})");
  EXPECT_EQ(read(socket), "closed");
}

TEST_F(ControlServerTest, FilesAreNotForAConnectionWithoutTheLeaseAndNotTwice) {
  auto stranger = connect();
  read(stranger);
  say(stranger, FilesMessage{"list"});
  EXPECT_EQ(read(stranger), "closed");
  auto greedy = connect();
  read(greedy);
  say(greedy, LeaseMessage{3});
  say(greedy, FilesMessage{"one"});
  say(greedy, FilesMessage{"two"});
  EXPECT_EQ(read(greedy), R"({"type":"files"})");
  EXPECT_EQ(read(greedy), "closed");
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("files one"));
}

TEST_F(ControlServerTest, AServerThatLeavesEndsItsRequestForFiles) {
  {
    auto socket = connect();
    read(socket);
    say(socket, LeaseMessage{3});
    say(socket, FilesMessage{"list"});
    EXPECT_EQ(read(socket), R"({"type":"files"})");
    socket.close();
  }
  settle();
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_FALSE(base::write_all(listener_.reader_out.get(), "nobody reads this"));
}

TEST_F(ControlServerTest, OlderLeaseIsAnsweredByClosing) {
  auto socket = connect();
  read(socket);
  say(socket, LeaseMessage{2});
  EXPECT_EQ(read(socket), "closed");
}

TEST_F(ControlServerTest, ConnectionWhoseLeaseWasTakenOverIsNotObeyed) {
  auto old = connect();
  read(old);
  say(old, LeaseMessage{3});
  auto fresh = connect();
  read(fresh);
  say(fresh, LeaseMessage{4});
  settle();
  say_raw(old, to_line(CancelMessage{}));
  EXPECT_EQ(read(old), "closed");
  EXPECT_TRUE(listener_.said.empty());
}

TEST_F(ControlServerTest, ANewerLeaseClosesTheConnectionsOfOlderOnesAtOnce) {
  auto stranger = connect();
  read(stranger);
  auto old = connect();
  read(old);
  say(old, LeaseMessage{3});
  auto fresh = connect();
  read(fresh);
  settle();
  say(fresh, LeaseMessage{4});
  EXPECT_EQ(read(old), "closed");
  server_.set_length(10);
  EXPECT_EQ(read(fresh), R"({"type":"length","length":10})");
  EXPECT_EQ(read(stranger), R"({"type":"length","length":10})");
}

TEST_F(ControlServerTest, ANewerLeaseLetsFilesThatAreBeingSentArrive) {
  auto reader = connect();
  read(reader);
  say(reader, LeaseMessage{3});
  say(reader, FilesMessage{"list"});
  EXPECT_EQ(read(reader), R"({"type":"files"})");
  auto fresh = connect();
  read(fresh);
  say(fresh, LeaseMessage{4});
  settle();
  ASSERT_TRUE(base::write_all(listener_.reader_out.get(), "bytes"));
  EXPECT_EQ(testing::run_task(io_, reader.read_some()), "bytes");
  listener_.reader_out.reset();
  EXPECT_EQ(testing::run_task(io_, reader.read_some()), "");
}

LeaseMessage speaks(int protocol) {
  return {3, {}, protocol};
}

TEST_F(ControlServerTest, UnderTheNewestProtocolEachCommandCarriesTheTokenOfItsLease) {
  auto socket = connect();
  read(socket);
  say(socket, speaks(2));
  say(socket, DecisionMessage{"action_1", "sha256:x", DecisionKind::approved, "evt_1", {}, {}, 3});
  say(socket, DoneMessage{3});
  settle();
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("decision action_1 sha256:x evt_1", "done"));
  for (const ServerMessage& stale : {ServerMessage(CancelMessage{2}), ServerMessage(CancelMessage{}),
                                     ServerMessage(DoneMessage{4}), ServerMessage(PolicyMessage{"{}", 2})}) {
    auto other = connect();
    read(other);
    say(other, speaks(2));
    say(other, stale);
    EXPECT_EQ(read(other), "closed") << to_line(stale);
  }
  EXPECT_EQ(listener_.said.size(), 2u);
}

TEST_F(ControlServerTest, ACancelIsAcknowledgedToWhoSpeaksTheNewestProtocol) {
  auto older = connect();
  read(older);
  say(older, LeaseMessage{3});
  say(older, CancelMessage{});
  auto newer = connect();
  read(newer);
  say(newer, speaks(2));
  say(newer, CancelMessage{3});
  EXPECT_EQ(read(newer), R"({"type":"cancelling"})");
  server_.set_length(10);
  EXPECT_EQ(read(newer), R"({"type":"length","length":10})");
  EXPECT_EQ(read(older), R"({"type":"length","length":10})");
  EXPECT_THAT(listener_.said, ::testing::ElementsAre("cancel", "cancel"));
}

TEST_F(ControlServerTest, AProtocolThatItDoesNotKnowIsAnsweredByClosing) {
  auto socket = connect();
  read(socket);
  say(socket, speaks(3));
  EXPECT_EQ(read(socket), "closed");
}

TEST(CommonProtocol, IsTheNewestThatBothSpeak) {
  const auto of = [](int protocol, int since) {
    return common_protocol({.protocol = protocol, .attempt_id = {}, .run_id = {}, .since = since});
  };
  EXPECT_EQ(of(1, 1), 1);  // a keeper of the version before
  EXPECT_EQ(of(2, 1), 2);
  EXPECT_EQ(of(3, 2), 2);  // of the next one
  EXPECT_FALSE(of(3, 3));
  EXPECT_FALSE(of(0, 0));
  const auto older = std::get<Hello>(parse_keeper_message(older_hello).value());
  EXPECT_EQ(older.since, 1);
  EXPECT_EQ(common_protocol(older), 1);
}

TEST_F(ControlServerTest, ConnectionWithoutALeaseIsNotObeyed) {
  auto socket = connect();
  read(socket);
  say(socket, CancelMessage{});
  EXPECT_EQ(read(socket), "closed");
  EXPECT_TRUE(listener_.said.empty());
}

TEST_F(ControlServerTest, GarbageAndTooLongALineEndTheConnectionOnly) {
  for (const std::string& bad : {std::string("{}\n"), std::string("nonsense\n"), std::string(80'000, 'x')}) {
    auto socket = connect();
    EXPECT_EQ(read(socket), hello);
    say_raw(socket, bad);
    EXPECT_EQ(read(socket), "closed");
  }
  auto socket = connect();
  EXPECT_EQ(read(socket), hello);
}

TEST_F(ControlServerTest, ByeIsHeardAlsoByALaterConnection) {
  auto first = connect();
  read(first);
  server_.set_length(5);
  server_.say_bye();
  EXPECT_EQ(read(first), R"({"type":"length","length":5})");
  EXPECT_EQ(read(first), R"({"type":"bye"})");
  auto later = connect();
  read(later);
  EXPECT_EQ(read(later), R"({"type":"bye"})");
}

TEST_F(ControlServerTest, SocketIsForItsOwnerOnlyAndReplacesAnOldOne) {
  struct stat info = {};
  ASSERT_EQ(::stat((folder_ / "keeper.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ControlServer again(io_.get_executor(), {.attempt_id = "attempt_2", .run_id = "run_2", .token = 1},
                      listener_);
  ASSERT_TRUE(again.listen(dir_.get()));
  auto socket = connect();
  EXPECT_NE(read(socket).find("attempt_2"), std::string::npos);
  testing::run_task(io_, again.stop());
}

TEST(ControlMessages, AreReadBackAsTheyWereWritten) {
  for (const auto kind : {DecisionKind::approved, DecisionKind::denied, DecisionKind::expired}) {
    const std::string line = to_line(ServerMessage(DecisionMessage{"a", "d", kind, ""}));
    EXPECT_EQ(to_line(base::value_or_throw(parse_server_message(line))), line);
  }
  for (const KeeperMessage& message :
       {KeeperMessage(Hello{1, "a", "r", 2, 3}), KeeperMessage(Length{4}), KeeperMessage(Bye{}),
        KeeperMessage(Cancelling{})}) {
    EXPECT_EQ(to_line(base::value_or_throw(parse_keeper_message(to_line(message)))), to_line(message));
  }
  for (const char* bad : {"", "[]", "{}", R"({"type":"length"})", R"({"type":"length","length":-1})",
                          R"({"type":"hello","length":1})"}) {
    EXPECT_FALSE(parse_keeper_message(bad)) << bad;
  }
  for (const char* bad : {"{}", R"({"type":"lease"})", R"({"type":"decision","actionId":"a"})",
                          R"({"type":"decision","actionId":"a","actionDigest":"d","decision":"maybe"})"}) {
    EXPECT_FALSE(parse_server_message(bad)) << bad;
  }
}

}  // namespace
}  // namespace agentrouter::keeper
