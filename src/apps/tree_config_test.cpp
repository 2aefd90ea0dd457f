#include "apps/tree_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "apps/server_parts.h"

namespace agentrouter::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TreeSettings : public ::testing::Test {
 protected:
  void set(const std::string& key, const std::string& text) {
    ASSERT_TRUE(is_tree_setting(key)) << key;
    const auto done = set_tree_value(config_, key, text);
    ASSERT_TRUE(done) << done.error().message;
  }
  std::string refusal(const std::string& key, const std::string& text) {
    const auto done = set_tree_value(config_, key, text);
    return done ? "taken" : done.error().message;
  }
  base::Result<void> settle() {
    return settle_tree_config(config_, Environment({{"GIT_TOKEN", "from-env"}}));
  }

  TreeConfig config_;
};

TEST_F(TreeSettings, AreReadAndPrintedAsTheyAreRead) {
  set("uploads.max_bytes", "11");
  set("uploads.keep_minutes", "12");
  set("uploads.max_ratio", "13");
  set("trees.max_bytes", "14");
  set("layers.max_bytes", "16");
  set("git.timeout_seconds", "15");
  set("git.http_hosts", "a.test");
  set("git.http_hosts", "b.test:80");
  set("git.file_roots", "/srv/git");
  EXPECT_EQ(config_.uploads.max_bytes, 11u);
  EXPECT_EQ(config_.uploads.keep, std::chrono::minutes(12));
  EXPECT_EQ(config_.uploads.unpack.ratio, 13u);
  EXPECT_EQ(config_.trees.max_bytes, 14u);
  EXPECT_EQ(config_.layers.max_bytes, 16u);
  EXPECT_EQ(config_.git.fetching.timeout, std::chrono::seconds(15));
  EXPECT_THAT(config_.git.http_hosts, ElementsAre("a.test", "b.test:80"));
  const auto text = print_tree_config(config_);
  EXPECT_THAT(text, HasSubstr("[uploads]\nmax_bytes = 11\nkeep_minutes = 12\n"));
  EXPECT_THAT(text, HasSubstr("[trees]\nmax_bytes = 14\n"));
  EXPECT_THAT(text, HasSubstr("[layers]\nmax_bytes = 16\n"));
  EXPECT_THAT(text, HasSubstr("timeout_seconds = 15\nhttp_hosts = [\"a.test\", \"b.test:80\"]\n"));
}

TEST_F(TreeSettings, WhatIsOutOfRangeOrUnknownIsNamed) {
  EXPECT_THAT(refusal("uploads.max_bytes", "0"), HasSubstr("uploads.max_bytes"));
  EXPECT_THAT(refusal("uploads.max_depth", "513"), HasSubstr("uploads.max_depth"));
  EXPECT_THAT(refusal("git.file_roots", "relative"), HasSubstr("absolute paths"));
  EXPECT_THAT(refusal("git.http_hosts", ""), HasSubstr("hosts"));
  EXPECT_FALSE(is_tree_setting("uploads.other"));
  EXPECT_FALSE(is_tree_setting("git.credentials.h.test.password"));
  EXPECT_FALSE(is_tree_setting("git.credentials.username"));
  EXPECT_TRUE(is_tree_list("git.https_hosts"));
  EXPECT_FALSE(is_tree_list("git.max_bytes"));
}

TEST_F(TreeSettings, ACredentialIsMadeOfANameAndATokenAndNeverPrinted) {
  const auto file = ::testing::TempDir() + "/git-token";
  std::ofstream(file) << "from-file\n";
  set("git.credentials.h.test:8443.username", "robot");
  set("git.credentials.h.test:8443.token_file", file);
  set("git.credentials.other.test.username", "robot");
  set("git.credentials.other.test.token_env", "GIT_TOKEN");
  ASSERT_TRUE(settle());
  EXPECT_EQ(config_.git.fetching.credentials.at("h.test:8443"), "cm9ib3Q6ZnJvbS1maWxl");
  EXPECT_EQ(config_.git.fetching.credentials.at("other.test"), "cm9ib3Q6ZnJvbS1lbnY=");
  EXPECT_THAT(print_tree_config(config_), Not(HasSubstr("from-")));
  EXPECT_THAT(print_tree_config(config_), HasSubstr("[git.credentials.\"h.test:8443\"]"));
}

