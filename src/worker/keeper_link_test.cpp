// The worker's end of keeper.sock, against keepers of this version and of others, as they were recorded.

#include "worker/keeper_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/task_scope.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

// What a keeper of version 1 said, byte for byte.
constexpr const char* hello_of_1 =
    R"({"type":"hello","protocol":1,"attemptId":"attempt_1","runId":"run_1","token":4,"length":120,"takes":["policy"]})";
constexpr const char* hello_of_2 =
    R"({"type":"hello","protocol":2,"attemptId":"attempt_1","runId":"run_1","token":4,"length":120,"takes":["policy"],"since":1})";

class KeeperLinkTest : public ::testing::Test {
 protected:
  KeeperLinkTest() {
    const asio::local::stream_protocol::endpoint endpoint(
        base::path_through_fd(dir_.get(), keeper::control_socket_name));
    acceptor_.open(endpoint.protocol());
    acceptor_.bind(endpoint);
    acceptor_.listen();
  }
  // The link to a keeper that greets like this.
  base::Result<std::unique_ptr<KeeperLink>> open(std::string hello) {
    greeting_ = std::move(hello) + "\n";
    return testing::run_task(io_, open_greeted());
  }
  base::Task<base::Result<std::unique_ptr<KeeperLink>>> open_greeted() {
    base::TaskScope scope(io_.get_executor());
    scope.spawn(greet());
    auto link = co_await KeeperLink::open(connect_by_socket, dir_.get(), base::after(5s), changed_);
    co_await scope.join();
    co_return link;
  }
  base::Task<void> greet() {
    keeper::LineSocket::Socket socket(io_.get_executor());
    co_await acceptor_.async_accept(socket, base::use_task);
    keeper_.emplace(std::move(socket));
    (void)co_await keeper_->write(greeting_);
  }
  std::string sent(KeeperLink& link, keeper::ServerMessage message) {
    EXPECT_TRUE(testing::run_task(io_, link.send(std::move(message))));
    return testing::run_task(io_, keeper_->read_line()).value_or("closed");
  }

  asio::io_context io_{1};
  testing::TempDir folder_;
  base::Fd dir_ = base::value_or_throw(base::open_directory(folder_.path()));
  asio::basic_socket_acceptor<asio::local::stream_protocol, base::Executor> acceptor_{io_.get_executor()};
  base::Event changed_{io_.get_executor()};
  std::string greeting_;
  std::optional<keeper::LineSocket> keeper_;
};

TEST_F(KeeperLinkTest, AKeeperOfTheVersionBeforeIsDrivenInItsOwnWords) {
  const auto link = open(hello_of_1);
  ASSERT_TRUE(link);
  EXPECT_EQ((*link)->journal_length(), 120u);
  EXPECT_EQ((*link)->newest_token(), 4);
  EXPECT_TRUE((*link)->takes_policy());
  EXPECT_FALSE((*link)->acknowledges_cancel());
  EXPECT_EQ(sent(**link, keeper::LeaseMessage{5}), R"({"type":"lease","token":5})");
  EXPECT_EQ(sent(**link, keeper::DecisionMessage{"action_1", "sha256:d", keeper::DecisionKind::approved, "evt_1"}),
            R"({"type":"decision","actionId":"action_1","actionDigest":"sha256:d","decision":"approved","eventId":"evt_1"})");
  EXPECT_EQ(sent(**link, keeper::CancelMessage{}), R"({"type":"cancel"})");
  EXPECT_EQ(sent(**link, keeper::DoneMessage{}), R"({"type":"done"})");
}

TEST_F(KeeperLinkTest, AKeeperOfThisVersionHearsTheTokenWithEachCommand) {
  const auto link = open(hello_of_2);
  ASSERT_TRUE(link);
  EXPECT_TRUE((*link)->acknowledges_cancel());
  EXPECT_EQ(sent(**link, keeper::LeaseMessage{5}), R"({"type":"lease","token":5,"protocol":2})");
  EXPECT_EQ(sent(**link, keeper::CancelMessage{}), R"({"type":"cancel","token":5})");
  EXPECT_EQ(sent(**link, keeper::DoneMessage{}), R"({"type":"done","token":5})");
}

TEST_F(KeeperLinkTest, AKeeperOfTheNextVersionIsDrivenInOursIfItStillObeysIt) {
  std::string hello = hello_of_2;
  hello.replace(hello.find("2,"), 1, "3");
  const auto link = open(hello);
  ASSERT_TRUE(link);
  EXPECT_EQ(sent(**link, keeper::LeaseMessage{5}), R"({"type":"lease","token":5,"protocol":2})");
}

TEST_F(KeeperLinkTest, AKeeperWithoutACommonVersionIsLeftAlone) {
  std::string hello = hello_of_2;
  hello.replace(hello.find("2,"), 1, "3");
  hello.replace(hello.find("\"since\":1"), 9, "\"since\":3");
  const auto link = open(hello);
  EXPECT_EQ(link.error().code, base::Code::unsupported);
  EXPECT_THAT(link.error().message, ::testing::HasSubstr("it speaks protocol 3 to 3, this server 1 to 2"));
}

}  // namespace
}  // namespace agentrouter::worker
