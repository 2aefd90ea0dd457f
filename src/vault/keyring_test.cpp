#include "vault/keyring.h"

#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using ::testing::HasSubstr;

const Place place{"team", "data_key", "1"};

class Keyrings : public ::testing::Test {
 protected:
  Keyring open(KeyringConfig config) { return base::value_or_throw(Keyring::open(std::move(config))); }
  Keyring own() { return open({.own = own_}); }
  WrappedKey wrapped(const Keyring& ring) { return base::value_or_throw(ring.wrap(data_, place, entropy_)); }
  static std::string problem(const base::Result<Key>& key) {
    return key ? "opened" : key.error().reason + ": " + key.error().message;
  }

  testing::TempDir folder_;
  std::filesystem::path own_ = folder_.path() / "master_key";
  testing::FixedEntropy entropy_;
  Key data_ = key_named("data");
};

TEST_F(Keyrings, OwnKeyIsMadeWhenItIsNeeded) {
  auto ring = own();
  EXPECT_FALSE(ring.can_wrap());
  EXPECT_FALSE(std::filesystem::exists(own_));
  base::value_or_throw(ring.make_if_missing(entropy_));
  EXPECT_TRUE(ring.can_wrap());
  struct stat info{};
  ASSERT_EQ(::stat(own_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto kept = wrapped(ring);
  EXPECT_EQ(kept.by, base::value_or_throw(ring.current()));
  EXPECT_EQ(base::value_or_throw(own().unwrap(kept, place)).id(), data_.id()) << "the next start has it";
  base::value_or_throw(ring.make_if_missing(entropy_));
  EXPECT_EQ(base::value_or_throw(ring.current()), kept.by) << "once";
}

TEST_F(Keyrings, WithASharedStoreAKeyHasToBeConfigured) {
  auto ring = open({});
  const auto made = ring.make_if_missing(entropy_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().reason, "vault_locked");
  EXPECT_THAT(made.error().message, HasSubstr("vault.master_key_file"));
  EXPECT_EQ(ring.wrap(data_, place, entropy_).error().reason, "vault_locked");
  EXPECT_EQ(ring.current().error().reason, "vault_locked");
}

TEST_F(Keyrings, ARenewedKeyWrapsAndTheOldOneIsAcceptedUntilItIsDropped) {
  auto ring = own();
  base::value_or_throw(ring.make_if_missing(entropy_));
  const auto before = wrapped(ring);
  base::value_or_throw(ring.renew(entropy_));
  const auto after = wrapped(ring);
  EXPECT_NE(after.by, before.by);
  EXPECT_EQ(ring.old_keys(), 1u);
  auto again = own();  // as a server that was killed in between finds it
  EXPECT_EQ(base::value_or_throw(again.current()), after.by);
  EXPECT_TRUE(again.unwrap(before, place));
  base::value_or_throw(again.drop_old());
  EXPECT_EQ(again.old_keys(), 0u);
  EXPECT_THAT(problem(own().unwrap(before, place)),
              HasSubstr("vault_locked: the vault is locked: the master key"));
  EXPECT_TRUE(own().unwrap(after, place));
}

TEST_F(Keyrings, RenewalsThatAreNeverFinishedComeToAnEnd) {
  auto ring = own();
  base::value_or_throw(ring.make_if_missing(entropy_));
  for (int i = 0; i < 7; ++i) base::value_or_throw(ring.renew(entropy_));
  EXPECT_EQ(ring.renew(entropy_).error().reason, "rotation_unfinished");
  EXPECT_EQ(own().old_keys(), 7u);
}

TEST_F(Keyrings, AConfiguredKeyIsNotRenewedHere) {
  base::value_or_throw(own().make_if_missing(entropy_));
  auto ring = open({.file = own_, .own = folder_.path() / "other"});
  EXPECT_TRUE(ring.can_wrap());
  EXPECT_EQ(ring.renew(entropy_).error().reason, "master_key_configured");
  EXPECT_TRUE(ring.drop_old());
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "other"));
}

TEST_F(Keyrings, KeysComeFromOnePlace) {
  const auto both = Keyring::open({.keys = "x", .keys_from = "AGENTROUTER_MASTER_KEY", .file = "/y"});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().reason, "master_key_invalid");
  EXPECT_THAT(both.error().message, HasSubstr("one place"));
  EXPECT_EQ(Keyring::open({.file = folder_.path() / "none"}).error().code, base::Code::not_found);
  std::ofstream(own_) << "no key";
  ::chmod(own_.c_str(), 0600);
  EXPECT_EQ(Keyring::open({.own = own_}).error().reason, "master_key_invalid");
}

TEST_F(Keyrings, AServiceWrapsAndTheFileIsAcceptedAndTheOtherWayRound) {
  const KmsScript script;
  auto file = own();
  base::value_or_throw(file.make_if_missing(entropy_));
  const auto by_file = wrapped(file);
  auto service = open({.own = own_, .kms = script.config()});
  const auto by_service = wrapped(service);
  EXPECT_EQ(by_service.by, "kms:k1");
  EXPECT_EQ(base::value_or_throw(service.current()), "kms:k1");
  EXPECT_TRUE(service.unwrap(by_file, place));
  EXPECT_TRUE(service.unwrap(by_service, place));
  EXPECT_EQ(service.old_keys(), 1u);
  auto back = open({.own = own_, .old_kms = script.config()});
  EXPECT_EQ(wrapped(back).by, by_file.by);
  EXPECT_TRUE(back.unwrap(by_service, place));
  EXPECT_THAT(problem(own().unwrap(by_service, place)), HasSubstr("neither vault.kms_command nor"));
}

TEST_F(Keyrings, AnOlderServiceOpensWhatTheNewOneCannot) {
  const KmsScript old("old");
  const KmsScript fresh(
      "new", "if ask.get('keyId') == 'old':\n    print(json.dumps({'error': 'no such key'})); sys.exit(0)");
  const auto by_old = wrapped(open({.kms = old.config()}));
  const auto ring = open({.kms = fresh.config(), .old_kms = old.config()});
  EXPECT_TRUE(ring.unwrap(by_old, place));
  EXPECT_EQ(wrapped(ring).by, "kms:new");
  EXPECT_THAT(problem(open({.kms = fresh.config()}).unwrap(by_old, place)), HasSubstr("no such key"));
}

TEST_F(Keyrings, AWrappedKeyOpensOnlyForItsWorkspaceAndVersion) {
  const auto ring = ring_of({"first"});
  const auto kept = base::value_or_throw(ring.wrap(data_, place, entropy_));
  EXPECT_THAT(problem(ring.unwrap(kept, {"other", "data_key", "1"})), HasSubstr("sealed_damaged"));
  EXPECT_THAT(problem(ring.unwrap(kept, {"team", "data_key", "2"})), HasSubstr("sealed_damaged"));
  EXPECT_THAT(problem(ring_of({"second"}).unwrap(kept, place)), HasSubstr("vault_locked"));
  auto lying = kept;
  lying.by = ring_of({"second"}).current().value();
  EXPECT_THAT(problem(ring_of({"second"}).unwrap(lying, place)), HasSubstr("sealed_damaged"));
}

}  // namespace

}  // namespace agentrouter::vault
