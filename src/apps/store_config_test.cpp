#include "apps/store_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/config.h"
#include "apps/secrets.h"
#include "base/file.h"
#include "base/redactor.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* url_with_password =
    "postgres://user:secret%2Dpass-word@db.example:5433/history?sslmode=require";

std::string refused(const std::string& key, const std::string& value) {
  StoreConfig config;
  const auto done = set_store_value(config, key, value);
  return done ? "" : done.error().message;
}

TEST(StoreConfig, WithoutAUrlTheHistoryIsInTheDataFolder) {
  const StoreConfig config;
  EXPECT_FALSE(config.is_shared());
  EXPECT_THAT(print_store(config), HasSubstr("not set"));
}

TEST(StoreConfig, TheUrlIsReadAndNeverShown) {
  StoreConfig config;
  ASSERT_TRUE(set_store_value(config, "store.url", url_with_password));
  EXPECT_TRUE(config.is_shared());
  const auto printed = print_store(config);
  EXPECT_THAT(printed, HasSubstr("[REDACTED], db.example:5433/history"));
  EXPECT_THAT(printed, Not(HasSubstr("pass")));
}

TEST(StoreConfig, AUrlThatCannotBeReadIsRefusedWithoutShowingIt) {
  for (const auto* url : {"", "db.example", "mysql://user:pass-word@h/d",
                          "postgres://user:pass-word@h:port/d", "postgres://user:pass-word@h/d?nothing=1"}) {
    const auto message = refused("store.url", url);
    EXPECT_THAT(message, HasSubstr("store.url")) << url;
    EXPECT_THAT(message, HasSubstr("postgres://USER:PASSWORD@")) << url;
    EXPECT_THAT(message, Not(HasSubstr("pass-word"))) << url;
  }
}

TEST(StoreConfig, EveryNumberHasBoundsAndSaysThem) {
  for (const auto* key : {"store.connections", "store.connect_timeout_ms", "store.statement_timeout_ms",
                          "store.lock_timeout_ms", "store.idle_timeout_ms", "store.poll_ms"}) {
    for (const auto* value : {"0", "-1", "many", "3600001", "1 "}) {
      EXPECT_THAT(refused(key, value), HasSubstr(std::string(key) + " is \"")) << value;
    }
    EXPECT_EQ(refused(key, "1000"), "") << key;
  }
  EXPECT_THAT(refused("store.prepared", "no"), HasSubstr("want true or false"));
  EXPECT_THAT(refused("store.nothing", "1"), HasSubstr("unknown key"));
}

TEST(StoreConfig, TheEnvironmentAndFilesGiveUrls) {
  const testing::TempDir folder;
  ASSERT_TRUE(base::write_file_durably(folder / "url", std::string(url_with_password) + "\n"));
  StoreConfig of_file;
  ASSERT_TRUE(set_store_value(of_file, "store.url_file", (folder / "url").string()));
  StoreConfig of_environment;
  ASSERT_TRUE(
      settle_store(of_environment, Environment({{"AGENTROUTER_STORE_URL_FILE", (folder / "url").string()},
                                                {"AGENTROUTER_STORE_LISTEN_URL", "postgres://h/d"}})));
  EXPECT_EQ(of_file.postgres.url, url_with_password);
  EXPECT_EQ(of_environment.postgres.url, url_with_password);
  EXPECT_EQ(of_environment.postgres.listen_url, "postgres://h/d");
  EXPECT_FALSE(set_store_value(of_file, "store.url_file", (folder / "none").string()));
}

TEST(StoreConfig, OneToListenAtNeedsOneToWriteTo) {
  StoreConfig config;
  const auto settled =
      settle_store(config, Environment({{"AGENTROUTER_STORE_LISTEN_URL", "postgres://h/d"}}));
  ASSERT_FALSE(settled);
  EXPECT_THAT(settled.error().message, HasSubstr("without store.url"));
}

TEST(StoreConfig, LogsAndAgentsNeverSeeThePassword) {
  Config config;
  ASSERT_TRUE(set_store_value(config.store, "store.url", url_with_password));
  const base::Redactor redactor({needles_of_secrets(config, "")});
  std::string plain = "password secret-pass-word is wrong";
  EXPECT_TRUE(redactor.clean(plain, base::Redactor::Text::plain));
  EXPECT_THAT(plain, Not(HasSubstr("pass-word")));
}

}  // namespace

}  // namespace agentrouter::apps
