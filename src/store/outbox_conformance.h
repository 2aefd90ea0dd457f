#pragma once
// What every backend must do about the audit chain, standing rules and webhooks. Included beside
// store_conformance.h, whose fixture it uses.

#include <atomic>

#include "store/store_conformance.h"

namespace agentrouter::store {

class OutboxConformance : public StoreConformance {
 protected:
  static model::AuditEntry entry(std::int64_t number, std::string workspace = "default") {
    model::AuditEntry made;
    made.workspace = std::move(workspace);
    made.number = number;
    made.time = testing::test_time(number);
    made.run_id = testing::run_id("r");
    made.sequence = number + 1;
    made.event_id = "evt_1";
    made.type = "approval.decided";
    made.actor = "human";
    made.who = "key_1";
    made.action_id = "action_1";
    made.action_digest = "sha256:a";
    made.payload_digest = "sha256:b";
    made.previous = "sha256:c";
    made.hash = "sha256:" + std::to_string(number);
    return made;
  }
  void chain(const model::AuditEntry& made) {
    write([&](Transaction& tx) { tx.append_audit(made); });
  }
  std::vector<std::string> hashes(std::int64_t after, int limit = 10) {
    std::vector<std::string> all;
    for (const auto& found : read([&](Reader& reader) { return reader.audit("default", after, limit); }))
      all.push_back(found.hash);
    return all;
  }
  static Webhook webhook(std::string id) {
    Webhook made;
    made.id = std::move(id);
    made.workspace = "default";
    made.url = "https://example.test/hook";
    made.description = "chat";
    made.events = {"run.*", "test"};
    made.secret = "whsec_a";
    made.created_at = testing::test_time(1);
    made.updated_at = testing::test_time(2);
    return made;
  }
  void put(const Webhook& made) {
    write([&](Transaction& tx) { tx.put_webhook(made); });
  }
  static Delivery delivery(std::string id, std::int64_t next, std::string to = "wh_1") {
    Delivery made;
    made.id = std::move(id);
    made.webhook_id = std::move(to);
    made.type = "run.failed";
    made.run_id = testing::run_id("r");
    made.body = "{}";
    made.created_at = testing::test_time(next);
    made.next_at = testing::test_time(next);
    return made;
  }
  void put(const Delivery& made) {
    write([&](Transaction& tx) { tx.put_delivery(made); });
  }
  static std::vector<std::string> ids(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> all;
    for (const auto& one : deliveries) all.push_back(one.id);
    return all;
  }
  std::vector<std::string> next(int limit = 10) {
    return ids(read([&](Reader& reader) { return reader.next_deliveries("wh_1", limit); }));
  }
};

TEST_P(OutboxConformance, TheChainKeepsEveryFieldAndItsOrder) {
  for (const auto number : {1, 2, 3}) chain(entry(number));
  chain(entry(1, "other"));
  reopen();
  EXPECT_THAT(hashes(0), ElementsAre("sha256:1", "sha256:2", "sha256:3"));
  EXPECT_THAT(hashes(1, 1), ElementsAre("sha256:2"));
  EXPECT_TRUE(hashes(3).empty());
  const auto head = read([](Reader& reader) { return reader.audit_head("default"); });
  ASSERT_TRUE(head);
  EXPECT_EQ(base::to_text(head->to_json()), base::to_text(entry(3).to_json()));
  EXPECT_FALSE(read([](Reader& reader) { return reader.audit_head("nothing"); }));
}

TEST_P(OutboxConformance, OnlyTheNextEntryIsTaken) {
  chain(entry(1));
  EXPECT_EQ(reason_of([&] { chain(entry(1)); }), "audit_taken");
  EXPECT_EQ(reason_of([&] { chain(entry(3)); }), "audit_taken");
  EXPECT_EQ(reason_of([&] { chain(entry(2, "other")); }), "audit_taken");
  EXPECT_THAT(hashes(0), ElementsAre("sha256:1"));
}

TEST_P(OutboxConformance, StandingRulesKeepEveryFieldAndTheirOrder) {
  StandingRule rule{.id = "rule_b",
                    .run_id = testing::run_id("r"),
                    .approves = true,
                    .rule = R"({"command":"npm test"})",
                    .reason = "fine",
                    .given_by = "key_1",
                    .given_at = testing::test_time(1)};
  write([&](Transaction& tx) {
    tx.put_standing_rule(rule);
    rule.id = "rule_a";
    rule.approves = false;
    tx.put_standing_rule(rule);
    rule.withdrawn_at = testing::test_time(2);
    rule.withdrawn_by = "key_2";
    rule.used = 7;
    tx.put_standing_rule(rule);
  });
  reopen();
  const auto rules = read([](Reader& reader) { return reader.standing_rules(testing::run_id("r")); });
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].id, "rule_b");
  EXPECT_TRUE(rules[0].approves);
  EXPECT_EQ(rules[0].rule, R"({"command":"npm test"})");
  EXPECT_EQ(rules[0].reason, "fine");
  EXPECT_EQ(rules[0].given_by, "key_1");
  EXPECT_EQ(rules[0].given_at, testing::test_time(1));
  EXPECT_FALSE(rules[0].withdrawn_at);
  EXPECT_FALSE(rules[1].approves);
  EXPECT_EQ(rules[1].withdrawn_at, testing::test_time(2));
  EXPECT_EQ(rules[1].withdrawn_by, "key_2");
  EXPECT_EQ(rules[1].used, 7);
  EXPECT_TRUE(read([](Reader& reader) { return reader.standing_rules(testing::run_id("s")); }).empty());
}

