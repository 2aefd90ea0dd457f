#include "policy/egress_rules.h"

#include <gmock/gmock.h>

#include "policy/egress_path.h"
#include "policy/rules.h"

namespace agentrouter::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

json::value value_of(std::string_view text) { return base::value_or_throw(base::parse_json(text)); }

EgressRules egress_of(std::string_view list, std::string_view id = "p") {
  return base::value_or_throw(EgressRules::parse(value_of(list), id));
}

Rules policy_of(std::string_view text) { return base::value_or_throw(Rules::parse(value_of(text).as_object())); }

EgressRequest get(std::string host, std::string path = "/") {
  return {.host = std::move(host), .method = "GET", .path = std::move(path)};
}

EgressRequest connection(std::string host, std::uint16_t port = 443, EgressScheme scheme = EgressScheme::https) {
  return {.host = std::move(host), .port = port, .scheme = scheme};
}

Decision decided(const EgressRules& rules, const EgressRequest& request) { return rules.judge(request).decision; }

std::string refused(std::string_view list) {
  const auto rules = EgressRules::parse(value_of(list), "p");
  return rules ? "" : rules.error().message;
}

TEST(EgressRules, NothingIsReachableThatNoRuleAllows) {
  EXPECT_EQ(decided(EgressRules(), get("a.test")), Decision::blocked);
  const auto rules = egress_of(R"([{"host": "a.test"}])");
  EXPECT_EQ(decided(rules, get("a.test")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("b.test")), Decision::blocked);
  EXPECT_EQ(rules.judge(get("b.test")).rule_id, "default");
  EXPECT_EQ(decided(rules, connection("a.test", 8443)), Decision::blocked);
  EXPECT_EQ(decided(rules, connection("a.test", 80, EgressScheme::http)), Decision::blocked);
  EXPECT_EQ(decided(rules, connection("a.test", 443, EgressScheme::tcp)), Decision::blocked);
  EXPECT_FALSE(rules.knows_host("b.test"));
  EXPECT_TRUE(rules.knows_host("a.test"));
}

TEST(EgressRules, TheFirstRuleThatMatchesCounts) {
  const auto rules = egress_of(R"([
    {"id": "no-admin", "host": "a.test", "path": "/admin/**", "verdict": "deny", "reason": "not these"},
    {"id": "writes", "host": "a.test", "method": ["post", "PUT"], "verdict": "ask"},
    {"id": "rest", "host": "a.test"}])");
  EXPECT_EQ(rules.judge(get("a.test", "/admin/x")).reason, "not these");
  EXPECT_EQ(decided(rules, get("a.test", "/admin")), Decision::blocked);
  EXPECT_EQ(rules.judge({.host = "a.test", .method = "POST", .path = "/x"}).rule_id, "writes");
  EXPECT_EQ(rules.judge({.host = "a.test", .method = "POST", .path = "/x"}).decision, Decision::requires_approval);
  EXPECT_EQ(rules.judge(get("a.test", "/x")).rule_id, "rest");
}

TEST(EgressRules, AWildcardIsAnyNameBelowAndNotTheNameItself) {
  const auto rules = egress_of(R"([{"host": ["*.example.com", "b.test"]}])");
  EXPECT_EQ(decided(rules, get("a.example.com")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("x.a.example.com")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("example.com")), Decision::blocked);
  EXPECT_EQ(decided(rules, get("badexample.com")), Decision::blocked);
  EXPECT_EQ(decided(rules, get("a.example.com.evil.test")), Decision::blocked);
  EXPECT_EQ(decided(egress_of(R"([{"host": "*"}])"), get("192.0.2.1")), Decision::blocked);
  EXPECT_EQ(decided(egress_of(R"([{"host": "*"}])"), get("any.test")), Decision::allowed);
}

TEST(EgressRules, HostsAreComparedInLowerCaseAndInOneForm) {
  const auto rules = egress_of(R"([{"host": ["Example.COM", "192.0.2.7"]}])");
  EXPECT_EQ(decided(rules, get("EXAMPLE.com")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("192.0.2.7")), Decision::allowed);
  for (const char* odd : {"example.com.", "192.0.2.07", "3221225991", "0xc0000207", "192.0.519", "example.com:443",
                          "user@example.com", "ex\xc3\xa4mple.com", "", "a..b", "-a.test", "[::1]", "example.com%00"})
    EXPECT_EQ(decided(rules, get(odd)), Decision::blocked) << odd;
}

