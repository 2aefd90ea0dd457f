#include "webhooks/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/create.h"
#include "testing/store_fixture.h"
#include "webhooks/schedule.h"
#include "webhooks/signature.h"

namespace agentrouter::webhooks {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using namespace std::chrono_literals;

// What endpoints answer, and what they were sent.
class Endpoints final : public Sender {
 public:
  explicit Endpoints(base::Executor executor) : changed_(executor) {}

  base::Task<Outcome> send(Outgoing message) override {
    const auto host = message.url.host;
    sent.push_back(message);
    ++under_way;
    most_under_way = std::max(most_under_way, under_way);
    changed_.notify();
    while (hanging.contains(host)) co_await changed_.wait();
    --under_way;
    co_return answers.contains(host) ? answers[host] : Outcome{.status = 200};
  }
  void release(const std::string& host) {
    hanging.erase(host);
    changed_.notify();
  }

  std::vector<Outgoing> sent;
  std::map<std::string, Outcome> answers;
  std::set<std::string> hanging;
  int under_way = 0;
  int most_under_way = 0;

 private:
  base::Event changed_;
};

class Webhooks : public ::testing::Test {
 protected:
  Webhooks() : endpoints_(db_.io().get_executor()), vault_(make_vault("master")) {
    key_ = base::value_or_throw(testing::run_task(db_.io(), vault_.sealing_key("default")));
  }
  vault::Vault make_vault(const std::string& seed) {
    std::vector<vault::Key> keys;
    keys.push_back(vault::Key::of(base::Sha256::hex_of(seed).substr(0, vault::Key::bytes)));
    return vault::Vault({db_.store(), db_.clock, db_.entropy}, vault::Keyring(std::move(keys)));
  }

  store::Webhook hook(const std::string& host = "a.test", std::vector<std::string> events = {"*"}) {
    return base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return create_webhook(tx, {.url = "https://" + host + "/hook", .events = events}, {}, context(), *key_);
    })).webhook;
  }
  void happen() {
    db_.write([&](store::Transaction& tx) {
      return runs::create_run(tx, {.input = "{}", .task = "t"}, context());
    });
  }
  std::vector<base::SecretBuffer> secrets_of(const store::Webhook& webhook, base::Time now) {
    return base::value_or_throw(testing::run_task(
        db_.io(), open_secrets(vault_, vault::secret_place(webhook), secrets_now(webhook, now))));
  }
  // The dispatcher works until `done`, then stops; messages under way then are cut off.
  template <class Done>
  void work(Done done, std::int64_t backlog = longest_backlog) {
    Dispatcher dispatcher({db_.io().get_executor(), db_.store(), endpoints_, *dispatching_, db_.clock, db_.entropy}, {}, backlog);
    base::TaskScope scope(db_.io().get_executor());
    scope.spawn(dispatcher.run());
    working_ = true;
    testing::run_task(db_.io(), until(done, scope));
    working_ = false;
  }
  base::Task<void> until(const std::function<bool()>& done, base::TaskScope& scope) {
    for (co_await look(); !done(); co_await look()) co_await base::sleep_for(1ms);
    co_await scope.cancel_and_join();
  }
  // The store is gone when the answer comes.
  base::Task<void> close_under_way(Dispatcher& dispatcher, base::TaskScope& scope) {
    while (endpoints_.sent.empty()) co_await base::sleep_for(1ms);
    db_.store().close();
    endpoints_.release("a.test");
    for (int i = 0; i < 20; ++i) {
      dispatcher.wake();
      co_await base::sleep_for(1ms);
    }
    co_await scope.cancel_and_join();
  }
  // What is stored now.
  base::Task<void> look() {
    seen_ = co_await db_.store().read([](store::Reader& reader) {
      Seen seen{reader.webhooks(), {}};
      for (const auto& webhook : seen.hooks)
        seen.deliveries[webhook.id] = reader.deliveries({.webhook = webhook.id, .limit = 1000});
      return seen;
    });
  }
  void work_until_sent(std::size_t count) {
    work([&] { return endpoints_.sent.size() >= count && endpoints_.under_way == 0 && settled(count); });
  }
  // So many attempts are recorded.
  bool settled(std::size_t attempts) {
    std::size_t all = 0;
    for (const auto& webhook : hooks()) {
      for (const auto& delivery : deliveries(webhook.id)) all += static_cast<std::size_t>(delivery.attempts);
    }
    return all >= attempts;
  }
  std::vector<store::Webhook> hooks() {
    refresh();
    return seen_.hooks;
  }
  std::vector<store::Delivery> deliveries(const std::string& webhook) {
    refresh();
    return seen_.deliveries[webhook];
  }
  store::Webhook again(const store::Webhook& webhook) {
    for (const auto& one : hooks()) {
      if (one.id == webhook.id) return one;
    }
    return {};
  }
  void refresh() {
    if (!working_) testing::run_task(db_.io(), look());
  }
  runs::Context context() { return {db_.clock, db_.entropy}; }

  struct Seen {
    std::vector<store::Webhook> hooks;
    std::map<std::string, std::vector<store::Delivery>> deliveries;
  };
  testing::StoreFixture db_;
  Endpoints endpoints_;
  vault::Vault vault_;
  vault::Vault* dispatching_ = &vault_;
  vault::SealingKeyHandle key_;
  Seen seen_;
  bool working_ = false;
};

