#include "runs/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/actions.h"
#include "runs/approvals.h"
#include "runs/cancel.h"
#include "runs/close.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "runs/journal_commit.h"
#include "runs/outbox.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// One run that asks a question, and what the chain and webhooks hear of it.
class RunsAudit : public ::testing::Test {
 protected:
  model::RunId create() {
    NewRun request;
    request.input = R"({"task":"mend the bridge"})";
    request.task = "\n mend the bridge\nand paint it";
    request.tags = {{"team", "infra"}};
    request.api_key = "key_1";
    id_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
    return id_;
  }
  void ask() {
    fence_ =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
    JournalBatch batch;
    batch.to_offset = 1;
    batch.events = {
        testing::make_draft("action.proposed",
                            R"({"eventId":"evt_1","actionId":"action_1","actionDigest":"sha256:digest",)"
                            R"("actor":"agent","actionName":"codex.shell","targetResource":"npm test"})"),
        testing::make_draft("agent.message", R"({"text":"hello"})"),
        testing::make_draft("approval.requested",
                            R"({"eventId":"evt_2","actionId":"action_1","actionDigest":"sha256:digest",)"
                            R"("actor":"system"})")};
    batch.questions = {{action_, "sha256:digest", "sha256:args", "approval_1", "evt_2"}};
    commit(batch);
  }
  void commit(const JournalBatch& batch) {
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); }));
  }
  void decide(std::string by) {
    base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return decide_action(
          tx, {.run = id_, .action = action_, .action_digest = "sha256:digest", .decided_by = by}, context());
    }));
  }
  std::vector<model::AuditEntry> chain() {
    return db_.read([](store::Reader& reader) { return reader.audit(model::default_workspace, 0, 100); });
  }
  std::vector<std::string> types() {
    std::vector<std::string> all;
    for (const auto& entry : chain()) all.push_back(entry.type);
    return all;
  }
  std::string verdict() {
    model::AuditVerifier verifier;
    for (const auto& entry : chain()) {
      if (auto taken = verifier.take(base::to_canonical(entry.to_json())); !taken)
        return taken.error().reason;
    }
    return "intact";
  }
  void hook(std::vector<std::string> events, std::string id = "wh_1") {
    store::Webhook webhook;
    webhook.id = id;
    webhook.events = std::move(events);
    db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  }
  std::vector<store::Delivery> outbox(std::string id = "wh_1") {
    return db_.read([&](store::Reader& reader) { return reader.next_deliveries(id, 100); });
  }
  std::vector<std::string> told(std::string id = "wh_1") {
    std::vector<std::string> all;
    for (const auto& delivery : outbox(id)) all.push_back(delivery.type);
    return all;
  }
  Context context() { return {db_.clock, db_.entropy}; }

  const model::ActionId action_{"action_1"};
  testing::StoreFixture db_;
  model::RunId id_;
  Fence fence_;
};

TEST_F(RunsAudit, DecisionsAndActionsOfARunMakeAChain) {
  create();
  ask();
  decide("key_7");
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(begin_close(tx, fence_, {}, context()));
    base::value_or_throw(finish_close(tx, fence_, {}, context()));
  });
  EXPECT_THAT(types(), ElementsAre("run.created", "action.proposed", "approval.requested", "approval.decided",
                                   "run.failed"));
  EXPECT_EQ(verdict(), "intact");
  const auto entries = chain();
  EXPECT_EQ(entries[0].previous, model::audit_origin());
  EXPECT_EQ(entries[0].sequence, 0);
  EXPECT_EQ(entries[0].who, "key_1");
  EXPECT_EQ(entries[1].event_id, "evt_1");
  EXPECT_EQ(entries[1].actor, "agent");
  EXPECT_EQ(entries[1].action_digest, "sha256:digest");
  EXPECT_EQ(entries[3].actor, "human");
  EXPECT_EQ(entries[3].who, "key_7");
  EXPECT_EQ(entries[4].actor, "system");
}

