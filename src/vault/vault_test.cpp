#include "vault/vault.h"

#include <boost/asio/co_spawn.hpp>

#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using Vaults = VaultTest;

TEST_F(Vaults, AWorkspaceHasADataKeyOfItsOwnWhichIsMadeOnce) {
  auto one = vault();
  set_key(*one, "a", "sk-of-a-0001");
  set_key(*one, "a", "sk-of-a-0002", "anthropic");
  set_key(*one, "b", "sk-of-b-0001");
  EXPECT_EQ(data_keys().size(), 2u);
  auto again = vault();  // the next start
  EXPECT_EQ(opened(*again, "a"), "sk-of-a-0001");
  EXPECT_EQ(opened(*again, "a", "anthropic"), "sk-of-a-0002");
  EXPECT_EQ(opened(*again, "b"), "sk-of-b-0001");
}

TEST_F(Vaults, TwoServersThatMakeTheFirstKeyAtOnceAgreeOnOne) {
  auto one = vault(), two = vault();
  std::vector<base::Result<SealingKeyHandle>> made;
  for (auto* each : {one.get(), two.get()}) {
    asio::co_spawn(
        db_.io().get_executor(), each->sealing_key("a"),
        [&made](std::exception_ptr, base::Result<SealingKeyHandle> key) { made.push_back(std::move(key)); });
  }
  while (made.size() < 2) {
    if (db_.io().run_one() == 0) db_.io().restart();
  }
  EXPECT_EQ((*made[0])->key.id(), (*made[1])->key.id());
  EXPECT_EQ(data_keys().size(), 1u);
}

TEST_F(Vaults, AnotherMasterKeyOpensNothingAndSaysWhichIsMissing) {
  auto one = vault();
  set_key(*one, "a", "sk-of-a-0001");
  auto other = vault({"another"});
  const auto by = data_keys().at(0).wrapped_by;
  EXPECT_THAT(opened(*other, "a"), StartsWith("vault_locked: "));
  EXPECT_THAT(opened(*other, "a"), HasSubstr(by));
  EXPECT_EQ(run(other->sealing_key("a")).error().reason, "vault_locked");
  const auto status = run(other->status());
  EXPECT_EQ(status.data_keys_of_old, 1);
  auto both = vault({"another", "first"});
  EXPECT_EQ(opened(*both, "a"), "sk-of-a-0001");
}

TEST_F(Vaults, AMasterKeyThatWasLostIsNotReplacedByANewOne) {
  const auto file = db_.folder() / "master_key";
  {
    auto one = vault(base::value_or_throw(Keyring::open({.own = file})));
    set_key(*one, "a", "sk-of-a-0001");
  }
  std::filesystem::remove(file);
  auto lost = vault(base::value_or_throw(Keyring::open({.own = file})));
  EXPECT_THAT(opened(*lost, "a"), StartsWith("vault_locked: "));
  const auto other = run(lost->sealing_key("b"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().reason, "vault_locked");
  EXPECT_THAT(other.error().message, HasSubstr("Put it back"));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_THAT(run(lost->status()).problem, HasSubstr("Put it back"));
  // A key can be deleted without it.
  EXPECT_TRUE(db_.write([](store::Transaction& tx) { return delete_provider_key(tx, "a", "openai"); }));
}

TEST_F(Vaults, RowsThatWereExchangedDoNotOpen) {
  auto one = vault();
  set_key(*one, "a", "sk-of-a-0001");
  set_key(*one, "a", "sk-of-a-0002", "anthropic");
  set_key(*one, "b", "sk-of-b-0001");
  auto mine = row("a"), other = row("b"), sibling = row("a", "anthropic");
  std::swap(mine.sealed, other.sealed);
  db_.write([&](store::Transaction& tx) {
    tx.put_provider_key(mine);
    tx.put_provider_key(other);
  });
  EXPECT_THAT(opened(*one, "a"), StartsWith("sealed_damaged: "));
  EXPECT_THAT(opened(*one, "b"), StartsWith("sealed_damaged: "));
  mine.sealed = sibling.sealed;
  db_.write([&](store::Transaction& tx) { tx.put_provider_key(mine); });
  EXPECT_THAT(opened(*one, "a"), HasSubstr("belongs to another record"));
}

TEST_F(Vaults, DataKeysThatWereExchangedDoNotOpen) {
  auto one = vault();
  set_key(*one, "a", "sk-of-a-0001");
  set_key(*one, "b", "sk-of-b-0001");
  auto keys = data_keys();
  std::swap(keys[0].wrapped, keys[1].wrapped);
  db_.write([&](store::Transaction& tx) {
    for (const auto& key : keys) tx.put_data_key(key);
  });
  auto fresh = vault();
  EXPECT_THAT(opened(*fresh, "a"), StartsWith("sealed_damaged: "));
  db_.write([&](store::Transaction& tx) { tx.delete_data_key("a", 1); });
  EXPECT_THAT(opened(*fresh, "a"), HasSubstr("has no data key 1"));
}

TEST_F(Vaults, CutRowsDoNotOpen) {
  auto one = vault();
  set_key(*one, "a", "sk-of-a-0001");
  const auto whole = row("a");
  for (const std::size_t size : {0u, 3u, 7u, 40u, 60u, 80u}) {
    auto cut = whole;
    cut.sealed.resize(size);
    db_.write([&](store::Transaction& tx) { tx.put_provider_key(cut); });
    EXPECT_THAT(opened(*one, "a"), StartsWith("sealed_damaged: ")) << size;
  }
}

TEST_F(Vaults, AKeyThatWasRetiredMeanwhileSealsNothing) {
  auto one = vault();
  const auto key = base::value_or_throw(run(one->sealing_key("a")));
  db_.write([](store::Transaction& tx) { tx.delete_data_key("a", 1); });
  const auto sealed = db_.write([&](store::Transaction& tx) {
    return seal_in(tx, *key, {"a", "provider_key", "openai"}, "x", db_.entropy);
  });
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, base::Code::unavailable);
  EXPECT_THAT(sealed.error().message, HasSubstr("try again"));
  const auto elsewhere = db_.write([&](store::Transaction& tx) {
    return seal_in(tx, *key, {"b", "provider_key", "openai"}, "x", db_.entropy);
  });
  EXPECT_EQ(elsewhere.error().code, base::Code::internal);
}