TEST_F(Webhooks, OnlyTheServerThatHasTheDutySends) {
  (void)hook();
  happen();
  bool mine = false;
  Dispatcher dispatcher({db_.io().get_executor(), db_.store(), endpoints_, vault_, db_.clock, db_.entropy, [&mine] { return mine; }},
                        {});
  base::TaskScope scope(db_.io().get_executor());
  scope.spawn(dispatcher.run());
  testing::run_task(db_.io(), base::sleep_for(20ms));
  EXPECT_THAT(endpoints_.sent, SizeIs(0));
  mine = true;
  dispatcher.wake();
  working_ = true;
  testing::run_task(db_.io(), until([this] { return !endpoints_.sent.empty(); }, scope));
  working_ = false;
}

TEST_F(Webhooks, AMessageIsSentOnceItIsCommittedAndSigned) {
  const auto webhook = hook();
  happen();
  work_until_sent(1);
  ASSERT_THAT(endpoints_.sent, SizeIs(1));
  const auto& sent = endpoints_.sent[0];
  const auto kept = deliveries(webhook.id).at(0);
  EXPECT_EQ(sent.body, kept.body);
  EXPECT_EQ(sent.headers.get("webhook-id"), kept.id);
  EXPECT_EQ(sent.headers.get("webhook-timestamp"), "1780000000");
  EXPECT_TRUE(sent.headers.get("webhook-signature").starts_with("v1,"));
  EXPECT_EQ(sent.reach, net::Reach::public_only);
  EXPECT_EQ(kept.state, store::DeliveryState::delivered);
  EXPECT_EQ(kept.status, 200);
}

TEST_F(Webhooks, AMessageThatWasUnderWayWhenTheServerDiedIsSentAgainUnderItsId) {
  const auto webhook = hook();
  happen();
  endpoints_.hanging.insert("a.test");
  work([&] { return endpoints_.sent.size() == 1; });
  endpoints_.release("a.test");
  endpoints_.under_way = 0;
  EXPECT_EQ(deliveries(webhook.id).at(0).state, store::DeliveryState::pending);
  work([&] { return deliveries(webhook.id).at(0).state == store::DeliveryState::delivered; });
  ASSERT_THAT(endpoints_.sent, SizeIs(2));
  EXPECT_EQ(endpoints_.sent[0].headers.get("webhook-id"), endpoints_.sent[1].headers.get("webhook-id"));
}

