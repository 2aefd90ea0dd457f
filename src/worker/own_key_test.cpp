// Which provider key a run gets: its workspace's, the server's, or none.

#include "worker/fixture_test.h"

namespace agentrouter::worker {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* own_value = "sk-canary-0123456789abcdef";

class OwnKeys : public WorkerTest {
 protected:
  OwnKeys() {
    config_.provider = {.kind = ProviderKind::none, .base_url = "http://127.0.0.1:9/v1", .api_key = {}};
    vault_ = vault_with("master");
  }
  std::unique_ptr<vault::Vault> vault_with(const std::string& master_key) {
    std::vector<vault::Key> keys;
    keys.push_back(vault::Key::of(base::Sha256::hex_of(master_key).substr(0, vault::Key::bytes)));
    return std::make_unique<vault::Vault>(vault::Vault::Needs{*store_, clock_, entropy_},
                                          vault::Keyring(std::move(keys)));
  }
  void give_key(const std::string& value = own_value, const std::string& base_url = "") {
    const auto key = base::value_or_throw(testing::run_task(desk(), vault_->sealing_key("default")));
    const vault::NewProviderKey request{
        .workspace = "default", .provider = "openai", .value = value, .base_url = base_url};
    const vault::ProviderKeyRules rules{.base_urls = {base_url}};
    base::value_or_throw(write([&](store::Transaction& tx) {
      return vault::put_provider_key(tx, request, rules, *key, clock_, entropy_);
    }));
  }
  store::ProviderKey kept() {
    return *read([](store::Reader& reader) { return reader.provider_key("default", "openai"); });
  }
  // An agent that says this key, which its keeper takes out when it is the one that it was given.
  static std::string saying(const std::string& key) {
    return base::to_text(
        json::object{{"says", "event agent.started {\"provider\":\"codex\"}\nsay the key is " + key + "\n"}});
  }
  std::string ended(const model::RunId& id) {
    until_retired(id);
    const auto found = run(id);
    return found.failure ? found.failure->code + " " + found.failure->cause
                         : std::string(model::to_string(found.status));
  }
  std::string said(const model::RunId& id) {
    std::string all;
    for (const auto& event : events(id)) all += event.payload;
    return all;
  }
};

TEST_F(OwnKeys, ARunIsGivenTheKeyOfItsWorkspaceAndNoRecordHasIt) {
  give_key();
  EXPECT_FALSE(kept().used_at);
  start();
  const auto id = submit(saying(own_value));
  EXPECT_EQ(ended(id), "completed");
  EXPECT_THAT(said(id), Not(HasSubstr(own_value)));
  EXPECT_THAT(said(id), HasSubstr("the key is [REDACTED]"));
  EXPECT_EQ(kept().used_at, clock_.now());
}

TEST_F(OwnKeys, TheWorkspacesKeyComesBeforeTheServers) {
  config_.provider.kind = ProviderKind::upstream;
  config_.provider.api_key = "sk-of-the-server-0001";
  give_key();
  start();
  const auto own = submit(saying(own_value));
  EXPECT_EQ(ended(own), "completed");
  EXPECT_THAT(said(own), HasSubstr("[REDACTED]"));
  write([](store::Transaction& tx) { tx.delete_provider_key("default", "openai"); });
  const auto servers = submit(saying("sk-of-the-server-0001"));
  EXPECT_EQ(ended(servers), "completed");
  EXPECT_THAT(said(servers), HasSubstr("[REDACTED]"));
}

TEST_F(OwnKeys, ARunThatGoesOnKeepsItsKeyAndTheNextOneHasTheNewOne) {
  give_key();
  start();
  const auto id = submit(saying(own_value), model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  const auto first_use = kept().used_at;
  give_key("sk-another-0123456789abcdef");
  EXPECT_FALSE(kept().used_at);
  decide(id, runs::Decision::approved);
  EXPECT_EQ(ended(id), "completed");
  EXPECT_THAT(said(id), HasSubstr("the key is [REDACTED]"));
  EXPECT_FALSE(kept().used_at) << "it was not this one";
  const auto next = submit(saying("sk-another-0123456789abcdef"));
  EXPECT_EQ(ended(next), "completed");
  EXPECT_THAT(said(next), HasSubstr("the key is [REDACTED]"));
  EXPECT_EQ(kept().used_at, first_use);
}

TEST_F(OwnKeys, WithoutAnyKeyTheRunSaysHowToGiveOne) {
  start();
  const auto id = submit(simple_script);
  EXPECT_EQ(ended(id), "provider_unconfigured ");
  EXPECT_THAT(run(id).failure->reason, HasSubstr("agentrouter provider-keys set"));
}

TEST_F(OwnKeys, WhereOwnKeysAreRequiredTheServersIsForNobody) {
  config_.provider.kind = ProviderKind::upstream;
  config_.provider.api_key = "sk-of-the-server-0001";
  config_.provider_keys.required = true;
  start();
  const auto id = submit(simple_script);
  EXPECT_EQ(ended(id), "provider_unconfigured provider_key_required");
}

TEST_F(OwnKeys, AKeyThatCannotBeOpenedIsNoReasonToUseTheServers) {
  config_.provider.kind = ProviderKind::upstream;
  config_.provider.api_key = "sk-of-the-server-0001";
  give_key();
  vault_ = vault_with("another");
  start();
  const auto id = submit(simple_script);
  EXPECT_EQ(ended(id), "provider_unconfigured vault_locked");
  stop();
  vault_ = vault_with("master");
  auto cut = kept();
  cut.sealed.resize(20);
  write([&](store::Transaction& tx) { tx.put_provider_key(cut); });
  start();
  EXPECT_EQ(ended(submit(simple_script)), "provider_unconfigured sealed_damaged");
}

TEST_F(OwnKeys, ABaseUrlThatIsNotAllowedAnyMoreIsNotUsed) {
  give_key(own_value, "https://eu.example.test/v1");
  start();
  EXPECT_EQ(ended(submit(simple_script)), "provider_unconfigured provider_url_refused");
  stop();
  config_.provider_keys.base_urls = {"https://eu.example.test/v1"};
  start();
  EXPECT_EQ(ended(submit(simple_script)), "completed");
}

TEST_F(OwnKeys, TheSimulatorNeedsNoKeyAndUsesNone) {
  config_.provider.kind = ProviderKind::sim;
  config_.provider_keys.required = true;
  give_key();
  start();
  EXPECT_EQ(ended(submit(simple_script)), "completed");
  EXPECT_FALSE(kept().used_at);
}

}  // namespace

}  // namespace agentrouter::worker
