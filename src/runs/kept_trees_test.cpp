#include "runs/kept_trees.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/node_requests.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class KeptTrees : public ::testing::Test {
 protected:
  bool keep(const std::string& name, const std::string& key) {
    const KeptTree tree{.name = name, .parts = {{"", key, "aa"}}, .kept_at = db_.clock.now()};
    return db_.write([&](store::Transaction& tx) { return keep_tree(tx, tree); });
  }
  std::optional<KeptTree> find(const std::string& name) {
    return db_.read([&](store::Reader& reader) { return kept_tree(reader, name); });
  }
  std::vector<KeptTree> doom() {
    return db_.write([&](store::Transaction& tx) { return doom_trees(tx, 10, context()); });
  }
  void upload_of(const std::string& tree) {
    const store::Upload upload{.id = "upload_1",
                               .sha256 = std::string(64, 'a'),
                               .tree = tree,
                               .created_at = db_.clock.now(),
                               .expires_at = db_.clock.now() + std::chrono::hours(24)};
    db_.write([&](store::Transaction& tx) { tx.put_upload(upload); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(KeptTrees, ATreeIsKeptOnceUnderItsName) {
  EXPECT_TRUE(keep("git-1-abc-main", "trees/1"));
  EXPECT_FALSE(keep("git-1-abc-main", "trees/2"));
  EXPECT_EQ(find("git-1-abc-main")->parts.at(0).key, "trees/1");
  EXPECT_FALSE(find("git-1-abc"));
  const auto any = db_.read([](store::Reader& reader) { return kept_tree_beginning(reader, "git-1-abc-"); });
  EXPECT_EQ(any->name, "git-1-abc-main");
}

TEST_F(KeptTrees, OneThatNothingStandsOnIsDoomedAfterAWhileAndGivenUntilItIsForgotten) {
  keep("upload-1-x", "trees/1");
  EXPECT_THAT(doom(), IsEmpty()) << "it has just come";
  db_.clock.advance(std::chrono::hours(2));
  ASSERT_THAT(doom(), SizeIs(1));
  EXPECT_FALSE(find("upload-1-x"));
  ASSERT_THAT(doom(), SizeIs(1)) << "its bytes may be there yet";
  EXPECT_TRUE(keep("upload-1-x", "trees/2")) << "the same bytes come again meanwhile";
  const auto doomed = doom();
  ASSERT_THAT(doomed, SizeIs(1));
  EXPECT_EQ(doomed[0].parts.at(0).key, "trees/1");
  db_.write([&](store::Transaction& tx) { forget_doomed(tx, doomed[0]); });
  EXPECT_THAT(doom(), IsEmpty());
  EXPECT_EQ(find("upload-1-x")->parts.at(0).key, "trees/2");
}

TEST_F(KeptTrees, OneThatIsInUseStays) {
  keep("upload-1-x", "trees/1");
  upload_of("upload-1-x");
  db_.clock.advance(std::chrono::hours(2));
  EXPECT_THAT(doom(), IsEmpty());
}

class NodeRequests : public KeptTrees {
 protected:
  NodeRequest ask() {
    const NodeRequest request{.id = "1", .node = "host_b", .asker = "host_a", .run = testing::run_id("r"),
                              .what = R"({"path":"a"})", .asked_at = db_.clock.now()};
    db_.write([&](store::Transaction& tx) { ask_node(tx, request); });
    return request;
  }
  std::vector<NodeRequest> of(std::string_view node) {
    return db_.read([&](store::Reader& reader) { return requests_for(reader, node); });
  }
};

TEST_F(NodeRequests, AreSeenByTheNodeThatIsAskedUntilItHasAnswered) {
  const auto asked = ask();
  EXPECT_THAT(of("host"), IsEmpty());
  ASSERT_THAT(of("host_b"), SizeIs(1));
  EXPECT_EQ(of("host_b")[0].what, asked.what);
  auto answer = asked;
  answer.answered = true;
  answer.head = R"({"size":1})";
  answer.key = answer_key(asked);
  EXPECT_TRUE(db_.write([&](store::Transaction& tx) { return answer_request(tx, answer); }));
  EXPECT_FALSE(db_.write([&](store::Transaction& tx) { return answer_request(tx, answer); })) << "once";
  EXPECT_THAT(of("host_b"), IsEmpty());
  const auto read = db_.read([&](store::Reader& reader) { return node_request(reader, asked); });
  EXPECT_TRUE(read->answered);
  EXPECT_EQ(read->head, answer.head);
  EXPECT_FALSE(read->error);
}

TEST_F(NodeRequests, ARefusalKeepsItsReason) {
  auto answer = ask();
  answer.answered = true;
  answer.error = base::Error{base::Code::not_found, "no file", "file_not_found"};
  db_.write([&](store::Transaction& tx) { return answer_request(tx, answer); });
  const auto read = db_.read([&](store::Reader& reader) { return node_request(reader, answer); });
  EXPECT_EQ(read->error->code, base::Code::not_found);
  EXPECT_EQ(read->error->reason, "file_not_found");
}

TEST_F(NodeRequests, OneThatWasGivenUpTakesNoAnswerAndIsFoundWhenItIsOld) {
  auto request = ask();
  const auto stale = [&] {
    return db_.read([&](store::Reader& reader) { return stale_requests(reader, db_.clock.now()); });
  };
  EXPECT_THAT(stale(), IsEmpty());
  db_.clock.advance(std::chrono::minutes(6));
  EXPECT_THAT(stale(), SizeIs(1));
  db_.write([&](store::Transaction& tx) { forget_request(tx, request); });
  request.answered = true;
  EXPECT_FALSE(db_.write([&](store::Transaction& tx) { return answer_request(tx, request); }));
}

}  // namespace

}  // namespace agentrouter::runs