TEST_F(Webhooks, WhatIsRefusedIsSentAgainOnTheScheduleUntilItIsTaken) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.status = 500, .error = "the endpoint answered 500"};
  happen();
  work_until_sent(1);
  auto kept = deliveries(webhook.id).at(0);
  EXPECT_EQ(kept.state, store::DeliveryState::pending);
  EXPECT_EQ(kept.error, "the endpoint answered 500");
  EXPECT_GE(kept.next_at, db_.clock.now() + 5s);
  EXPECT_LE(kept.next_at, db_.clock.now() + 6s);
  EXPECT_EQ(again(webhook).failing_since, db_.clock.now());
  db_.clock.advance(6s);
  endpoints_.answers.clear();
  work([&] { return deliveries(webhook.id).at(0).state == store::DeliveryState::delivered; });
  kept = deliveries(webhook.id).at(0);
  EXPECT_EQ(kept.attempts, 2);
  EXPECT_EQ(kept.error, "");
  EXPECT_FALSE(again(webhook).failing_since);
}

TEST_F(Webhooks, RetryAfterIsHonoured) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.status = 503, .error = "busy", .retry_after = 10min};
  happen();
  work_until_sent(1);
  EXPECT_GE(deliveries(webhook.id).at(0).next_at, db_.clock.now() + 10min);
}

TEST_F(Webhooks, GoneDisablesTheEndpointAndKeepsWhatWaits) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.status = 410, .error = "the endpoint answered 410"};
  happen();
  work_until_sent(1);
  EXPECT_FALSE(again(webhook).enabled);
  EXPECT_THAT(again(webhook).disabled_reason, HasSubstr("410"));
  EXPECT_EQ(deliveries(webhook.id).at(0).state, store::DeliveryState::failed);
  happen();
  EXPECT_THAT(deliveries(webhook.id), SizeIs(1));
}

TEST_F(Webhooks, AnEndpointThatFailsForDaysIsDisabledWithTheReason) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.error = "connection refused"};
  happen();
  for (std::size_t attempt = 1; again(webhook).enabled; ++attempt) {
    ASSERT_LE(attempt, static_cast<std::size_t>(most_attempts));
    work_until_sent(attempt);
    db_.clock.advance(std::max<std::chrono::milliseconds>(
        deliveries(webhook.id).at(0).next_at - db_.clock.now(), 0ms));
  }
  const auto disabled = again(webhook);
  EXPECT_THAT(disabled.disabled_reason, HasSubstr("nothing was taken since 2026-"));
  EXPECT_THAT(disabled.disabled_reason, HasSubstr("connection refused"));
  EXPECT_GE(db_.clock.now() - *disabled.failing_since, 70h);
}

TEST_F(Webhooks, AnEndpointThatHangsHoldsUpOnlyItself) {
  const auto stuck = hook("stuck.test");
  const auto fine = hook("fine.test");
  endpoints_.hanging.insert("stuck.test");
  for (int i = 0; i < 10; ++i) happen();
  work([&] {
    const auto all = deliveries(fine.id);
    return std::all_of(all.begin(), all.end(), [](const auto& one) {
      return one.state == store::DeliveryState::delivered;
    });
  });
  EXPECT_THAT(deliveries(fine.id), SizeIs(10));
  EXPECT_EQ(std::count_if(endpoints_.sent.begin(), endpoints_.sent.end(),
                          [](const auto& one) { return one.url.host == "stuck.test"; }),
            static_cast<std::ptrdiff_t>(sends_per_endpoint));
  EXPECT_LE(endpoints_.most_under_way, 2 * static_cast<int>(sends_per_endpoint));
  EXPECT_EQ(deliveries(stuck.id).at(0).attempts, 0);
}

TEST_F(Webhooks, EnablingSendsWhatWaited) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.status = 500, .error = "no"};
  happen();
  work_until_sent(1);
  const auto change = [&](bool enabled) {
    return base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return change_webhook(tx, webhook.id, {.enabled = enabled}, {}, context());
    }));
  };
  EXPECT_THAT(change(false).disabled_reason, HasSubstr("by a request"));
  db_.clock.advance(1h);
  int looks = 0;
  work([&] { return ++looks == 20; });
  EXPECT_THAT(endpoints_.sent, SizeIs(1));
  endpoints_.answers.clear();
  EXPECT_EQ(change(true).disabled_reason, "");
  work([&] { return deliveries(webhook.id).at(0).state == store::DeliveryState::delivered; });
  EXPECT_THAT(endpoints_.sent, SizeIs(2));
}