TEST_F(RunsAudit, AnEntryHasTheDigestOfTheEventsPayload) {
  create();
  ask();
  for (const auto& entry : chain()) {
    if (entry.sequence == 0) continue;
    const auto event = db_.read([&](store::Reader& reader) { return reader.event(id_, entry.sequence); });
    ASSERT_TRUE(event);
    EXPECT_EQ(entry.type, event->type);
    EXPECT_EQ(entry.time, event->created_at);
    EXPECT_EQ(entry.payload_digest,
              base::json_digest(base::value_or_throw(base::parse_json(event->payload))));
  }
}

TEST_F(RunsAudit, WhatIsUndoneLeavesNoEntry) {
  create();
  EXPECT_THROW(db_.write([&](store::Transaction& tx) {
    append_event(tx, id_, testing::make_draft("execution.started"));
    base::throw_failure(base::Code::invalid, "no");
  }),
               base::Failure);
  db_.write([&](store::Transaction& tx) { append_event(tx, id_, testing::make_draft("execution.failed")); });
  EXPECT_THAT(types(), ElementsAre("run.created", "execution.failed"));
  EXPECT_EQ(verdict(), "intact");
}

TEST_F(RunsAudit, TheChainGoesOnAfterARestart) {
  create();
  const auto before = chain();
  db_.reopen();
  create();
  ASSERT_THAT(chain(), SizeIs(2));
  EXPECT_EQ(chain()[1].previous, before[0].hash);
  EXPECT_EQ(verdict(), "intact");
}

TEST_F(RunsAudit, APageSaysWhereTheChainEnds) {
  const auto page = [&](std::int64_t after, int limit) {
    return db_.read([&](store::Reader& reader) { return audit_page(reader, after, limit); });
  };
  EXPECT_EQ(page(0, 10), R"({"items":[],"nextAfter":0,"head":null})");
  create();
  create();
  const auto first = base::value_or_throw(base::parse_json(page(0, 1))).get_object();
  EXPECT_EQ(first.at("nextAfter").as_int64(), 1);
  EXPECT_EQ(first.at("head").as_object().at("number").as_int64(), 2);
  EXPECT_EQ(first.at("items").as_array().at(0).as_object().at("type").as_string(), "run.created");
  EXPECT_THAT(page(2, 10), HasSubstr(R"("items":[],"nextAfter":2)"));
}

TEST_F(RunsAudit, EndpointsHearOfWhatTheyAskedFor) {
  hook({"approval.*", "run.created"});
  hook({"run.*"}, "wh_2");
  hook({"*"}, "wh_3");
  create();
  ask();
  JournalBatch batch;
  batch.from_offset = 1;
  batch.to_offset = 2;
  batch.events = {testing::make_draft("execution.started", R"({"actionId":"action_1"})")};
  decide("key_7");
  commit(batch);
  EXPECT_THAT(told(), ElementsAre("run.created", "approval.requested", "approval.decided"));
  EXPECT_THAT(told("wh_2"), ElementsAre("run.created", "run.started"));
  EXPECT_THAT(told("wh_3"),
              ElementsAre("run.created", "approval.requested", "approval.decided", "run.started"));
}

TEST_F(RunsAudit, AMessageIsThin) {
  hook({"*"});
  create();
  ask();
  const auto message = base::value_or_throw(base::parse_json(outbox()[1].body)).get_object();
  EXPECT_EQ(message.at("type").as_string(), "approval.requested");
  EXPECT_EQ(message.at("timestamp").as_string(), base::to_iso(db_.clock.now()));
  const auto& data = message.at("data").as_object();
  EXPECT_EQ(base::to_text(data),
            R"({"runId":")" + id_.str() + R"(","conversationId":")" + id_.str() +
                R"(","turnNumber":1,"runtime":"codex","status":"starting","title":"npm test",)"
                R"("tags":{"team":"infra"},"actionId":"action_1","actionDigest":"sha256:digest",)"
                R"("requestId":"approval_1","name":"codex.shell"})");
  const auto first = base::value_or_throw(base::parse_json(outbox()[0].body)).get_object();
  EXPECT_EQ(first.at("data").as_object().at("title").as_string(), "mend the bridge");
}

