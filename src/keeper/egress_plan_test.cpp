#include "keeper/egress_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fd.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

EgressPlan server_plan() {
  EgressPlan plan;
  plan.secrets = {{.name = "github", .host = "api.github.com", .methods = {"GET"}, .paths = {"/repos/**"},
                   .header = "authorization", .field = "Bearer gh-secret-value"},
                  {.name = "git", .host = "git.example.test:8443", .header = "authorization",
                   .field = "Basic eDpnaXQtc2VjcmV0", .plain = "git-secret"}};
  plan.private_hosts = {"git.example.test"};
  plan.ca_certificates = "-----BEGIN CERTIFICATE-----\n";
  return plan;
}

policy::Rules rules_of(std::string_view text) {
  return base::value_or_throw(policy::Rules::parse(base::value_or_throw(base::parse_json(text)).as_object()));
}

base::Fd pipe_with(std::string_view bytes) {
  auto pipe = base::value_or_throw(base::make_pipe());
  EXPECT_TRUE(base::write_all(pipe.second.get(), bytes));
  return std::move(pipe.first);
}

TEST(EgressPlan, ARunGetsTheSecretsThatItsRulesNameAndNoOther) {
  const auto rules = rules_of(R"({"name": "p", "egress": [{"host": "git.example.test", "secret": "git"}]})");
  const auto plan = plan_for(rules, server_plan());
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->secrets.size(), 1u);
  EXPECT_EQ(plan->secrets[0].name, "git");
  EXPECT_THAT(plan->private_hosts, ElementsAre("git.example.test"));
  const auto shut = plan_for(rules_of(R"({"name": "p", "default": "allow"})"), server_plan());
  EXPECT_TRUE(shut->secrets.empty());
  EXPECT_TRUE(shut->private_hosts.empty());
  EXPECT_TRUE(shut->ca_certificates.empty());
}

TEST(EgressPlan, ASecretThatTheServerDoesNotHaveIsNamed) {
  const auto plan = plan_for(rules_of(R"({"name": "p", "egress": [{"host": "a.test", "secret": "lost"}]})"),
                             server_plan());
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().reason, "secret_unknown");
  EXPECT_THAT(plan.error().message, HasSubstr("[secrets.lost]"));
  EXPECT_EQ(plan.error().details, R"({"name":"lost"})");
}

TEST(EgressPlan, ValuesAreNoPartOfItsText) {
  const auto text = base::to_text(server_plan().to_json());
  for (const auto* value : {"gh-secret-value", "eDpnaXQtc2VjcmV0", "git-secret"}) EXPECT_THAT(text, Not(HasSubstr(value)));
  const auto plan = base::value_or_throw(EgressPlan::from_json(base::value_or_throw(base::parse_json(text)).as_object()));
  EXPECT_EQ(base::to_text(plan.to_json()), text);
  const auto stream = pipe_with(server_plan().values());
  const auto secrets = EgressSecrets::read_from(stream.get(), plan);
  ASSERT_TRUE(secrets) << secrets.error().message;
  ASSERT_EQ(secrets->secrets.size(), 2u);
  EXPECT_EQ(secrets->secrets[0].field.view(), "Bearer gh-secret-value");
  EXPECT_FALSE(secrets->secrets[0].plain);
  EXPECT_EQ(secrets->secrets[1].plain->view(), "git-secret");
  for (const auto* hidden : {"Bearer gh-secret-value", "gh-secret-value", "eDpnaXQtc2VjcmV0", "git-secret"})
    EXPECT_THAT(secrets->views(), Contains(hidden));
}

TEST(EgressPlan, TheAuthoritysKeyComesLastAndIsHidden) {
  EgressPlan plan;
  ASSERT_TRUE(give_authority(plan, "run_x"));
  EXPECT_THAT(plan.authority, HasSubstr("BEGIN CERTIFICATE"));
  const auto text = base::to_text(plan.to_json());
  EXPECT_THAT(text, Not(HasSubstr("PRIVATE KEY")));
  const auto received = base::value_or_throw(EgressPlan::from_json(base::value_or_throw(base::parse_json(text)).as_object()));
  const auto stream = pipe_with(plan.values());
  const auto secrets = EgressSecrets::read_from(stream.get(), received);
  ASSERT_TRUE(secrets) << secrets.error().message;
  EXPECT_NE(secrets->authority, nullptr);
  ASSERT_EQ(secrets->views().size(), 1u);
  EXPECT_THAT(plan.authority_key, HasSubstr(std::string(secrets->views()[0])));
}

TEST(EgressPlan, WhatIsCutOrMakesNoSenseIsRefused) {
  auto plan = server_plan();
  const auto values = plan.values();
  const auto received = base::value_or_throw(EgressPlan::from_json(plan.to_json()));
  for (std::size_t cut = 0; cut < values.size(); cut += 7) {
    const auto stream = pipe_with(values.substr(0, cut));
    EXPECT_FALSE(EgressSecrets::read_from(stream.get(), received)) << cut;
  }
  plan.secrets.assign(EgressPlan::max_secrets + 1, server_plan().secrets[0]);
  EXPECT_FALSE(EgressPlan::from_json(plan.to_json()));
  auto json = server_plan().to_json();
  json["authorityKeyBytes"] = 10;
  EXPECT_FALSE(EgressPlan::from_json(json));
  EXPECT_FALSE(EgressPlan::from_json({}));
}

}  // namespace
}  // namespace agentrouter::keeper
