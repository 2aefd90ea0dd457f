#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using ::testing::Each;
using ::testing::HasSubstr;

class Rotations : public VaultTest {
 protected:
  // Steps until it is done, or does not get on.
  RotationStep rotate(Vault& vault, RotationOrder order = {}) {
    auto step = base::value_or_throw(run(vault.rotate(order)));
    while (!step.done() && step.progress()) step = base::value_or_throw(run(vault.rotate({})));
    return step;
  }
  void fill(Vault& vault, int workspaces) {
    for (int i = 0; i < workspaces; ++i) set_key(vault, name(i), "sk-of-" + name(i) + "-0001");
  }
  static std::string name(int i) { return "w" + std::to_string(1000 + i); }
  std::filesystem::path own_ = db_.folder() / "master_key";
  Keyring own() { return base::value_or_throw(Keyring::open({.own = own_})); }
};

TEST_F(Rotations, ANewMasterKeyWrapsTheDataKeysAndLeavesTheValues) {
  auto before = vault({"old"});
  fill(*before, 3);
  const auto value = row(name(0)).sealed;
  auto both = vault({"new", "old"});
  EXPECT_TRUE(run(both->status()).rotation_open());
  const auto step = rotate(*both);
  EXPECT_TRUE(step.done());
  EXPECT_EQ(row(name(0)).sealed, value);
  EXPECT_THAT(data_keys(), Each(::testing::Field(&store::DataKey::wrapped_by, key_named("new").id_text())));
  EXPECT_FALSE(run(both->status()).rotation_open());
  auto after = vault({"new"});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(opened(*after, name(i)), "sk-of-" + name(i) + "-0001");
}

TEST_F(Rotations, NewDataKeysSealTheValuesAndTheOldOnesGo) {
  auto one = vault();
  fill(*one, 3);
  put_hook("wh_1", "whsec_clear");
  base::value_or_throw(run(one->rotate({})));
  const auto before = row(name(0)).sealed;
  EXPECT_TRUE(rotate(*one, {.data_keys = true}).done());
  EXPECT_NE(row(name(0)).sealed, before);
  const auto keys = data_keys();
  EXPECT_EQ(keys.size(), 4u);
  EXPECT_THAT(keys, Each(::testing::Field(&store::DataKey::version, 2)));
  EXPECT_THAT(keys, Each(::testing::Field(&store::DataKey::retiring, false)));
  auto after = vault();
  EXPECT_EQ(opened(*after, name(2)), "sk-of-" + name(2) + "-0001");
  const auto hooked = run(after->open(secret_place(hook("wh_1")), hook("wh_1").secret));
  EXPECT_EQ(hooked->view(), "whsec_clear");
}

TEST_F(Rotations, AWorkspaceWithoutValuesHasANewKeyToo) {
  auto one = vault();
  fill(*one, 1);
  db_.write([](store::Transaction& tx) { tx.delete_provider_key(name(0), "openai"); });
  EXPECT_TRUE(rotate(*one, {.data_keys = true}).done());
  ASSERT_EQ(data_keys().size(), 1u);
  EXPECT_EQ(data_keys().at(0).version, 2) << "no version is given again";
}

TEST_F(Rotations, MoreThanOneStepIsDoneInSteps) {
  auto one = vault();
  fill(*one, 130);
  const auto first = base::value_or_throw(run(one->rotate({.data_keys = true})));
  EXPECT_FALSE(first.done());
  EXPECT_TRUE(first.progress());
  EXPECT_EQ(first.sealed, 100);
  EXPECT_GT(first.left, 0);
  EXPECT_TRUE(run(one->status()).rotation_open());
  for (const int i : {0, 129})
    EXPECT_EQ(opened(*one, name(i)), "sk-of-" + name(i) + "-0001") << "all open meanwhile";
  // Another server goes on, as after a kill -9.
  auto another = vault();
  EXPECT_TRUE(rotate(*another).done());
  EXPECT_EQ(data_keys().size(), 130u);
  for (const int i : {0, 129}) EXPECT_EQ(opened(*another, name(i)), "sk-of-" + name(i) + "-0001");
}

TEST_F(Rotations, OneThatWasBegunIsFinishedBeforeAnotherBegins) {
  auto one = vault();
  fill(*one, 130);
  base::value_or_throw(run(one->rotate({.data_keys = true})));
  rotate(*one, {.data_keys = true});
  EXPECT_THAT(data_keys(), Each(::testing::Field(&store::DataKey::version, 2)));
}

TEST_F(Rotations, AKeyThatTheServerKeepsIsRenewedAndTheOldOneIsForgottenAtTheEnd) {
  auto one = vault(own());
  fill(*one, 130);
  const auto before = base::value_or_throw(own().current());
  const auto first = base::value_or_throw(run(one->rotate({.master_key = true})));
  EXPECT_FALSE(first.done());
  EXPECT_EQ(first.wrapped, 100);
  EXPECT_EQ(own().old_keys(), 1u);
  one.reset();
  auto next = vault(own());  // was killed, and is started again
  EXPECT_EQ(opened(*next, name(129)), "sk-of-" + name(129) + "-0001");
  EXPECT_TRUE(rotate(*next).done());
  EXPECT_EQ(own().old_keys(), 0u);
  EXPECT_NE(base::value_or_throw(own().current()), before);
  auto last = vault(own());
  for (const int i : {0, 129}) EXPECT_EQ(opened(*last, name(i)), "sk-of-" + name(i) + "-0001");
}

TEST_F(Rotations, WhatIsConfiguredIsNotRenewedHere) {
  auto one = vault();
  EXPECT_EQ(run(one->rotate({.master_key = true})).error().reason, "master_key_configured");
}