std::string written(const std::string& name, const std::string& text) {
  const auto path = ::testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

TEST_F(TreeSettings, AKeyForSshIsTakenWithItsKnownHostsAndNeverPrinted) {
  const auto key =
      written("ssh-key", "-----BEGIN OPENSSH PRIVATE KEY-----\nword\n-----END OPENSSH PRIVATE KEY-----\n");
  const auto hosts = written("ssh-hosts", "h.test ssh-ed25519 AAAA a@b\n");
  set("git.ssh.h.test:2222.key_file", key);
  set("git.ssh.h.test:2222.known_hosts_file", hosts);
  ASSERT_TRUE(settle());
  EXPECT_EQ(config_.git.fetching.ssh.at("h.test:2222").known_hosts, "h.test ssh-ed25519 AAAA a@b\n");
  EXPECT_THAT(config_.git.fetching.ssh.at("h.test:2222").key, StartsWith("LS0tLS1CRUdJTi"));
  EXPECT_THAT(print_tree_config(config_), HasSubstr("[git.ssh.\"h.test:2222\"]\n# key: [REDACTED]"));
  EXPECT_THAT(print_tree_config(config_), Not(HasSubstr("AAAA")));
}

TEST_F(TreeSettings, WithoutAHostKeyToCompareThereIsNoSsh) {
  const auto key = written("ssh-key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
  set("git.ssh.h.test.key_file", key);
  EXPECT_THAT(settle().error().message, HasSubstr("known_hosts_file"));
  for (const auto* hosts : {"", "h.test ssh-rsa AAAA\n", "@revoked h.test ssh-ed25519 AAAA\n"}) {
    set("git.ssh.h.test.known_hosts_file", written("ssh-hosts", hosts));
    EXPECT_FALSE(settle()) << hosts;
  }
  set("git.ssh.h.test.known_hosts_file", written("ssh-hosts", "h.test ssh-ed25519 AAAA\n"));
  EXPECT_TRUE(settle());
  for (const auto& wrong : {std::string("no key"), "PRIVATE KEY-----" + std::string(5000, 'x')}) {
    set("git.ssh.h.test.key_file", written("ssh-key", wrong));
    EXPECT_FALSE(settle());
  }
  EXPECT_NE(refusal("git.ssh.h.test.key_file", "/nowhere/key"), "taken");
}

TEST_F(TreeSettings, HalfACredentialIsAnError) {
  set("git.credentials.h.test.username", "robot");
  EXPECT_THAT(settle().error().message, HasSubstr("h.test"));
  set("git.credentials.h.test.token_env", "NOT_SET");
  EXPECT_FALSE(settle());
  EXPECT_THAT(refusal("git.credentials.h.test.username", "a:b"), HasSubstr("colon"));
  EXPECT_NE(refusal("git.credentials.h.test.token_file", "/nowhere/token"), "taken");
}

TEST(Repositories, AnAddressThatIsNotPublicIsRefusedUnlessItIsNamed) {
  workspace::GitRules rules;
  const auto reason = [&](const std::string& url) {
    const auto admitted = admit_source({.url = url}, rules);
    return admitted ? "admitted" : admitted.error().reason + ": " + admitted.error().message;
  };
  for (const auto* url : {"https://127.0.0.1/x.git", "https://10.1.2.3/x", "https://169.254.169.254/x",
                          "https://[::1]/x", "https://[fd00::1]:8443/x", "https://[::ffff:127.0.0.1]/x"}) {
    EXPECT_THAT(reason(url), StartsWith("workspace_forbidden: ")) << url;
    EXPECT_THAT(reason(url), HasSubstr("not public")) << url;
  }
  EXPECT_THAT(reason("https://[::1/x"), StartsWith("workspace_forbidden: "));
  EXPECT_THAT(reason("https://h.test:99999/x"), HasSubstr("port"));
  EXPECT_EQ(reason("https://h.test/x"), "admitted");
  EXPECT_EQ(reason("https://93.184.215.14/x"), "admitted");
  rules.https_hosts = {"127.0.0.1", "[::1]"};
  EXPECT_EQ(reason("https://127.0.0.1/x.git"), "admitted");
  EXPECT_EQ(reason("https://[::1]/x"), "admitted");
}

}  // namespace
}  // namespace agentrouter::apps
