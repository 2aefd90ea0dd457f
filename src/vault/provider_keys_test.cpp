#include "vault/provider_keys.h"

#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

class ProviderKeys : public VaultTest {
 protected:
  base::Result<PutProviderKey> put(NewProviderKey request) {
    const auto key = base::value_or_throw(run(vault_->sealing_key(request.workspace)));
    return db_.write([&](store::Transaction& tx) {
      return put_provider_key(tx, request, rules_, *key, db_.clock, db_.entropy);
    });
  }
  ProviderKeyRules rules_{.base_urls = {"https://eu.example.test/v1"}};
  std::unique_ptr<Vault> vault_ = vault();
};

TEST_F(ProviderKeys, AreShownByTheirLastCharactersOnly) {
  const auto made = base::value_or_throw(put({"a", "openai", "sk-0123456789abcdefghijkl", "", "key_1"}));
  EXPECT_TRUE(made.made);
  const auto wire = to_wire(made.key);
  EXPECT_THAT(wire, HasSubstr(R"("lastCharacters":"ijkl")"));
  EXPECT_THAT(wire, Not(HasSubstr("0123456789")));
  EXPECT_THAT(wire, Not(HasSubstr("sealed")));
  EXPECT_THAT(wire, HasSubstr(R"("setBy":"key_1")"));
  EXPECT_THAT(wire, Not(HasSubstr("lastUsedAt")));
  // Of a short one they would tell too much.
  const auto shorter = base::value_or_throw(put({"a", "openai", "sk-0123456789", "", "key_1"}));
  EXPECT_THAT(to_wire(shorter.key), Not(HasSubstr("lastCharacters")));
}

TEST_F(ProviderKeys, AnotherOneTakesThePlaceAndKeepsTheFirstTime) {
  const auto first = base::value_or_throw(put({"a", "openai", "sk-first-key", "", "key_1"})).key;
  auto used = first;
  used.used_at = db_.clock.now();
  db_.write([&](store::Transaction& tx) { tx.put_provider_key(used); });
  db_.clock.advance(5s);
  const auto second = base::value_or_throw(put({"a", "openai", "sk-second-key", "", "key_2"}));
  EXPECT_FALSE(second.made);
  EXPECT_EQ(second.key.created_at, first.created_at);
  EXPECT_EQ(second.key.changed_at, first.changed_at + 5s);
  EXPECT_FALSE(second.key.used_at) << "nobody has used this one";
  EXPECT_EQ(opened(*vault_, "a"), "sk-second-key");
}

TEST_F(ProviderKeys, ABaseUrlIsOneThatTheServerAllows) {
  EXPECT_EQ(base::value_or_throw(put({"a", "openai", "sk-some-key", "https://eu.example.test/v1/", ""}))
                .key.base_url,
            "https://eu.example.test/v1");
  for (const auto* url :
       {"https://eu.example.test", "http://169.254.169.254/", "https://eu.example.test/v1/../x", "x"}) {
    const auto refused = put({"a", "openai", "sk-some-key", url, ""});
    ASSERT_FALSE(refused) << url;
    EXPECT_EQ(refused.error().reason, "provider_url_refused");
    EXPECT_EQ(refused.error().details, R"({"allowed":["https://eu.example.test/v1"]})");
  }
}

TEST_F(ProviderKeys, WhatIsNotThereSaysSo) {
  const auto reason = [&](const std::string& provider) {
    return db_.write([&](store::Transaction& tx) { return delete_provider_key(tx, "a", provider); }).error();
  };
  EXPECT_EQ(reason("openai").reason, "provider_key_not_found");
  EXPECT_THAT(reason("openai").message, HasSubstr("no key of its own"));
  EXPECT_THAT(reason("acme").message, HasSubstr("use openai or anthropic"));
}

TEST_F(ProviderKeys, AValueFitsIntoAHeaderField) {
  EXPECT_TRUE(is_provider_key("sk-12345"));
  EXPECT_TRUE(is_provider_key(std::string(most_key_bytes, 'x')));
  EXPECT_FALSE(is_provider_key(std::string(most_key_bytes + 1, 'x')));
  for (const auto* value : {"", "short", "with blank", "with\nline", "umläutig", "tab\tbed-key"})
    EXPECT_FALSE(is_provider_key(value)) << value;
}

}  // namespace

}  // namespace agentrouter::vault