TEST_P(OutboxConformance, WebhooksKeepEveryFieldAndTheirOrder) {
  put(webhook("wh_2"));
  auto changed = webhook("wh_1");
  put(changed);
  changed.url = "https://other.test/";
  changed.old_secret = "whsec_b";
  changed.old_secret_until = testing::test_time(9);
  changed.enabled = false;
  changed.disabled_reason = "410";
  changed.failing_since = testing::test_time(8);
  changed.updated_at = testing::test_time(7);
  put(changed);
  reopen();
  const auto all = read([](Reader& reader) { return reader.webhooks(); });
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, "wh_2");
  EXPECT_THAT(all[0].events, ElementsAre("run.*", "test"));
  EXPECT_EQ(all[0].secret, "whsec_a");
  EXPECT_TRUE(all[0].enabled);
  EXPECT_FALSE(all[0].old_secret_until);
  EXPECT_EQ(all[0].created_at, testing::test_time(1));
  const auto kept = *read([](Reader& reader) { return reader.webhook("wh_1"); });
  EXPECT_EQ(kept.url, changed.url);
  EXPECT_EQ(kept.workspace, "default");
  EXPECT_EQ(kept.description, "chat");
  EXPECT_EQ(kept.old_secret, "whsec_b");
  EXPECT_EQ(kept.old_secret_until, testing::test_time(9));
  EXPECT_FALSE(kept.enabled);
  EXPECT_EQ(kept.disabled_reason, "410");
  EXPECT_EQ(kept.failing_since, testing::test_time(8));
  EXPECT_EQ(kept.updated_at, testing::test_time(7));
  EXPECT_FALSE(read([](Reader& reader) { return reader.webhook("wh_3"); }));
}