TEST_F(Vaults, AVersionThatWasGivenAgainToAnotherKeyIsThatOne) {
  auto here = vault(), there = vault();
  set_key(*here, "a", "sk-of-a-0001");
  EXPECT_EQ(opened(*there, "a"), "sk-of-a-0001");
  db_.write([](store::Transaction& tx) { tx.delete_provider_key("a", "openai"); });
  db_.write([](store::Transaction& tx) { tx.delete_data_key("a", 1); });
  set_key(*here, "a", "sk-of-a-0002");
  EXPECT_EQ(data_keys().at(0).version, 1);
  EXPECT_EQ(opened(*there, "a"), "sk-of-a-0002");
  set_key(*there, "a", "sk-of-a-0003");
  EXPECT_EQ(opened(*vault(), "a"), "sk-of-a-0003");
}

TEST_F(Vaults, AServiceIsAskedOnceForEachDataKey) {
  const KmsScript script;
  auto one = vault(base::value_or_throw(Keyring::open({.kms = script.config()})));
  set_key(*one, "a", "sk-of-a-0001");
  set_key(*one, "a", "sk-of-a-0002");
  EXPECT_EQ(script.asked(), "wrap");
  auto two = vault(base::value_or_throw(Keyring::open({.kms = script.config()})));
  EXPECT_EQ(opened(*two, "a"), "sk-of-a-0002");
  EXPECT_EQ(opened(*two, "a"), "sk-of-a-0002");
  EXPECT_EQ(script.asked(), "wrap unwrap");
  EXPECT_EQ(data_keys().at(0).wrapped_by, "kms:k1");
}

TEST_F(Vaults, AServiceThatFailsLocksAndIsAskedAgain) {
  KmsScript script;
  {
    auto one = vault(base::value_or_throw(Keyring::open({.kms = script.config()})));
    set_key(*one, "a", "sk-of-a-0001");
  }
  script.say("k1", "sys.exit('no route to host')");
  auto one = vault(base::value_or_throw(Keyring::open({.kms = script.config()})));
  EXPECT_THAT(opened(*one, "a"), HasSubstr("no route to host"));
  EXPECT_THAT(run(one->status()).problem, HasSubstr("no route to host"));
  EXPECT_EQ(run(one->rotate({})).error().reason, "vault_locked");
  script.say("k1");
  EXPECT_EQ(opened(*one, "a"), "sk-of-a-0001");
}

}  // namespace

}  // namespace agentrouter::vault
