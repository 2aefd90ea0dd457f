#include "apps/egress_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "egress/authority.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class EgressSettings : public ::testing::Test {
 protected:
  void set(const std::string& key, std::vector<std::string> values) {
    ASSERT_TRUE(is_egress_setting(key)) << key;
    const auto done = set_egress(config_, {key, std::move(values)});
    ASSERT_TRUE(done) << done.error().message;
  }
  void secret(const std::string& name, const std::string& host, const std::string& variable = "TOKEN") {
    set("secrets." + name + ".host", {host});
    set("secrets." + name + ".value_env", {variable});
  }
  std::string finished() {
    const auto done = finish_egress(config_, environment_);
    return done ? "" : done.error().message;
  }
  std::string refusal(const std::string& key, const std::string& text) {
    const auto done = set_egress(config_, {key, {text}});
    return done ? "taken" : done.error().message;
  }

  Environment environment_{{{"TOKEN", "token-of-this-test"}}};
  EgressConfig config_;
};

TEST_F(EgressSettings, ASecretBecomesTheValueOfAField) {
  secret("github", "api.github.com");
  secret("header", "api.example.test:8443");
  set("secrets.header.header", {"X-Api-Key"});
  set("secrets.header.methods", {"GET", "POST"});
  set("secrets.header.paths", {"/v1/**"});
  secret("quoted", "c.test");
  set("secrets.quoted.format", {"Token token=\"{value}\""});
  secret("basic", "git.test");
  set("secrets.basic.user", {"x-access-token"});
  ASSERT_EQ(finished(), "");
  const auto& all = config_.plan.secrets;
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].header, "authorization");
  EXPECT_EQ(all[0].field, "Bearer token-of-this-test");
  EXPECT_EQ(all[0].plain, "");
  EXPECT_EQ(all[1].field, "token-of-this-test");
  EXPECT_THAT(all[1].methods, ElementsAre("GET", "POST"));
  EXPECT_EQ(all[2].field, "Token token=\"token-of-this-test\"");
  EXPECT_EQ(all[2].plain, "token-of-this-test");
  EXPECT_EQ(all[3].field, "Basic eC1hY2Nlc3MtdG9rZW46dG9rZW4tb2YtdGhpcy10ZXN0");
  EXPECT_EQ(all[3].plain, "token-of-this-test");
}

TEST_F(EgressSettings, AValueMayBeInAFile) {
  const testing::TempDir folder;
  const auto path = folder.path() / "token";
  std::ofstream(path) << "value-of-the-file\n";
  set("secrets.a.host", {"a.test"});
  set("secrets.a.value_file", {path.string()});
  ASSERT_EQ(finished(), "");
  EXPECT_EQ(config_.plan.secrets[0].field, "Bearer value-of-the-file");
  EXPECT_THAT(refusal("secrets.a.value_file", "/nonexistent"), HasSubstr("/nonexistent"));
}

TEST_F(EgressSettings, AreShownWithoutTheirValues) {
  secret("github", "api.github.com");
  set("egress.private_hosts", {"git.internal:8443"});
  ASSERT_EQ(finished(), "");
  const auto text = print_egress(config_);
  EXPECT_THAT(text, HasSubstr("private_hosts = ['git.internal:8443']"));
  EXPECT_THAT(text, HasSubstr("[secrets.github]\nhost = 'api.github.com'"));
  EXPECT_THAT(text, HasSubstr("# value: [REDACTED]"));
  EXPECT_THAT(text, Not(HasSubstr("token-of-this-test")));
}

TEST_F(EgressSettings, RefusalsSayWhatIsWanted) {
  EXPECT_THAT(refusal("secrets.Big.host", "a.test"), HasSubstr("no name of a secret"));
  EXPECT_THAT(refusal("secrets.a", "x"), HasSubstr("no name of a secret"));
  EXPECT_THAT(refusal("secrets.a.value", "x"), HasSubstr("want value_file or value_env"));
  EXPECT_THAT(refusal("egress.private_hosts", "https://a.test"), HasSubstr("want \"host\""));
  EXPECT_FALSE(is_egress_setting("egress.other"));
}

TEST_F(EgressSettings, ASecretWithoutPlaceOrValueIsRefused) {
  const auto refused = [&](const std::string& key, const std::string& value) {
    config_ = {};
    secret("a", "a.test");
    std::ignore = set_egress(config_, {"secrets.a." + key, {value}});
    return finished();
  };
  EXPECT_THAT(refused("host", ""), HasSubstr("secrets.a: host: want"));
  EXPECT_THAT(refused("host", "*.a.test"), HasSubstr("host: want"));
  EXPECT_THAT(refused("host", "https://a.test"), HasSubstr("host: want"));
  EXPECT_THAT(refused("value_env", "UNSET"), HasSubstr("it has no value"));
  EXPECT_THAT(refused("methods", "get"), HasSubstr("methods: want"));
  EXPECT_THAT(refused("paths", "v1"), HasSubstr("paths: want"));
  EXPECT_THAT(refused("header", "Host"), HasSubstr("none that can be set"));
  EXPECT_THAT(refused("header", "a b"), HasSubstr("none that can be set"));
  EXPECT_THAT(refused("format", "Bearer"), HasSubstr("{value}"));
  EXPECT_THAT(refused("format", "{value}{value}"), HasSubstr("once"));
  EXPECT_THAT(refused("user", "a:b"), HasSubstr("without a colon"));
  environment_ = Environment({{"TOKEN", "line\nbreak"}});
  EXPECT_THAT(refused("paths", "/"), HasSubstr("its value"));
}

TEST_F(EgressSettings, AFileOfCertificatesHasToHoldSome) {
  const testing::TempDir folder;
  const auto path = folder.path() / "ca.pem";
  std::ofstream(path) << "nothing\n";
  set("egress.ca_file", {path.string()});
  EXPECT_THAT(finished(), HasSubstr("holds no certificate"));
  std::ofstream(path) << "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(finished(), HasSubstr("cannot read certificates"));
  std::ofstream(path) << base::value_or_throw(egress::make_authority("run_x")).certificate;
  EXPECT_EQ(finished(), "");
  set("egress.ca_file", {"/nonexistent.pem"});
  EXPECT_THAT(finished(), HasSubstr("egress.ca_file"));
}

TEST_F(EgressSettings, APolicyThatNamesAnUnknownSecretIsRefused) {
  secret("github", "a.test");
  ASSERT_EQ(finished(), "");
  const auto rules = [](const char* name) {
    const json::object rule{{"host", "a.test"}, {"secret", name}};
    return base::value_or_throw(policy::Rules::parse({{"name", "p"}, {"egress", json::array{rule}}}));
  };
  EXPECT_TRUE(check_secrets(rules("github"), config_));
  const auto refused = check_secrets(rules("gitlab"), config_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::invalid);
  EXPECT_EQ(refused.error().reason, "secret_unknown");
}

}  // namespace
}  // namespace agentrouter::apps