TEST_P(OutboxConformance, MessagesAreDueInTheOrderOfTheirTimes) {
  put(webhook("wh_1"));
  put(delivery("c", 30));
  put(delivery("a", 10));
  put(delivery("b", 10));
  put(delivery("other", 1, "wh_2"));
  EXPECT_THAT(next(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(next(2), ElementsAre("a", "b"));
  EXPECT_EQ(read([](Reader& reader) { return reader.pending_deliveries("wh_1"); }), 3);
  auto done = *read([](Reader& reader) { return reader.delivery("a"); });
  done.state = DeliveryState::delivered;
  done.attempts = 2;
  done.attempted_at = testing::test_time(11);
  done.status = 204;
  done.error = "";
  done.duration_ms = 5;
  put(done);
  auto failed = *read([](Reader& reader) { return reader.delivery("b"); });
  failed.state = DeliveryState::failed;
  failed.error = "refused";
  put(failed);
  EXPECT_THAT(next(), ElementsAre("c"));
  reopen();
  const auto kept = *read([](Reader& reader) { return reader.delivery("a"); });
  EXPECT_EQ(kept.state, DeliveryState::delivered);
  EXPECT_EQ(kept.attempts, 2);
  EXPECT_EQ(kept.attempted_at, testing::test_time(11));
  EXPECT_EQ(kept.status, 204);
  EXPECT_EQ(kept.duration_ms, 5);
  EXPECT_EQ(kept.body, "{}");
  EXPECT_EQ(kept.run_id, testing::run_id("r"));
  EXPECT_EQ(kept.type, "run.failed");
  EXPECT_EQ(kept.created_at, testing::test_time(10));
  EXPECT_EQ(read([](Reader& reader) { return reader.delivery("b"); })->error, "refused");
  EXPECT_FALSE(read([](Reader& reader) { return reader.delivery("z"); }));
}

TEST_P(OutboxConformance, MessagesAreListedNewestFirst) {
  for (const auto* id : {"a", "b", "c"}) put(delivery(id, 1));
  const auto page =
      read([](Reader& reader) { return reader.deliveries({.webhook = "wh_1", .limit = 2}); });
  EXPECT_THAT(ids(page), ElementsAre("c", "b"));
  EXPECT_THAT(ids(read([&](Reader& reader) {
                return reader.deliveries({.webhook = "wh_1", .before = page[1].number});
              })),
              ElementsAre("a"));
}

TEST_P(OutboxConformance, OldMessagesAreForgottenUnlessTheyWait) {
  put(webhook("wh_1"));
  auto off = webhook("wh_2");
  off.enabled = false;
  put(off);
  put(delivery("waits", 1));
  put(delivery("waits for nobody", 2, "wh_2"));
  auto done = delivery("done", 3);
  done.state = DeliveryState::delivered;
  put(done);
  done.id = "young";
  done.created_at = testing::test_time(50);
  put(done);
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_deliveries(testing::test_time(50), 1); }), 1);
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_deliveries(testing::test_time(50), 10); }), 1);
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_deliveries(testing::test_time(50), 10); }), 0);
  EXPECT_TRUE(read([](Reader& reader) { return reader.delivery("waits"); }));
  EXPECT_TRUE(read([](Reader& reader) { return reader.delivery("young"); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.delivery("done"); }));
  write([](Transaction& tx) { tx.delete_webhook("wh_1"); });
  EXPECT_FALSE(read([](Reader& reader) { return reader.delivery("waits"); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.webhook("wh_1"); }));
}

class OutboxListener final : public CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>>) override {}
  void run_changed(const model::RunId&, model::RunStatus) override {}
  void outbox_changed() override { ++told; }
  std::atomic<int> told = 0;
};

TEST_P(OutboxConformance, ListenersHearThatThereIsSomethingToSend) {
  OutboxListener listener;
  store_->add_listener(&listener);
  insert("r");
  EXPECT_EQ(listener.told, 0);
  put(webhook("wh_1"));
  EXPECT_EQ(listener.told, 1);
  write([](Transaction& tx) {
    tx.put_delivery(delivery("a", 1));
    tx.put_delivery(delivery("b", 1));
  });
  EXPECT_EQ(listener.told, 2);
  append("r", "run.claimed");
  EXPECT_EQ(listener.told, 2);
  store_->remove_listener(&listener);
}

}  // namespace agentrouter::store
