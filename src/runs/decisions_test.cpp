#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/approvals.h"
#include "runs/cancel.h"
#include "runs/close.h"
#include "runs/create.h"
#include "runs/cursor.h"
#include "runs/decide.h"
#include "runs/journal_commit.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

// One run that asks one question, with a deadline when `timeout` is set.
class Deadline : public ::testing::Test {
 protected:
  void ask(std::optional<std::chrono::seconds> timeout) {
    NewRun request;
    request.input = "{}";
    request.approval_timeout = timeout;
    id_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
    fence_ =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
    JournalBatch batch;
    batch.to_offset = 1;
    batch.questions = {{action_, "sha256:digest", "sha256:args", "approval_1", "evt_asked"}};
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); }));
  }
  std::string expire() {
    const auto expired =
        db_.write([&](store::Transaction& tx) { return expire_approval(tx, fence_, action_, context()); });
    return expired ? "expired" : expired.error().reason;
  }
  base::Result<Decided> decide(Decision decision, std::string key = "", std::string reason = "") {
    return db_.write([&](store::Transaction& tx) {
      return decide_action(tx, {id_, action_, "sha256:digest", decision, reason, key}, context());
    });
  }
  std::string refusal(Decision decision) {
    const auto decided = decide(decision);
    return decided ? "accepted" : decided.error().reason;
  }
  void end() {
    db_.write([&](store::Transaction& tx) {
      base::value_or_throw(begin_close(tx, fence_, {}, context()));
      base::value_or_throw(finish_close(tx, fence_, {}, context()));
    });
  }
  std::vector<store::Approval> due() {
    return db_.read([&](store::Reader& reader) { return reader.due_approvals(db_.clock.now(), 10); });
  }
  std::vector<model::Event> events() {
    return db_.read([&](store::Reader& reader) { return reader.events(id_, 0, 100); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  const model::ActionId action_{"action_1"};
  testing::StoreFixture db_;
  model::RunId id_;
  Fence fence_;
};

TEST_F(Deadline, AQuestionIsDueWhenItsTimeHasPassedAlsoAfterARestart) {
  ask(30s);
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.next_approval_expiry(); }),
            db_.clock.now() + 30s);
  db_.clock.advance(30s - 1ms);
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(expire(), "approval_not_due");
  db_.clock.advance(1ms);
  db_.reopen();
  ASSERT_EQ(due().size(), 1u);
  EXPECT_EQ(due()[0].action_id, action_);
  EXPECT_EQ(expire(), "expired");
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(expire(), "approval_not_pending");
}

TEST_F(Deadline, ExpiryIsAnEventAndIsDeliveredToTheKeeper) {
  ask(30s);
  db_.clock.advance(31s);
  ASSERT_EQ(expire(), "expired");
  const auto last = events().back();
  EXPECT_EQ(last.type, "approval.expired");
  for (const auto* part : {R"("actionId":"action_1")", R"("actionDigest":"sha256:digest")",
                           R"("requestId":"approval_1")", R"("reason":"approval_timeout")"}) {
    EXPECT_THAT(last.payload, HasSubstr(part));
  }
  const auto undelivered = db_.read([&](store::Reader& reader) { return reader.undelivered_approvals(id_); });
  ASSERT_EQ(undelivered.size(), 1u);
  EXPECT_EQ(undelivered[0].state, store::ApprovalState::expired);
  EXPECT_EQ(undelivered[0].decided_seq, last.sequence);
}

TEST_F(Deadline, AnExpiredQuestionIsNotPendingBeforeAndAfterTheEnd) {
  ask(30s);
  db_.clock.advance(30s);
  ASSERT_EQ(expire(), "expired");
  EXPECT_EQ(refusal(Decision::approved), "approval_not_pending");
  end();
  EXPECT_EQ(refusal(Decision::approved), "approval_not_pending");
  EXPECT_EQ(refusal(Decision::denied), "approval_not_pending");
}