TEST(EgressRules, WhatServersMayReadDifferentlyIsBlocked) {
  const auto rules = egress_of(R"([{"host": "a.test", "path": "/team/**"}, {"host": "any.test"}])");
  EXPECT_EQ(decided(rules, get("a.test", "/team/x%20y")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("a.test", "/%74eam/x")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("a.test", "/TEAM/x")), Decision::blocked);
  for (const char* odd : {"/team/../admin", "/team/%2e%2e/admin", "/team/.%2E/x", "/team/./x", "/team/..;/admin",
                          "/team\\..\\admin", "/team/%5c..", "/team/%00", "/team/%0a", "/team/%zz", "/team/%2",
                          "/team/%252e%252e/admin", "team/x", "", "*"}) {
    EXPECT_EQ(decided(rules, get("a.test", odd)), Decision::blocked) << odd;
    EXPECT_EQ(decided(rules, get("any.test", odd)), Decision::blocked) << odd;
  }
  // Of npm's names: matters only where a rule is about paths.
  EXPECT_EQ(decided(rules, get("a.test", "/team/@a%2fb")), Decision::blocked);
  EXPECT_EQ(decided(rules, get("any.test", "/@a%2fb")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("a.test", "/team//x")), Decision::blocked);
  EXPECT_EQ(decided(rules, get("any.test", "//x")), Decision::allowed);
  EXPECT_EQ(decided(rules, get("a.test", "/team/x;v=1")), Decision::blocked);
  EXPECT_EQ(decided(rules, get("any.test", "/x;v=1")), Decision::allowed);
}

TEST(EgressRules, ADeniedPathIsNotPassedByParametersOrEmptyNames) {
  const auto rules =
      egress_of(R"([{"host": "a.test", "path": "/admin/**", "verdict": "deny"}, {"host": "a.test"}])");
  EXPECT_EQ(decided(rules, get("a.test", "/other")), Decision::allowed);
  for (const char* odd :
       {"/admin/x", "/admin;v=1/x", "/admin/;x", "//admin/x", "/%2fadmin/x", "/admin%3bv=1/x"})
    EXPECT_EQ(decided(rules, get("a.test", odd)), Decision::blocked) << odd;
}

TEST(EgressRules, AConnectionIsLookedIntoWhereARuleNeedsItsRequests) {
  const auto rules = egress_of(R"([
    {"id": "carried", "host": "a.test"},
    {"id": "seen", "host": "b.test", "method": "GET"},
    {"id": "keyed", "host": "c.test", "secret": "github"},
    {"id": "never", "host": "d.test", "method": "GET", "verdict": "deny"},
    {"id": "deny-first", "host": "e.test", "method": "POST", "verdict": "deny"}, {"host": "e.test", "verdict": "ask"},
    {"id": "clear", "host": "f.test", "scheme": "http", "method": "GET"}])");
  EXPECT_FALSE(rules.judge(connection("a.test")).inspect);
  EXPECT_EQ(decided(rules, connection("a.test")), Decision::allowed);
  EXPECT_TRUE(rules.judge(connection("b.test")).inspect);
  EXPECT_EQ(decided(rules, connection("b.test")), Decision::allowed);
  EXPECT_TRUE(rules.judge(connection("c.test")).inspect);
  EXPECT_EQ(rules.judge(connection("c.test")).secret, "");
  EXPECT_EQ(rules.judge(get("c.test")).secret, "github");
  EXPECT_EQ(decided(rules, connection("d.test")), Decision::blocked);
  EXPECT_FALSE(rules.judge(connection("d.test")).inspect);
  EXPECT_TRUE(rules.judge(connection("e.test")).inspect);
  EXPECT_EQ(decided(rules, connection("e.test")), Decision::requires_approval);
  EXPECT_FALSE(rules.judge(connection("f.test", 80, EgressScheme::http)).inspect);
  EXPECT_TRUE(rules.inspects());
  EXPECT_FALSE(egress_of(R"([{"host": "a.test"}])").inspects());
  EXPECT_THAT(rules.secrets(), ElementsAre("github"));
}

TEST(EgressRules, PortsAreWhatSomeRuleOpens) {
  const auto rules = egress_of(R"([
    {"host": "a.test"}, {"host": "b.test", "scheme": "http"}, {"host": "c.test", "scheme": "tcp", "port": [22, 5432]},
    {"host": "d.test", "verdict": "deny", "port": 9999}])");
  EXPECT_THAT(rules.ports(), ElementsAre(22, 80, 443, 5432));
  EXPECT_THAT(EgressRules().ports(), IsEmpty());
  EXPECT_THAT(tightened(rules, egress_of(R"([{"host": "x.test"}])")).ports(), ElementsAre(443));
  EXPECT_EQ(decided(rules, connection("c.test", 22, EgressScheme::tcp)), Decision::allowed);
}

TEST(EgressRules, ADenialIsOfEveryPortAndScheme) {
  const auto rules = egress_of(R"([
    {"host": "bad.example.com", "verdict": "deny"}, {"host": "*.example.com", "scheme": "tcp", "port": 22}])");
  EXPECT_EQ(decided(rules, connection("bad.example.com", 22, EgressScheme::tcp)), Decision::blocked);
  EXPECT_EQ(decided(rules, connection("good.example.com", 22, EgressScheme::tcp)), Decision::allowed);
  EXPECT_FALSE(rules.knows_host("bad.example.com"));
  EXPECT_TRUE(rules.knows_host("good.example.com"));
}

TEST(EgressRules, OfSeveralPoliciesAllMustAgree) {
  const auto server = egress_of(R"([{"host": "a.test", "secret": "k"}, {"host": "b.test"}])", "server");
  const auto caller = egress_of(R"([{"host": "a.test", "method": "GET", "verdict": "ask", "secret": "k"},
                                    {"host": "c.test"}])", "caller");
  const auto both = tightened(server, caller);
  EXPECT_EQ(both.judge(get("a.test")).decision, Decision::requires_approval);
  EXPECT_EQ(both.judge(get("a.test")).policy_id, "caller");
  EXPECT_EQ(both.judge(get("a.test")).secret, "k");
  EXPECT_EQ(both.judge({.host = "a.test", .method = "POST", .path = "/"}).decision, Decision::blocked);
  EXPECT_EQ(decided(both, get("b.test")), Decision::blocked);
  EXPECT_EQ(decided(both, get("c.test")), Decision::blocked);
  EXPECT_FALSE(both.knows_host("b.test"));
  EXPECT_TRUE(both.judge(connection("a.test")).inspect);
  EXPECT_TRUE(tightened(server, EgressRules()).empty());
  EXPECT_TRUE(tightened(EgressRules(), caller).empty());
}

TEST(EgressRules, ASecretIsAddedOnlyWhereAllNameTheSame) {
  const auto one = egress_of(R"([{"host": "a.test", "secret": "k"}])", "one");
  const auto none = egress_of(R"([{"host": "a.test"}])", "none");
  const auto other = egress_of(R"([{"host": "a.test", "secret": "q"}])", "other");
  EXPECT_EQ(tightened(one, none).judge(get("a.test")).secret, "");
  EXPECT_EQ(tightened(one, none).judge(get("a.test")).decision, Decision::allowed);
  EXPECT_EQ(tightened(one, other).judge(get("a.test")).decision, Decision::blocked);
  EXPECT_THAT(tightened(one, other).judge(get("a.test")).reason, HasSubstr("different secrets"));
}

TEST(EgressRules, ADryRunOpensNothingAndSaysWhatItWouldHave) {
  const auto rules = policy_of(R"({"name": "p", "mode": "dry-run", "egress": [{"host": "a.test"}]})");
  EXPECT_EQ(rules.egress().judge(get("a.test")).decision, Decision::blocked);
  EXPECT_THAT(rules.egress().judge(get("a.test")).reason, HasSubstr("it would have been allowed"));
  EXPECT_THAT(rules.egress().ports(), IsEmpty());
  EXPECT_FALSE(rules.egress().knows_host("a.test"));
  EXPECT_FALSE(rules.inspects());
}

TEST(EgressRules, RefusalsNameTheRuleTheKeyAndWhatIsWanted) {
  EXPECT_THAT(refused(R"({"host": "a"})"), HasSubstr("egress: want a list"));
  EXPECT_THAT(refused(R"(["a"])"), HasSubstr("egress rule 1: want a table"));
  EXPECT_THAT(refused(R"([{"id": "x"}])"), HasSubstr("egress rule 1 (x): want a host"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "hots": 1}])"), HasSubstr("unknown key \"hots\""));
  EXPECT_THAT(refused(R"([{"host": "a.test", "port": 0}])"), HasSubstr("egress rule 1.port: want a number"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "port": 65536}])"), HasSubstr("1 to 65535"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "port": []}])"), HasSubstr(".port"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "scheme": "ftp"}])"), HasSubstr("\"https\", \"http\" or \"tcp\""));
  EXPECT_THAT(refused(R"([{"host": "a.test", "scheme": "tcp"}])"), HasSubstr("want the ports"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "scheme": "tcp", "port": 22, "method": "GET"}])"),
              HasSubstr("tcp is not looked into"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "scheme": "http", "secret": "k"}])"), HasSubstr("only sent over https"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "verdict": "deny", "secret": "k"}])"), HasSubstr(".secret"));
  EXPECT_THAT(refused(R"([{"host": "*.a.test", "secret": "k"}])"), HasSubstr("bound to a host"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "path": "team/**"}])"), HasSubstr("is no path"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "path": "/a/../b"}])"), HasSubstr("is no path"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "path": "/a%20b"}])"), HasSubstr("is no path"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "method": "GE T"}])"), HasSubstr("is no method"));
  EXPECT_THAT(refused(R"([{"host": "a.test", "verdict": "maybe"}])"), HasSubstr(".verdict: want"));
  EXPECT_THAT(refused(R"([{"id": "x", "host": "a.test"}, {"id": "x", "host": "b.test"}])"), HasSubstr("each once"));
  for (const char* host : {"https://a.test", "a.test:443", "a.test.", "a.*.test", "*a.test", "1.2.3", "0x7f.1", "::1", "a b"})
    EXPECT_THAT(refused(R"([{"host": ")" + std::string(host) + R"("}])"), HasSubstr("is no host")) << host;
  EXPECT_THAT(refused("[{\"host\": \"b\xc3\xbc""cher.test\"}]"), HasSubstr("xn-- form"));
}

TEST(EgressRules, TooManyRulesOrPortsAreRefused) {
  json::array rules;
  for (int i = 0; i < 257; ++i) rules.push_back({{"host", "a.test"}});
  EXPECT_THAT(refused(base::to_text(rules)), HasSubstr("at most 256"));
  json::array ports;
  for (int i = 1; i <= 17; ++i) ports.push_back({{"host", "a.test"}, {"scheme", "tcp"}, {"port", i}});
  EXPECT_THAT(refused(base::to_text(ports)), HasSubstr("at most 16 different ports"));
}

TEST(EgressRules, APolicyOfNothingElseGatesNoAction) {
  const auto rules = policy_of(R"({"name": "web", "egress": [{"host": "a.test"}], "no_progress": {}})");
  EXPECT_FALSE(rules.judges_actions());
  EXPECT_EQ(rules.judge_egress(get("a.test"), {}).decision, Decision::allowed);
  const auto both = tightened(rules, policy_of(R"({"name": "q", "default": "allow"})"));
  EXPECT_EQ(both.judge_egress(get("a.test"), {}).decision, Decision::blocked);
  EXPECT_TRUE(both.judges_actions());
  const auto whole = policy_of(base::to_text(both.document()));
  EXPECT_TRUE(whole.egress().empty());
}

TEST(EgressRules, RulesAboutTheNetworkCountAndADefaultDoesNot) {
  const auto rules = policy_of(R"({"name": "p", "default": "deny", "egress": [{"id": "all", "host": "*.test"}],
    "rules": [{"id": "ask-b", "tool": "network", "host": "b.test", "verdict": "ask"},
              {"id": "no-c", "tool": "network", "host": "c.test", "verdict": "deny"},
              {"id": "no-posts", "tool": "network", "host": "d.test", "method": "POST", "verdict": "deny"},
              {"id": "lets", "tool": "network", "host": "out.example", "verdict": "allow"}]})");
  EXPECT_EQ(rules.judge_egress(connection("a.test"), {}).rule_id, "all");
  EXPECT_EQ(rules.judge_egress(connection("b.test"), {}).rule_id, "ask-b");
  EXPECT_EQ(rules.judge_egress(connection("c.test"), {}).decision, Decision::blocked);
  EXPECT_EQ(rules.judge_egress(connection("out.example"), {}).decision, Decision::blocked);
  EXPECT_FALSE(rules.judge_egress(connection("a.test"), {}).inspect);
  // What a rule about methods refuses cannot be seen in what is only carried.
  EXPECT_TRUE(rules.judge_egress(connection("d.test"), {}).inspect);
  EXPECT_EQ(rules.judge_egress({.host = "d.test", .method = "POST", .path = "/"}, {}).decision, Decision::blocked);
  EXPECT_EQ(rules.judge_egress(get("d.test"), {}).decision, Decision::allowed);
  EXPECT_TRUE(rules.inspects());
  EXPECT_FALSE(rules.egress().inspects());
}

TEST(EgressRules, AParentsRulesComeBehindOurs) {
  const auto child = value_of(R"({"name": "c", "egress": [{"id": "no", "host": "a.test", "verdict": "deny"}]})");
  const auto parent = value_of(R"({"name": "web", "egress": [{"id": "yes", "host": "*.test"}]})");
  const auto rules = policy_of(base::to_text(inherited(child.as_object(), parent.as_object())));
  EXPECT_EQ(rules.egress().judge(get("a.test")).rule_id, "no");
  EXPECT_EQ(rules.egress().judge(get("b.test")).rule_id, "web/yes");
}

}  // namespace
}  // namespace agentrouter::policy