TEST_F(Webhooks, ATestIsSentAtOnceWhateverWasAskedForAndTriedOnce) {
  const auto webhook = hook("a.test", {"run.failed"});
  endpoints_.answers["a.test"] = {.status = 500, .error = "no"};
  happen();
  const auto queued = base::value_or_throw(
      db_.write([&](store::Transaction& tx) { return test_webhook(tx, webhook.id, context()); }));
  work_until_sent(1);
  ASSERT_THAT(endpoints_.sent, SizeIs(1));
  EXPECT_EQ(endpoints_.sent[0].headers.get("webhook-id"), queued.id);
  EXPECT_THAT(endpoints_.sent[0].body, HasSubstr(R"("type":"test")"));
  EXPECT_EQ(deliveries(webhook.id).at(0).state, store::DeliveryState::failed);
  EXPECT_FALSE(again(webhook).failing_since);
}

TEST_F(Webhooks, RedeliveringSendsTheSameMessageAgain) {
  const auto webhook = hook();
  happen();
  work_until_sent(1);
  const auto id = deliveries(webhook.id).at(0).id;
  const auto redelivered = db_.write(
      [&](store::Transaction& tx) { return redeliver(tx, webhook.id, id, context()); });
  ASSERT_TRUE(redelivered);
  work([&] { return deliveries(webhook.id).at(0).state == store::DeliveryState::delivered; });
  ASSERT_THAT(endpoints_.sent, SizeIs(2));
  EXPECT_EQ(endpoints_.sent[1].headers.get("webhook-id"), id);
  EXPECT_EQ(endpoints_.sent[1].body, endpoints_.sent[0].body);
  const auto other = hook("b.test");
  const auto refused =
      db_.write([&](store::Transaction& tx) { return redeliver(tx, other.id, id, context()); });
  EXPECT_EQ(refused.error().reason, "delivery_not_found");
}

TEST_F(Webhooks, ARotatedSecretSignsBesideTheOldOneForADay) {
  const auto webhook = hook();
  const auto rotated = base::value_or_throw(
      db_.write([&](store::Transaction& tx) { return rotate_secret(tx, webhook.id, "", context(), *key_); }));
  EXPECT_NE(rotated.secret, webhook.secret);
  EXPECT_EQ(rotated.old_secret, webhook.secret);
  store::Delivery delivery;
  delivery.body = "{}";
  const auto signature = [&] {
    const auto now = db_.clock.now();
    return std::string(
        outgoing_of(rotated, delivery, {}, now, secrets_of(rotated, now)).headers.get("webhook-signature"));
  };
  const auto both = signature();
  EXPECT_EQ(std::count(both.begin(), both.end(), ' '), 1);
  db_.clock.advance(24h);
  EXPECT_EQ(signature().find(' '), std::string::npos);
}

TEST_F(Webhooks, OldMessagesAreForgotten) {
  const auto webhook = hook();
  happen();
  work_until_sent(1);
  db_.clock.advance(messages_are_kept + 1ms);
  work([&] { return deliveries(webhook.id).empty(); });
  EXPECT_TRUE(deliveries(webhook.id).empty());
}

TEST_F(Webhooks, ABacklogThatGrowsWithoutEndDisablesTheEndpoint) {
  const auto webhook = hook();
  endpoints_.answers["a.test"] = {.status = 500, .error = "no"};
  for (int i = 0; i < 4; ++i) happen();
  work([&] { return !again(webhook).enabled; }, 3);
  EXPECT_THAT(again(webhook).disabled_reason, HasSubstr("more than 3 messages waited"));
  EXPECT_THAT(deliveries(webhook.id), SizeIs(4));
}