TEST_F(RunsAudit, TheEndOfARunIsToldWithTheStatusThatItHasThen) {
  hook({"run.cancelled"});
  create();
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(cancel_run(tx, id_, context()));
    base::value_or_throw(settle_cancelled(tx, id_, context()));
  });
  ASSERT_THAT(told(), ElementsAre("run.cancelled"));
  EXPECT_THAT(outbox()[0].body, HasSubstr(R"("status":"cancelled")"));
}

TEST_F(RunsAudit, NobodyIsToldWhenTheEndpointIsDisabledOrWhatHappenedIsUndone) {
  hook({"*"});
  EXPECT_THROW(db_.write([&](store::Transaction& tx) {
    base::value_or_throw(create_run(tx, {.input = "{}"}, context()));
    base::throw_failure(base::Code::invalid, "no");
  }),
               base::Failure);
  EXPECT_TRUE(outbox().empty());
  store::Webhook webhook;
  webhook.id = "wh_1";
  webhook.events = {"*"};
  webhook.enabled = false;
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  create();
  EXPECT_TRUE(outbox().empty());
}

TEST_F(RunsAudit, EachWorkspaceHasItsOwnChainAndItsOwnEndpoints) {
  const std::string team = "infra";
  hook({"*"});
  hook({"*"}, "wh_2");
  db_.write([&](store::Transaction& tx) {
    auto webhook = *tx.webhook("wh_2");
    tx.delete_webhook("wh_2");
    webhook.workspace = team;
    tx.put_webhook(webhook);
  });
  NewRun request{.input = R"({"task":"x"})", .task = "x", .api_key = "key_1"};
  id_ =
      db_.write_in(team, [&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
  // What happens to it later is told without a scope.
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(cancel_run(tx, id_, context()));
    base::value_or_throw(settle_cancelled(tx, id_, context()));
  });
  EXPECT_TRUE(chain().empty());
  const auto theirs = db_.read([&](store::Reader& reader) { return reader.audit(team, 0, 10); });
  ASSERT_THAT(theirs, SizeIs(2));
  EXPECT_EQ(theirs[0].type, "run.created");
  EXPECT_EQ(theirs[1].type, "run.cancelled");
  EXPECT_EQ(theirs[1].previous, theirs[0].hash);
  EXPECT_THAT(told("wh_2"), ElementsAre("run.created", "run.cancelled"));
  EXPECT_TRUE(told().empty());
  const auto page = db_.read_in(team, [](store::Reader& reader) { return audit_page(reader, 0, 10); });
  EXPECT_THAT(page, HasSubstr("run.cancelled"));
  EXPECT_THAT(db_.read([](store::Reader& reader) { return audit_page(reader, 0, 10); }),
              HasSubstr(R"("items":[])"));
}

TEST_F(RunsAudit, AccessThatIsGivenHasAnEntryWithoutARun) {
  db_.write([&](store::Transaction& tx) {
    audit_access(tx, {"default", "key.created", "key_admin", {{"keyId", "key_1"}}, db_.clock.now()});
  });
  ASSERT_THAT(chain(), SizeIs(1));
  EXPECT_EQ(chain()[0].type, "key.created");
  EXPECT_EQ(chain()[0].who, "key_admin");
  EXPECT_EQ(chain()[0].payload_digest, base::json_digest(json::object{{"keyId", "key_1"}}));
  EXPECT_EQ(verdict(), "intact");
}

TEST(Notices, TitlesAreTheBeginningOfTheFirstLine) {
  EXPECT_EQ(title_of("  \n a b\nc"), "a b");
  EXPECT_EQ(title_of(std::string(100, 'x')), std::string(80, 'x'));
  EXPECT_EQ(title_of(" \n"), "");
}

}  // namespace

}  // namespace agentrouter::runs