TEST_F(Rotations, SecretsInClearAreSealedOnTheWay) {
  put_hook("wh_1", "whsec_new", "whsec_old");
  put_hook("wh_2", "whsec_two");
  auto one = vault(own());
  EXPECT_EQ(run(one->status()).clear, 3);
  const auto step = rotate(*one);
  EXPECT_TRUE(step.done());
  EXPECT_EQ(run(one->status()).clear, 0);
  EXPECT_EQ(run(one->status()).values, 3);
  const auto kept = hook("wh_1");
  EXPECT_EQ(run(one->open(secret_place(kept), kept.secret))->view(), "whsec_new");
  EXPECT_EQ(run(one->open(secret_place(kept), kept.old_secret))->view(), "whsec_old");
}

TEST_F(Rotations, WithoutAMasterKeySecretsInClearStayAsTheyAre) {
  put_hook("wh_1", "whsec_new");
  auto one = vault(base::value_or_throw(Keyring::open({})));
  const auto step = rotate(*one);
  EXPECT_FALSE(step.done());
  EXPECT_EQ(step.stuck, 1);
  EXPECT_THAT(step.problem, HasSubstr("vault.master_key_file"));
  EXPECT_EQ(hook("wh_1").secret, "whsec_new");
}

TEST_F(Rotations, WhatIsDamagedIsLeftAndSaidAndTheRestIsDone) {
  auto one = vault();
  fill(*one, 3);
  auto broken = row(name(1));
  broken.sealed = row(name(0)).sealed;
  db_.write([&](store::Transaction& tx) { tx.put_provider_key(broken); });
  const auto step = rotate(*one, {.data_keys = true});
  EXPECT_FALSE(step.done());
  EXPECT_FALSE(step.progress());
  EXPECT_EQ(step.left, 2) << "the value, and the data key that it names";
  EXPECT_THAT(step.problem, HasSubstr("another"));
  EXPECT_EQ(opened(*one, name(0)), "sk-of-" + name(0) + "-0001");
  EXPECT_EQ(opened(*one, name(2)), "sk-of-" + name(2) + "-0001");
  EXPECT_EQ(data_keys().size(), 3u);
  // Giving the workspace its key anew is the way out.
  set_key(*one, name(1), "sk-again-0001");
  EXPECT_TRUE(rotate(*one).done());
  EXPECT_EQ(data_keys().size(), 3u);
}

TEST_F(Rotations, DataKeysOfAMasterKeyThatIsGoneAreLeftAndSaid) {
  auto before = vault({"gone"});
  fill(*before, 2);
  auto one = vault({"first"});
  set_key(*one, "z", "sk-of-z-0001");
  const auto step = rotate(*one);
  EXPECT_FALSE(step.done());
  EXPECT_EQ(step.left, 2);
  EXPECT_EQ(step.stuck, 2);
  EXPECT_THAT(step.problem, HasSubstr(key_named("gone").id_text()));
  EXPECT_EQ(opened(*one, "z"), "sk-of-z-0001");
}

TEST_F(Rotations, WhatIsLostForGoodIsGivenUpAndTheWorkspaceBeginsAnew) {
  {
    auto before = vault(own());
    fill(*before, 2);
    put_hook("wh_1", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    rotate(*before);
  }
  std::filesystem::remove(own_);
  auto one = vault(own());
  const auto step = base::value_or_throw(run(one->rotate({.abandon = true})));
  EXPECT_EQ(step.abandoned, 3);
  EXPECT_TRUE(step.done());
  EXPECT_TRUE(data_keys().empty());
  EXPECT_TRUE(db_.read([](store::Reader& reader) { return reader.provider_keys(); }).empty());
  EXPECT_FALSE(hook("wh_1").enabled);
  EXPECT_THAT(hook("wh_1").disabled_reason, HasSubstr("rotate it"));
  set_key(*one, name(0), "sk-again-0001");
  EXPECT_EQ(opened(*one, name(0)), "sk-again-0001");
  EXPECT_TRUE(std::filesystem::exists(own_)) << "a new master key";
}

TEST_F(Rotations, WhatOpensIsNotGivenUp) {
  auto one = vault();
  fill(*one, 2);
  const auto step = base::value_or_throw(run(one->rotate({.abandon = true})));
  EXPECT_EQ(step.abandoned, 0);
  EXPECT_EQ(opened(*one, name(1)), "sk-of-" + name(1) + "-0001");
}

TEST_F(Rotations, AServiceThatNamesAnotherKeyGetsEverythingAnew) {
  KmsScript script("k1");
  auto one = vault(base::value_or_throw(Keyring::open({.kms = script.config()})));
  fill(*one, 2);
  EXPECT_FALSE(run(one->status()).rotation_open());
  script.say("k2");
  EXPECT_EQ(run(one->status()).data_keys_of_old, 2);
  EXPECT_TRUE(rotate(*one).done());
  EXPECT_THAT(data_keys(), Each(::testing::Field(&store::DataKey::wrapped_by, "kms:k2")));
}

TEST_F(Rotations, FromAFileToAServiceAndBack) {
  const KmsScript script;
  auto one = vault(own());
  fill(*one, 2);
  auto service = vault(base::value_or_throw(Keyring::open({.own = own_, .kms = script.config()})));
  EXPECT_TRUE(rotate(*service).done());
  EXPECT_THAT(data_keys(), Each(::testing::Field(&store::DataKey::wrapped_by, "kms:k1")));
  auto back = vault(base::value_or_throw(Keyring::open({.own = own_, .old_kms = script.config()})));
  EXPECT_TRUE(rotate(*back).done());
  auto alone = vault(own());
  EXPECT_EQ(opened(*alone, name(1)), "sk-of-" + name(1) + "-0001");
}

}  // namespace

}  // namespace agentrouter::vault
