// A store of blobs elsewhere that is away for a while: what waits, and that nothing is lost.
#include <atomic>

#include "runs/conversations.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {

namespace {

using ::testing::IsEmpty;

// Far away, and gone while `away` is true.
class FarBlobs final : public blobs::BlobStore {
 public:
  explicit FarBlobs(std::unique_ptr<blobs::BlobStore> inner) : inner_(std::move(inner)) {}

  std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override {
    return std::make_unique<Writer>(*this, inner_->create(key));
  }
  base::Result<blobs::Blob> open(std::string_view key, std::string_view sha256) override {
    if (asked_in_vain()) return base::fail(base::Code::unavailable, "the store is away", "storage_failed");
    return inner_->open(key, sha256);
  }
  bool exists(std::string_view key) override { return inner_->exists(key); }
  void remove(std::string_view key) override {
    refuse_while_away();
    inner_->remove(key);
  }
  void remove_empty(std::string_view folder) override { inner_->remove_empty(folder); }
  bool is_remote() const override { return true; }

  std::atomic<bool> away = false;
  std::atomic<int> in_vain = 0;

 private:
  bool asked_in_vain() {
    if (away) ++in_vain;
    return away;
  }
  void refuse_while_away() {
    if (asked_in_vain()) base::throw_failure(base::Code::unavailable, "the store is away", "storage_failed");
  }
  class Writer final : public blobs::BlobWriter {
   public:
    Writer(FarBlobs& far, std::unique_ptr<blobs::BlobWriter> inner) : far_(far), inner_(std::move(inner)) {}
    void write(std::string_view bytes) override { inner_->write(bytes); }
    blobs::BlobInfo written() const override { return inner_->written(); }
    blobs::BlobInfo commit() override {
      far_.refuse_while_away();
      return inner_->commit();
    }

   private:
    FarBlobs& far_;
    std::unique_ptr<blobs::BlobWriter> inner_;
  };

  std::unique_ptr<blobs::BlobStore> inner_;
};

class BlobOutageTest : public WorkerTest {
 protected:
  BlobOutageTest() {
    auto far = std::make_unique<FarBlobs>(std::move(blobs_));
    far_ = far.get();
    blobs_ = std::move(far);
  }
  void until_asked_in_vain(int times) {
    const int before = far_->in_vain;
    until([&] { return far_->in_vain >= before + times; });
  }

  FarBlobs* far_;
};

TEST_F(BlobOutageTest, ARunsEndWaitsForTheStoreAndLosesNothing) {
  start();
  far_->away = true;
  const auto id = submit(simple_script);
  until_asked_in_vain(2);
  EXPECT_EQ(run(id).status, model::RunStatus::running);
  EXPECT_EQ(open_attempts(), 1u);
  far_->away = false;
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(blob(id, "session_manifest").front(), '{');
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(BlobOutageTest, AServerThatIsStartedMeanwhileWaitsToo) {
  start();
  far_->away = true;
  const auto id = submit(simple_script);
  until_asked_in_vain(1);
  stop();
  start();
  until_asked_in_vain(1);
  far_->away = false;
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
}

TEST_F(BlobOutageTest, LogsAreNotCarriedToAFarStoreInPieces) {
  std::string says;
  for (int i = 0; i < 150; ++i)
    says += "event agent.progress {\"summary\":\"" + std::string(6000, 'p') + "\"}\n";
  start();
  const auto id = submit(base::to_text(json::object{{"says", says + "say ok\n"}}));
  until_retired(id);
  EXPECT_EQ(*base::gunzip(blob(id, "stdout_log"), 16u << 20), says + "say ok\n");
  EXPECT_THAT(left_in("blobs/staging"), IsEmpty());
}

TEST_F(BlobOutageTest, ACancelledRunEndsWhenTheStoreIsBack) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  far_->away = true;
  cancel(id);
  until_asked_in_vain(1);
  EXPECT_FALSE(model::is_terminal(run(id).status));
  far_->away = false;
  until_retired(id);
  EXPECT_EQ(run(id).status, model::RunStatus::cancelled);
}

TEST_F(BlobOutageTest, ATurnWaitsForItsStateAndMayBeCancelledMeanwhile) {
  start();
  const auto go_on = [&](const model::RunId& first) {
    const runs::ContinueRequest request{.run = first, .message = std::string(simple_script)};
    return base::value_or_throw(
               write([&](store::Transaction& tx) { return runs::continue_run(tx, request, now()); }))
        .run.id;
  };
  const auto first = submit(base::to_text(json::object{{"says", "say ok\n"}, {"keeps", "one "}}));
  until_retired(first);
  far_->away = true;
  const auto second = go_on(first);
  until_asked_in_vain(2);
  far_->away = false;
  until_retired(second);
  EXPECT_EQ(failure(second), "completed");
  far_->away = true;
  const auto third = go_on(first);
  until_asked_in_vain(1);
  cancel(third);
  until_asked_in_vain(1);
  far_->away = false;
  until_retired(third);
  EXPECT_EQ(run(third).status, model::RunStatus::cancelled);
}

}  // namespace

}  // namespace agentrouter::worker
