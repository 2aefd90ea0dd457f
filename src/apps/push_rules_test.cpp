#include <gtest/gtest.h>

#include "apps/push_desk.h"
#include "apps/secrets.h"
#include "base/file.h"
#include "base/redactor.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

PushConfig allowing(const std::vector<std::string>& rules) {
  PushConfig config;
  for (const auto& rule : rules) config.allow.push_back(base::value_or_throw(parse_push_rule(rule)));
  return config;
}

TEST(PushRules, NothingIsAllowedUntilARuleSaysSo) {
  EXPECT_FALSE(is_push_allowed({}, "https://git.example/team/app.git", "main"));
}

TEST(PushRules, ARuleNamesRemotesAndBranches) {
  const auto config = allowing({"https://git.example/team/* agentrouter/*", "file:///srv/git/one.git main"});
  EXPECT_TRUE(is_push_allowed(config, "https://git.example/team/app.git", "agentrouter/x"));
  EXPECT_FALSE(is_push_allowed(config, "https://git.example/team/app.git", "main"));
  EXPECT_FALSE(is_push_allowed(config, "https://git.example/other/app.git", "agentrouter/x"));
  EXPECT_FALSE(is_push_allowed(config, "https://git.example.evil/team/app.git", "agentrouter/x"));
  EXPECT_FALSE(is_push_allowed(config, "http://git.example/team/app.git", "agentrouter/x"));
  EXPECT_TRUE(is_push_allowed(config, "file:///srv/git/one.git", "main"));
  EXPECT_FALSE(is_push_allowed(config, "file:///srv/git/one.git", "main2"));
}

TEST(PushRules, AUrlThatLeadsElsewhereThanItSeemsIsRefused) {
  const auto config = allowing({"https://git.example/team/* *", "file:///srv/git/* *"});
  for (const auto* url : {"https://git.example/team/../other/app.git", "https://git.example/team/%2e%2e/x",
                          "https://git.example/team/x?y", "https://git.example/team/x#y", "file:///srv/git/../../etc",
                          "https://user@git.example/team/x", "https://git.example\\team/x", "https://git.example/team/a b",
                          "ext::sh -c x", "git.example:team/x", "https://git.example"})
    EXPECT_FALSE(is_push_allowed(config, url, "main")) << url;
}

TEST(PushRules, RulesThatSayTooMuchOrTooLittleAreRefused) {
  for (const auto* rule : {"", "https://git.example/x", "https://*/x main", "https://git.*.example/x main", "* *",
                           "ssh://git.example/x main", "https://git.example/x main more", "https://git.example main"})
    EXPECT_FALSE(parse_push_rule(rule)) << rule;
}

TEST(PushRules, StarsStandForAnyCharacters) {
  EXPECT_TRUE(matches("a*c*e", "abcde"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*", "a/b/c"));
  EXPECT_FALSE(matches("a*c", "abd"));
  EXPECT_FALSE(matches("ab*ba", "aba"));
  EXPECT_FALSE(matches("abc", "abcd"));
  EXPECT_TRUE(matches("*x*", "axbx"));
}

TEST(PushRules, ACredentialGoesOnlyWhereItBelongsAndNeverInClear) {
  testing::TempDir folder;
  ASSERT_TRUE(base::write_file_durably(folder / "token", " secret\n"));
  const auto file = (folder / "token").string();
  PushConfig config;
  for (const auto* url : {"https://git.example/", "https://git.example/team/", "http://git.example/", "http://127.0.0.1:1/",
                          "https://exact.example/x"})
    config.credentials.push_back(base::value_or_throw(parse_push_credential(std::string(url) + " me " + file)));
  EXPECT_EQ(credential_for(config, "https://git.example/x")->secret, "secret");
  EXPECT_EQ(credential_for(config, "https://git.example/team/x")->url, "https://git.example/team/");
  EXPECT_EQ(credential_for(config, "https://git.example.evil/x"), nullptr);
  EXPECT_EQ(credential_for(config, "http://git.example/x"), nullptr);
  EXPECT_NE(credential_for(config, "http://127.0.0.1:1/x"), nullptr);
  EXPECT_EQ(credential_for(config, "https://exact.example/xy"), nullptr);
  EXPECT_NE(credential_for(config, "https://exact.example/x/y"), nullptr);
  EXPECT_FALSE(parse_push_credential("https://git.example/ me " + file + ".not"));
  EXPECT_FALSE(parse_push_credential("https://git.example/ me"));
  EXPECT_FALSE(parse_push_credential("https://git.example/ me relative"));
}

TEST(PushRules, TheirCredentialsAreKnownSecrets) {
  Config config;
  config.push.credentials = {{"https://git.example/", "me", "ghp_pushToken0123456789"}};
  const base::Redactor redactor({needles_of_secrets(config, "")});
  EXPECT_TRUE(redactor.occurs_in("refused: ghp_pushToken0123456789"));
}

}  // namespace
}  // namespace agentrouter::apps