TEST_F(Deadline, WithoutATimeoutAQuestionIsNeverDue) {
  ask(std::nullopt);
  db_.clock.advance(24h * 365);
  EXPECT_TRUE(due().empty());
  EXPECT_FALSE(db_.read([](store::Reader& reader) { return reader.next_approval_expiry(); }));
  EXPECT_EQ(expire(), "approval_not_due");
}

TEST_F(Deadline, ADecidedQuestionHasNoDeadlineAnyMore) {
  ask(30s);
  ASSERT_TRUE(decide(Decision::approved));
  db_.clock.advance(31s);
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(expire(), "approval_not_pending");
}

TEST_F(Deadline, AQuestionThatTheEndMadeVoidIsOfARunThatIsNotActive) {
  ask(30s);
  end();
  EXPECT_EQ(refusal(Decision::approved), "run_not_active");
  EXPECT_TRUE(due().empty());
}

TEST_F(Deadline, AQuestionWhoseKeeperWasLostIsNotPending) {
  ask(30s);
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(start_next_attempt(tx, fence_, {"worker_1"}, "keeper_lost", context()));
  });
  EXPECT_EQ(refusal(Decision::denied), "approval_not_pending");
}

TEST_F(Deadline, ADecisionWithAKeyIsReplayedAlsoAfterTheEnd) {
  ask(std::nullopt);
  const auto first = decide(Decision::approved, "key", "fine");
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->replayed);
  end();
  const auto again = decide(Decision::approved, "key", "fine");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->to_wire(), first->to_wire());
  EXPECT_EQ(decide(Decision::approved, "key", "other").error().reason, "idempotency_conflict");
  // Without the key, and with one of its own, it is the repeat of a decision.
  for (const auto* key : {"", "another"}) {
    const auto repeat = decide(Decision::approved, key, "other");
    ASSERT_TRUE(repeat);
    EXPECT_FALSE(repeat->replayed);
    EXPECT_EQ(repeat->sequence, first->sequence);
  }
  // approve and deny are two targets.
  EXPECT_EQ(decide(Decision::denied, "key", "fine").error().reason, "approval_already_decided");
}

TEST_F(Deadline, ARefusedDecisionLeavesItsKeyFree) {
  ask(std::nullopt);
  const auto refused = db_.write([&](store::Transaction& tx) {
    return decide_action(tx, {id_, action_, "sha256:wrong", Decision::approved, "", "key"}, context());
  });
  EXPECT_EQ(refused.error().reason, "action_digest_mismatch");
  EXPECT_THAT(refused.error().details, HasSubstr(R"("expected":"sha256:digest","received":"sha256:wrong")"));
  const auto right = decide(Decision::approved, "key");
  ASSERT_TRUE(right);
  EXPECT_FALSE(right->replayed);
}

TEST(Cursor, ComesBackAsItWas) {
  for (const store::RunCursor cursor : {store::RunCursor{0, 1}, store::RunCursor{1'780'000'000'123, 99},
                                        store::RunCursor{-5, 0x7fffffffffff}}) {
    const auto back = decode_cursor(encode_cursor(cursor));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, cursor);
  }
}

TEST(Cursor, ABrokenOneIsRefused) {
  const auto good = encode_cursor({1'780'000'000'123, 99});
  auto changed = good;
  changed[10] = changed[10] == '0' ? '1' : '0';
  auto upper = good;
  for (auto& c : upper) c = static_cast<char>(std::toupper(c));
  for (const auto& text : {std::string(), std::string("abc"), good + "0", good.substr(1), changed,
                           std::string(40, 'g'), std::string(40, '\0'), std::string("-") + good.substr(1)}) {
    const auto decoded = decode_cursor(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, base::Code::invalid);
    EXPECT_EQ(decoded.error().reason, "validation_error");
    EXPECT_THAT(decoded.error().details, HasSubstr(R"("code":"invalid_cursor","path":["cursor"])"));
  }
  EXPECT_EQ(decode_cursor(upper).has_value(), upper == good);
}

}  // namespace

}  // namespace agentrouter::runs
