#include "runs/delete.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/audit.h"
#include "runs/close.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "runs/fork.h"
#include "runs/record.h"
#include "runs/turn_state.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

// Turns are asked for, worked on and deleted with one verb each.
class Deletions : public ::testing::Test {
 protected:
  base::Result<Created> create(NewRun request = {}) {
    request.task = "build a house";
    request.input = R"({"task":"build a house"})";
    return db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); });
  }
  // The worker's whole part, for the run that was asked for first.
  model::RunId end(std::string_view checkpoint = "kept", bool tidied = true) {
    return db_.write([&](store::Transaction& tx) {
      const auto claim = claim_run(tx, {"worker_1"}, context());
      AGENTROUTER_CHECK(claim.has_value());
      Ending ending;
      ending.status = model::RunStatus::completed;
      ending.tail = {testing::make_draft(
          "sandbox.destroyed", checkpoint == "failed" ? R"({"checkpointError":"too many files"})" : "{}")};
      if (checkpoint == "kept") {
        ending.checkpoint = store::Checkpoint{};
        ending.checkpoint->key = "runs/" + claim->run.id.str() + "/checkpoint";
      }
      base::value_or_throw(begin_close(tx, claim->fence(), ending, context()));
      base::value_or_throw(finish_close(tx, claim->fence(), {}, context()));
      if (tidied) base::value_or_throw(retire_attempt(tx, claim->fence()));
      return claim->run.id;
    });
  }
  model::RunId ended(NewRun request = {}) {
    base::value_or_throw(create(std::move(request)));
    return end();
  }
  base::Result<Continued> say(const model::RunId& run) {
    return db_.write([&](store::Transaction& tx) { return continue_run(tx, {run, "more"}, context()); });
  }
  model::RunId next_turn(const model::RunId& run, std::string_view checkpoint = "kept") {
    base::value_or_throw(say(run));
    return end(checkpoint);
  }
  base::Result<Forked> fork(const model::RunId& run, std::optional<int> turn = {}) {
    return db_.write([&](store::Transaction& tx) { return fork_run(tx, {run, "else", turn}, context()); });
  }
  std::string remove(const model::RunId& run) {
    const auto gone = db_.write([&](store::Transaction& tx) {
      return delete_run(tx, {.run = run, .by = "key_1"}, context());
    });
    return gone ? "deleted" : gone.error().reason;
  }
  std::optional<store::Conversation> conversation(const model::RunId& id) {
    return db_.read([&](store::Reader& reader) { return reader.conversation(id); });
  }
  std::vector<int> states(const model::RunId& id, bool doomed = false) {
    std::vector<int> turns;
    db_.read([&](store::Reader& reader) {
      for (const auto& checkpoint : reader.checkpoints(id)) {
        if (checkpoint.doomed == doomed) turns.push_back(checkpoint.turn_number);
      }
    });
    return turns;
  }
  void reclaim_all(const model::RunId& id) {
    db_.write([&](store::Transaction& tx) {
      base::value_or_throw(begin_reclaim(tx, id, context()));
      base::value_or_throw(reclaim(tx, id, context()));
    });
  }
  Overdue overdue(const RetentionRules& rules, int limit = 100) {
    return db_.read([&](store::Reader& reader) { return overdue_runs(reader, rules, db_.clock.now(), limit); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(Deletions, OnlyARunThatHasEndedAndIsTidiedIsDeleted) {
  EXPECT_EQ(remove(testing::run_id("nobody")), "run_not_found");
  const auto run = create()->run.id;
  EXPECT_EQ(remove(run), "run_not_ended");
  end("kept", false);
  const auto refused = db_.write([&](store::Transaction& tx) { return delete_run(tx, {.run = run}, context()); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "run_not_ended");
  EXPECT_EQ(refused.error().details, R"({"retryAfterSeconds":1})");
  const auto attempt = db_.read([&](store::Reader& reader) { return reader.latest_attempt(run); });
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(retire_attempt(tx, {attempt->id, attempt->token}));
  });
  EXPECT_EQ(remove(run), "deleted");
  EXPECT_EQ(remove(run), "run_not_found");
}

TEST_F(Deletions, AreInTheAuditChainBehindEntriesThatStay) {
  const auto run = ended();
  remove(run);
  const auto page = db_.read([](store::Reader& reader) { return audit_page(reader, 0, 100); });
  const auto parsed = base::value_or_throw(base::parse_json(page)).as_object();
  model::AuditVerifier verifier;
  std::vector<std::string> types;
  for (const auto& entry : parsed.at("items").as_array()) {
    EXPECT_TRUE(verifier.take(base::to_canonical(entry)));
    types.emplace_back(entry.at("type").as_string());
    EXPECT_EQ(entry.at("runId").as_string(), run.str());
  }
  EXPECT_TRUE(verifier.finish());
  EXPECT_EQ(types.front(), "run.created");
  EXPECT_EQ(types.back(), "run.deleted");
  const auto& last = parsed.at("items").as_array().back().as_object();
  EXPECT_EQ(last.at("who").as_string(), "key_1");
  EXPECT_EQ(last.at("actor").as_string(), "human");
}

TEST_F(Deletions, WebhooksAreToldWithoutWhatTheRunWasAbout) {
  db_.write([](store::Transaction& tx) {
    store::Webhook webhook;
    webhook.id = "wh_1";
    webhook.events = {"run.deleted"};
    tx.put_webhook(webhook);
  });
  const auto run = ended();
  remove(run);
  const auto messages = db_.read([](store::Reader& reader) { return reader.deliveries({.webhook = "wh_1"}); });
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_THAT(messages[0].body, HasSubstr(run.str()));
  EXPECT_THAT(messages[0].body, HasSubstr(R"("reason":"request")"));
  EXPECT_THAT(messages[0].body, ::testing::Not(HasSubstr("house")));
}

TEST_F(Deletions, TheOnlyRunTakesItsConversationAlong) {
  const auto run = ended();
  remove(run);
  ASSERT_TRUE(conversation(run)) << "its state has to be thrown away yet";
  EXPECT_EQ(conversation(run)->state, store::ConversationState::closed);
  EXPECT_LE(conversation(run)->expires_at, db_.clock.now());
  reclaim_all(run);
  EXPECT_FALSE(conversation(run));
}

TEST_F(Deletions, OfAConversationThatIsOverLeaveNothingOfIt) {
  const auto run = ended();
  db_.clock.advance(1h);
  reclaim_all(run);
  EXPECT_TRUE(conversation(run)->reclaimed);
  remove(run);
  EXPECT_FALSE(conversation(run));
}

TEST_F(Deletions, AnEarlierTurnGoesAndTheConversationGoesOn) {
  const auto first = ended();
  const auto second = next_turn(first);
  EXPECT_EQ(remove(first), "deleted");
  EXPECT_THAT(states(first), ElementsAre(2));
  EXPECT_THAT(states(first, true), ElementsAre(1));
  EXPECT_EQ(say(first).error().reason, "run_not_found");
  const auto third = base::value_or_throw(say(second)).run;
  EXPECT_EQ(third.turn_number, 3);
  EXPECT_EQ(third.conversation_id, first);
  const auto listed = db_.read([&](store::Reader& reader) { return turns(reader, second); });
  ASSERT_THAT(listed->items, SizeIs(2));
  EXPECT_EQ(listed->items[0].turn_number, 2);
  EXPECT_TRUE(db_.read([&](store::Reader& reader) { return run_record(reader, second, db_.clock.now()); }));
}

TEST_F(Deletions, TheNewestTurnGoesItsNumberIsNotGivenAgainAndItsStateIsGoneOnFrom) {
  const auto first = ended();
  const auto second = next_turn(first);
  remove(second);
  EXPECT_THAT(states(first), ElementsAre(1, 2));
  const auto third = base::value_or_throw(say(first)).run;
  EXPECT_EQ(third.turn_number, 3);
  end();
  const auto record = db_.read([&](store::Reader& reader) { return run_record(reader, first, db_.clock.now()); });
  EXPECT_EQ(record->turns, 3);
}

TEST_F(Deletions, AStateThatWasLostIsNotForgottenWithItsTurn) {
  const auto first = ended();
  const auto second = next_turn(first, "failed");
  remove(second);
  const auto state = [&](int turn) {
    return db_.read([&](store::Reader& reader) { return state_after(reader, first, turn); });
  };
  EXPECT_TRUE(state(1));
  ASSERT_FALSE(state(2));
  EXPECT_EQ(state(2).error().reason, "checkpoint_unavailable");
}

TEST_F(Deletions, ForksStandOnWhatADeletedTurnHasLeft) {
  const auto first = ended();
  const auto second = next_turn(first);
  const auto forked = base::value_or_throw(fork(second, 1)).run.id;
  end();
  remove(first);
  EXPECT_THAT(states(first, true), IsEmpty()) << "the bytes are the fork's";
  EXPECT_THAT(states(first), ElementsAre(2));
  EXPECT_THAT(states(forked), ElementsAre(0, 1));
  EXPECT_EQ(fork(second, 1).error().reason, "turn_not_found");
  EXPECT_TRUE(fork(second));
  EXPECT_TRUE(fork(forked));
}

TEST_F(Deletions, AForkWithoutATurnTakesTheNewestThatIsThere) {
  const auto first = ended();
  const auto second = next_turn(first);
  remove(second);
  const auto forked = fork(first);
  ASSERT_TRUE(forked);
  EXPECT_EQ(forked->run.forked_from->turn, 1);
}

TEST_F(Deletions, AKeyThatMadeTheRunSaysThatItWasDeleted) {
  NewRun request;
  request.idempotency_key = "key";
  const auto run = ended(request);
  EXPECT_TRUE(create(request)->replayed);
  remove(run);
  EXPECT_EQ(create(request).error().reason, "run_deleted");
  db_.clock.advance(25h);
  EXPECT_FALSE(create(request)->replayed);
}

TEST_F(Deletions, TheDoomedStateIsFoundUntilItIsRemoved) {
  const auto first = ended();
  next_turn(first);
  remove(first);
  const auto left = db_.read([](store::Reader& reader) { return reader.deleted_runs(10); });
  ASSERT_THAT(left, SizeIs(1));
  const auto state = [&] {
    return db_.read([&](store::Reader& reader) { return doomed_state(reader, left[0]); });
  };
  ASSERT_TRUE(state());
  EXPECT_EQ(state()->key, "runs/" + first.str() + "/checkpoint");
  db_.write([&](store::Transaction& tx) { tx.delete_checkpoint(first, 1); });
  EXPECT_FALSE(state());
}

TEST_F(Deletions, RetentionTakesWhatIsOlderThanItMayBe) {
  const auto early = ended();
  db_.clock.advance(1h);
  const auto late = ended();
  const RetentionRules rules{.max_age = 2h};
  EXPECT_THAT(overdue(rules).runs, IsEmpty());
  db_.clock.advance(1h);
  EXPECT_THAT(overdue(rules).runs, IsEmpty()) << "its conversation is not over";
  reclaim_all(early);
  EXPECT_THAT(overdue(rules).runs, ElementsAre(early));
  reclaim_all(late);
  EXPECT_THAT(overdue(rules).runs, ElementsAre(early));
  EXPECT_EQ(overdue(rules).next_look, db_.clock.now() + 1h);
}

TEST_F(Deletions, RetentionKeepsSoManyRunsAndThoseWithTheTag) {
  NewRun kept;
  kept.tags = {{"keep", "yes"}};
  std::vector<model::RunId> runs{ended(kept), ended(), ended(), ended()};
  create();
  db_.clock.advance(1h);
  for (const auto& run : runs) reclaim_all(run);
  EXPECT_THAT(overdue({.max_runs = 1}).runs, ElementsAre(runs[1], runs[2]));
  EXPECT_THAT(overdue({.max_runs = 1}, 1).runs, ElementsAre(runs[1]));
  EXPECT_THAT(overdue({.max_runs = 3}).runs, IsEmpty());
  EXPECT_THAT(overdue({}).runs, IsEmpty());
}

TEST_F(Deletions, RetentionTakesTheOldestFirstWhenThereAreTooManyBytes) {
  const auto first = ended();
  const auto second = ended();
  db_.clock.advance(1h);
  for (const auto& run : {first, second}) reclaim_all(run);
  EXPECT_THAT(overdue({.max_bytes = 1ll << 40}).runs, IsEmpty());
  EXPECT_THAT(overdue({.max_bytes = 1}, 1).runs, ElementsAre(first));
}

TEST_F(Deletions, OfRetentionSayWhoDidIt) {
  const auto run = ended();
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(delete_run(tx, {.run = run, .why = Deletion::Why::retention}, context()));
  });
  const auto head = db_.read([](store::Reader& reader) { return *reader.audit_head(model::default_workspace); });
  EXPECT_EQ(head.type, "run.deleted");
  EXPECT_EQ(head.who, "retention");
  EXPECT_EQ(head.actor, "system");
}

}  // namespace

}  // namespace agentrouter::runs
