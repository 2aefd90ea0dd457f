#include "runs/workspace_source.h"

#include <gtest/gtest.h>

#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using namespace std::chrono_literals;

class WorkspaceSource : public ::testing::Test {
 protected:
  WorkspaceSource() {
    const store::Upload upload{.id = "upload_1",
                               .sha256 = "sum",
                               .size_bytes = 9,
                               .tree = "upload-1-sum",
                               .files = 2,
                               .created_at = db_.clock.now(),
                               .expires_at = db_.clock.now() + 1h};
    db_.write([&](store::Transaction& tx) { tx.put_upload(upload); });
  }
  base::Result<Created> create(const std::string& upload, std::string key = {}) {
    NewRun request;
    request.task = "t";
    request.input = R"({"task":"t"})";
    request.idempotency_key = std::move(key);
    request.workspace = {.kind = model::WorkspaceKind::upload, .upload_id = upload};
    return db_.write(
        [&](store::Transaction& tx) { return create_run(tx, request, {db_.clock, db_.entropy}); });
  }

  testing::StoreFixture db_;
};

TEST_F(WorkspaceSource, ARunOfAnUploadKeepsItsTreeAlsoWhenTheUploadIsForgotten) {
  const auto created = create("upload_1");
  ASSERT_TRUE(created);
  EXPECT_EQ(created->run.workspace.tree, "upload-1-sum");
  db_.write([&](store::Transaction& tx) { tx.purge_uploads(db_.clock.now() + 1h); });
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.trees_in_use(); }),
            std::vector<std::string>{"upload-1-sum"});
}

TEST_F(WorkspaceSource, AnUploadThatIsUnknownOrWhoseTimeIsOverMakesNoRun) {
  EXPECT_EQ(create("upload_2").error().reason, "upload_not_found");
  EXPECT_EQ(create("").error().code, base::Code::not_found);
  db_.clock.advance(1h);
  EXPECT_EQ(create("upload_1").error().reason, "upload_not_found");
}

TEST_F(WorkspaceSource, ARequestThatWasDoneIsAnsweredAlsoWhenItsUploadIsGone) {
  const auto first = create("upload_1", "key");
  db_.clock.advance(1h);
  const auto second = create("upload_1", "key");
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->replayed);
  EXPECT_EQ(second->run.id, first->run.id);
}

}  // namespace

}  // namespace agentrouter::runs