TEST_F(Webhooks, AHostThatTheConfigurationNamesNoMoreIsNotSentTo) {
  store::Webhook webhook;
  webhook.id = "wh_1";
  webhook.url = "http://127.0.0.1/";
  webhook.events = {"*"};
  webhook.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  happen();
  work([&] { return settled(1); });
  EXPECT_TRUE(endpoints_.sent.empty());
  EXPECT_THAT(deliveries("wh_1").at(0).error, HasSubstr("allow_hosts"));
}

TEST_F(Webhooks, WhatCannotBeStoredIsNotSentAgainAtOnce) {
  hook();
  happen();
  endpoints_.hanging.insert("a.test");
  Dispatcher dispatcher({db_.io().get_executor(), db_.store(), endpoints_, *dispatching_, db_.clock, db_.entropy}, {});
  base::TaskScope scope(db_.io().get_executor());
  scope.spawn(dispatcher.run());
  testing::run_task(db_.io(), close_under_way(dispatcher, scope));
  EXPECT_THAT(endpoints_.sent, SizeIs(1));
}

TEST_F(Webhooks, SecretsAreShownOnce) {
  const auto webhook = hook();
  const auto secrets = secrets_of(webhook, db_.clock.now());
  const std::string clear(secrets.at(0).view());
  EXPECT_TRUE(is_secret(clear)) << clear;
  EXPECT_THAT(to_wire(webhook, clear), HasSubstr(clear));
  EXPECT_EQ(to_wire(webhook).find("secret"), std::string::npos);
}

TEST_F(Webhooks, SecretsLieSealedInTheStore) {
  const auto webhook = hook();
  EXPECT_TRUE(vault::is_sealed(webhook.secret)) << webhook.secret;
  EXPECT_EQ(hooks().at(0).secret, webhook.secret);
}

TEST_F(Webhooks, ASecretThatCannotBeOpenedIsAFailedAttemptThatSaysWhy) {
  auto webhook = hook();
  const auto other = hook("b.test");
  // A row whose secret was exchanged with another one's.
  webhook.secret = other.secret;
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  happen();
  work([&] { return settled(2); });
  ASSERT_THAT(endpoints_.sent, SizeIs(1));
  EXPECT_EQ(endpoints_.sent[0].url.host, "b.test");
  const auto failed = deliveries(webhook.id).at(0);
  EXPECT_THAT(failed.error, HasSubstr("belongs to another record"));
  EXPECT_EQ(failed.state, store::DeliveryState::pending);
}

TEST_F(Webhooks, ADamagedSecretIsRotatedAwayAndMessagesComeAtOnce) {
  auto webhook = hook();
  webhook.secret = "sealed:AAAA";
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  const auto rotated = base::value_or_throw(
      db_.write([&](store::Transaction& tx) { return rotate_secret(tx, webhook.id, "", context(), *key_); }));
  EXPECT_EQ(rotated.old_secret, "sealed:AAAA");
  happen();
  work_until_sent(1);
  ASSERT_THAT(endpoints_.sent, SizeIs(1));
  EXPECT_EQ(endpoints_.sent[0].headers.get("webhook-signature").find(' '), std::string_view::npos);
}

TEST_F(Webhooks, UnderAnotherMasterKeyNothingIsSentAndEverythingWaits) {
  const auto webhook = hook();
  happen();
  auto locked = make_vault("another");
  dispatching_ = &locked;
  work([&] { return settled(1); });
  dispatching_ = &vault_;
  EXPECT_THAT(endpoints_.sent, SizeIs(0));
  EXPECT_THAT(deliveries(webhook.id).at(0).error, HasSubstr("the vault is locked"));
  db_.clock.advance(10s);
  work_until_sent(1);
}

