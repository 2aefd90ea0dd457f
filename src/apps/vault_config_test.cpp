#include "apps/vault_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

base::Result<VaultConfig> vault_config_of(std::map<std::string, std::string> variables) {
  VaultConfig config;
  if (auto read = read_vault_environment(config, Environment(std::move(variables))); !read)
    return tl::unexpected(read.error());
  return config;
}

TEST(VaultConfig, EveryKeyIsReadAndPrinted) {
  VaultConfig config;
  const auto set = [&](const char* key, const char* text) {
    ASSERT_TRUE(is_vault_setting(key)) << key;
    const auto done = set_vault_value(config, key, text);
    ASSERT_TRUE(done) << done.error().message;
  };
  set("vault.master_key_file", "/etc/agentrouter/master");
  set("vault.kms_command", "/usr/bin/kms");
  set("vault.kms_command", "--key");
  set("vault.old_kms_command", "/usr/bin/old");
  set("vault.kms_timeout_seconds", "3");
  set("providers.require_workspace_key", "true");
  set("providers.base_urls", "https://eu.example.test/v1/");
  EXPECT_THAT(config.kms_command, ElementsAre("/usr/bin/kms", "--key"));
  EXPECT_EQ(config.kms_timeout, 3s);
  EXPECT_TRUE(config.require_workspace_key);
  EXPECT_THAT(config.base_urls, ElementsAre("https://eu.example.test/v1"));
  EXPECT_EQ(
      print_vault(config),
      "\n[vault]\nmaster_key_file = '/etc/agentrouter/master'\nkms_command = ['/usr/bin/kms', '--key']\n"
      "old_kms_command = ['/usr/bin/old']\nkms_timeout_seconds = 3\n");
  EXPECT_EQ(print_workspace_keys(config),
            "\n[providers]\nrequire_workspace_key = true\nbase_urls = ['https://eu.example.test/v1']\n");
  for (const auto* list : {"vault.kms_command", "vault.old_kms_command", "providers.base_urls"})
    EXPECT_TRUE(is_vault_list(list));
  EXPECT_FALSE(is_vault_list("vault.master_key_file"));
  EXPECT_FALSE(is_vault_setting("providers.openai.base_url"));
}

TEST(VaultConfig, WhatDoesNotFitNamesTheKeyAndWhatIsWanted) {
  VaultConfig config;
  const auto refusal = [&](const char* key, const char* text) {
    const auto done = set_vault_value(config, key, text);
    return done ? std::string("accepted") : done.error().message;
  };
  EXPECT_THAT(refusal("vault.master_key_file", "relative"), HasSubstr("want an absolute path"));
  EXPECT_THAT(refusal("vault.kms_timeout_seconds", "0"), HasSubstr("from 1 to 120"));
  EXPECT_THAT(refusal("vault.kms_timeout_seconds", "soon"), HasSubstr("from 1 to 120"));
  EXPECT_THAT(refusal("providers.require_workspace_key", "yes"), HasSubstr("want true or false"));
  EXPECT_THAT(refusal("providers.base_urls", "ftp://x"), HasSubstr("want https://HOST/PATH"));
  EXPECT_THAT(refusal("vault.key", "x"), HasSubstr("unknown key"));
}

TEST(VaultConfig, TheEnvironmentComesBeforeTheFileAndIsNotPrinted) {
  const auto by_file = vault_config_of({{"AGENTROUTER_MASTER_KEY_FILE", "/run/secrets/key"}});
  EXPECT_EQ(by_file->master_key_file, "/run/secrets/key");
  const auto by_key = vault_config_of({{"AGENTROUTER_MASTER_KEY", "c2VjcmV0"}});
  EXPECT_THAT(print_vault(*by_key), HasSubstr("# AGENTROUTER_MASTER_KEY: [REDACTED]"));
  EXPECT_THAT(print_vault(*by_key), Not(HasSubstr("c2VjcmV0")));
  const auto both = vault_config_of({{"AGENTROUTER_MASTER_KEY", "x"}, {"AGENTROUTER_MASTER_KEY_FILE", "/y"}});
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().message, HasSubstr("both set"));
  EXPECT_THAT(vault_config_of({{"AGENTROUTER_MASTER_KEY_FILE", "y"}}).error().message,
              HasSubstr("absolute path"));
}

TEST(VaultConfig, AKeyServiceGetsTheEnvironmentWithoutOurSecrets) {
  const auto config = vault_config_of({{"PATH", "/bin"},
                                       {"AWS_PROFILE", "p"},
                                       {"OPENAI_API_KEY", "a"},
                                       {"ANTHROPIC_API_KEY", "b"},
                                       {"AGENTROUTER_API_KEY", "c"},
                                       {"AGENTROUTER_MASTER_KEY", "d"}});
  EXPECT_THAT(config->environment, ElementsAre("AWS_PROFILE=p", "PATH=/bin"));
}

TEST(VaultConfig, AKeyIsMadeOnlyInADataFolderThatIsTheServersOwn) {
  VaultConfig config;
  EXPECT_EQ(keyring_config(config, "/data").own, "/data/master_key");
  config.shared_store = true;
  EXPECT_TRUE(keyring_config(config, "/data").own.empty());
  config.kms_command = {"kms"};
  EXPECT_EQ(keyring_config(config, "/data").kms->argv, config.kms_command);
  EXPECT_FALSE(keyring_config(config, "/data").old_kms);
}

}  // namespace
}  // namespace agentrouter::apps