TEST_F(Webhooks, ASecretOfAnOlderVersionSignsUntilItIsSealed) {
  auto webhook = hook();
  webhook.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  happen();
  work_until_sent(1);
  const auto before = endpoints_.sent.at(0);
  const auto step = base::value_or_throw(testing::run_task(db_.io(), vault_.rotate({})));
  EXPECT_EQ(step.sealed, 1);
  EXPECT_TRUE(step.done());
  EXPECT_TRUE(vault::is_sealed(hooks().at(0).secret));
  happen();
  work_until_sent(2);
  const auto& after = endpoints_.sent.at(1);
  const auto expected = signatures({webhook.secret}, after.headers.get("webhook-id"),
                                   std::stoll(std::string(after.headers.get("webhook-timestamp"))), after.body);
  EXPECT_EQ(after.headers.get("webhook-signature"), expected);
  EXPECT_NE(before.headers.get("webhook-id"), after.headers.get("webhook-id"));
}

TEST_F(Webhooks, AKeyMakesOneWebhookOfTheSameRequest) {
  const NewWebhook request{.url = "https://a.test/hook", .events = {"*"}, .idempotency_key = "once"};
  const auto create = [&](const NewWebhook& asked) {
    return db_.write([&](store::Transaction& tx) { return create_webhook(tx, asked, {}, context(), *key_); });
  };
  const auto first = base::value_or_throw(create(request));
  EXPECT_FALSE(first.replayed);
  const auto again = base::value_or_throw(create(request));
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.webhook.id, first.webhook.id);
  EXPECT_EQ(again.webhook.secret, first.webhook.secret);
  auto other = request;
  other.description = "another";
  EXPECT_EQ(create(other).error().reason, "idempotency_conflict");
  db_.write([&](store::Transaction& tx) { base::value_or_throw(delete_webhook(tx, first.webhook.id)); });
  EXPECT_EQ(create(request).error().reason, "idempotency_conflict");
}

TEST_F(Webhooks, RefusalsHaveReasons) {
  const auto create = [&](NewWebhook request) {
    const auto made = db_.write(
        [&](store::Transaction& tx) { return create_webhook(tx, request, {}, context(), *key_); });
    return made ? "made" : made.error().reason;
  };
  EXPECT_EQ(create({.url = "http://a.test/"}), "webhook_url_refused");
  EXPECT_EQ(create({.url = "https://a.test/", .secret = "whsec_short"}), "validation_error");
  for (std::size_t i = 0; i < most_webhooks; ++i) EXPECT_EQ(create({.url = "https://a.test/"}), "made");
  EXPECT_EQ(create({.url = "https://a.test/"}), "webhook_limit");
  const auto reason = [&](auto use) {
    const auto result = db_.write(use);
    return result ? std::string("done") : result.error().reason;
  };
  EXPECT_EQ(reason([&](store::Transaction& tx) { return delete_webhook(tx, "wh_x"); }), "webhook_not_found");
  EXPECT_EQ(reason([&](store::Transaction& tx) { return test_webhook(tx, "wh_x", context()); }),
            "webhook_not_found");
  EXPECT_EQ(reason([&](store::Transaction& tx) { return rotate_secret(tx, "wh_x", "", context(), *key_); }),
            "webhook_not_found");
  const auto first = hooks().front();
  EXPECT_EQ(reason([&](store::Transaction& tx) {
              return change_webhook(tx, first.id, {.url = "https://10.0.0.1/"}, {}, context());
            }),
            "webhook_url_refused");
  (void)db_.write([&](store::Transaction& tx) {
    return change_webhook(tx, first.id, {.enabled = false}, {}, context());
  });
  EXPECT_EQ(reason([&](store::Transaction& tx) { return test_webhook(tx, first.id, context()); }),
            "webhook_disabled");
}

TEST_F(Webhooks, EventsAreNamedAsTheyAre) {
  for (const auto* name : {"*", "run.*", "approval.*", "approval.requested", "run.created", "run.started",
                           "run.waiting", "run.completed", "run.failed", "run.cancelled", "test"})
    EXPECT_TRUE(is_event_choice(name)) << name;
  for (const auto* name : {"", "run", "agent.message", "**", "run.*.*", "RUN.*"})
    EXPECT_FALSE(is_event_choice(name)) << name;
}

}  // namespace

}  // namespace agentrouter::webhooks
