#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/body.h"

namespace agentrouter::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

base::Result<CreateBody> parse(const std::string& text) {
  return parse_create_body(base::value_or_throw(base::parse_json(text)));
}

std::string reason_of(const std::string& text) {
  const auto body = parse(text);
  return body ? "" : body.error().reason;
}

TEST(CreateBody, TagsAndTheApprovalTimeoutAreTakenAsTheyCome) {
  const auto body =
      parse(R"({"task":" t ","tags":{"z":" v ","a/b":""},"approvalTimeoutSeconds":60})").value();
  EXPECT_THAT(body.tags, ElementsAre(Pair("a/b", ""), Pair("z", " v ")));
  EXPECT_EQ(body.approval_timeout, std::chrono::seconds(60));
  EXPECT_EQ(body.input,
            R"({"task":"t","runtime":{"kind":"codex","mode":"default"},"tags":{"z":" v ","a/b":""},)"
            R"("approvalTimeoutSeconds":60})");
  EXPECT_EQ(parse(R"({"task":"t","approvalTimeoutSeconds":6.048e5})").value().approval_timeout,
            std::chrono::seconds(604'800));
  EXPECT_FALSE(parse(R"({"task":"t"})").value().approval_timeout);
}

TEST(CreateBody, TagsAndTheApprovalTimeoutHaveLimits) {
  std::string tags;
  for (int i = 0; i < 33; ++i) tags += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":\"v\"";
  const std::string many = R"({"task":"t","tags":{)" + tags + "}}";
  for (const auto& body : std::vector<std::string>{
           many, R"({"task":"t","tags":[]})", R"({"task":"t","tags":null})",
           R"({"task":"t","tags":{"":"v"}})", R"({"task":"t","tags":{"a b":"v"}})",
           R"({"task":"t","tags":{"a":1}})", R"({"task":"t","tags":{")" + std::string(65, 'k') + R"(":"v"}})",
           R"({"task":"t","tags":{"k":")" + std::string(257, 'v') + R"("}})",
           R"({"task":"t","approvalTimeoutSeconds":0})", R"({"task":"t","approvalTimeoutSeconds":604801})",
           R"({"task":"t","approvalTimeoutSeconds":1.5})", R"({"task":"t","approvalTimeoutSeconds":"1"})",
           R"({"task":"t","approvalTimeoutSeconds":1e300})",
           R"({"task":"t","approvalTimeoutSeconds":null})"}) {
    EXPECT_EQ(reason_of(body), "validation_error") << body;
  }
  EXPECT_EQ(reason_of(R"({"task":"t","tags":{")" + std::string(64, 'k') + R"(":")" + std::string(256, 'v') +
                      R"("},"approvalTimeoutSeconds":1})"),
            "");
}

TEST(CreateBody, OptionsThatThisVersionLacksAreRefusedByName) {
  for (const auto& [option, body] : std::vector<std::pair<std::string, std::string>>{
           {"workspace.artifactId", R"("workspace":{"artifactId":"x"})"}}) {
    const auto refused = parse(R"({"task":"t",)" + body + "}");
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().reason, "unsupported_option") << body;
    EXPECT_EQ(refused.error().details, R"({"option":")" + option + "\"}");
    EXPECT_THAT(refused.error().message, HasSubstr("\"" + option + "\" is not supported by this version"));
  }
}

TEST(CreateBody, AWorkspaceIsNamedInExactlyOneWay) {
  const auto upload = parse(R"({"task":"t","workspace":{"upload":{"id":" upload_1 "}}})");
  ASSERT_TRUE(upload);
  EXPECT_EQ(upload->workspace.kind, model::WorkspaceKind::upload);
  EXPECT_EQ(upload->workspace.upload_id, "upload_1");
  const auto git = parse(
      R"({"task":"t","workspace":{"git":{"url":" https://h.test/a ","ref":"v1","depth":2,"subdir":"s","lfs":false}}})");
  ASSERT_TRUE(git);
  EXPECT_EQ(git->workspace.git, (model::GitSource{"https://h.test/a", "v1", 2, "s"}));
  const auto with_all = parse(R"({"task":"t","workspace":{"git":{"url":"x","submodules":true,"lfs":true}}})");
  ASSERT_TRUE(with_all);
  EXPECT_TRUE(with_all->workspace.git.submodules);
  EXPECT_TRUE(with_all->workspace.git.lfs);
  const auto from = parse(R"({"task":"t","workspace":{"fromRun":{"runId":"run_1"}}})");
  ASSERT_TRUE(from);
  EXPECT_EQ(from->workspace.from_run, model::RunId("run_1"));
  EXPECT_EQ(parse(R"({"task":"t","workspace":{"path":"/a"}})")->workspace.path, "/a");
  EXPECT_EQ(parse(R"({"task":"t"})")->workspace, model::Workspace());
  for (const char* workspace : {"null",
                                "{}",
                                "[]",
                                R"({"path":"/a","upload":{"id":"x"}})",
                                R"({"path":1})",
                                R"({"path":""})",
                                R"({"path":"a"})",
                                R"({"upload":"x"})",
                                R"({"upload":{}})",
                                R"({"upload":{"id":""}})",
                                R"({"fromRun":"x"})",
                                R"({"fromRun":{}})",
                                R"({"fromRun":{"runId":""}})",
                                R"({"fromRun":{"runId":"x","turn":1}})",
                                R"({"git":"x"})",
                                R"({"git":{}})",
                                R"({"git":{"url":1}})",
                                R"({"git":{"url":""}})",
                                R"({"git":{"url":"x","depth":0}})",
                                R"({"git":{"url":"x","depth":"1"}})",
                                R"({"git":{"url":"x","ref":""}})",
                                R"({"git":{"url":"x","subdir":[]}})",
                                R"({"git":{"url":"x","lfs":1}})",
                                R"({"git":{"url":"x","submodules":"yes"}})",
                                R"({"git":{"url":"x","more":1}})",
                                R"({"git":{"url":"x"},"path":"/a"})",
                                R"({"upload":{"id":1}})",
                                R"({"upload":{"id":"x","more":1}})",
                                R"({"other":{}})"}) {
    EXPECT_EQ(reason_of(R"({"task":"t","workspace":)" + std::string(workspace) + "}"), "validation_error")
        << workspace;
  }
}

TEST(CreateBody, OptionsThatAskForWhatHappensAnywayAreKept) {
  const std::string text =
      R"({"task":"t","approvalScope":"run","requireIsolation":"process","waitForQuota":false})";
  EXPECT_THAT(parse(text).value().input,
              HasSubstr(R"("approvalScope":"run","requireIsolation":"process","waitForQuota":false)"));
  for (const char* body : {R"({"task":"t","approvalScope":"all"})", R"({"task":"t","approvalScope":null})",
                           R"({"task":"t","requireIsolation":7})", R"({"task":"t","requireIsolation":"box"})", R"({"task":"t","waitForQuota":"no"})"}) {
    EXPECT_EQ(reason_of(body), "validation_error") << body;
  }
}

TEST(CreateBody, TheScopeOfApprovalsIsKeptInTheInput) {
  EXPECT_THAT(parse(R"({"task":"t","approvalScope":"action"})").value().input,
              HasSubstr(R"("approvalScope":"action")"));
}

TEST(CreateBody, WaitingForQuotaIsKeptInTheInput) {
  EXPECT_THAT(parse(R"({"task":"t","waitForQuota":true})").value().input,
              HasSubstr(R"("waitForQuota":true)"));
}

TEST(CreateBody, NamesOfMcpServersAreTakenAsTheyCome) {
  const auto body = parse(R"({"task":"t","mcp":["b","a"]})").value();
  EXPECT_THAT(body.mcp, ElementsAre("b", "a"));
  EXPECT_THAT(body.input, HasSubstr(R"("mcp":["b","a"])"));
  EXPECT_TRUE(parse(R"({"task":"t","mcp":[]})").value().mcp.empty());
  std::string many;
  for (int i = 0; i < 17; ++i) many += (i ? ",\"s" : "\"s") + std::to_string(i) + "\"";
  for (const auto& text :
       std::vector<std::string>{R"("mcp":"a")", R"("mcp":null)", R"("mcp":{})", R"("mcp":[7])",
                                R"("mcp":[""])", R"("mcp":["a b"])", R"("mcp":["a","a"])",
                                "\"mcp\":[\"" + std::string(65, 'x') + "\"]", "\"mcp\":[" + many + "]"}) {
    EXPECT_EQ(reason_of("{\"task\":\"t\"," + text + "}"), "validation_error") << text;
  }
}

TEST(CreateBody, APolicyIsNamed) {
  EXPECT_EQ(parse(R"({"task":"t","policy":" ci-safe "})").value().policy, "ci-safe");
  EXPECT_THAT(parse(R"({"task":"t","policy":"ci-safe"})").value().input, HasSubstr(R"("policy":"ci-safe")"));
  EXPECT_EQ(parse(R"({"task":"t"})").value().policy, "");
  for (const auto& text : std::vector<std::string>{
           R"("policy":"")", R"("policy":null)", R"("policy":{})", R"("policy":"A")", R"("policy":"../a")",
           R"("policy":"a b")", "\"policy\":\"" + std::string(65, 'x') + "\""}) {
    EXPECT_EQ(reason_of("{\"task\":\"t\"," + text + "}"), "validation_error") << text;
  }
}

TEST(CreateBody, LimitsAreWholeNumbersAndCostInDollars) {
  const auto body = parse(R"({"task":"t","limits":{"maxWallSeconds":60,"maxTokens":5.0,"maxCostUsd":0.25,"maxActions":3}})");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->limits, (policy::RunLimits{.wall_seconds = 60, .tokens = 5, .cost = 250'000'000, .actions = 3}));
  EXPECT_THAT(body->input, HasSubstr(R"("limits":{"maxWallSeconds":60,"maxTokens":5,"maxCostUsd":2.5E-1)"));
  EXPECT_THAT(parse(R"({"task":"t","limits":{}})")->input, Not(HasSubstr("limits")));
  for (const char* limits :
       {"null", "[]", "1", R"({"maxTokens":0})", R"({"maxTokens":-1})", R"({"maxTokens":1.5})", R"({"maxTokens":"1"})",
        R"({"maxTokens":null})", R"({"maxTokens":1e30})", R"({"maxCostUsd":0})", R"({"maxCostUsd":-1})",
        R"({"maxCostUsd":1e7})", R"({"maxCostUsd":"1"})", R"({"maxCostUsd":1e-12})", R"({"maxWallSeconds":604801})",
        R"({"maxActions":true})", R"({"more":1})"}) {
    EXPECT_EQ(reason_of(std::string(R"({"task":"t","limits":)") + limits + "}"), "validation_error") << limits;
  }
}

TEST(CreateBody, ForeignKeysWinOverLaterOptionsAndBothOverFindings) {
  EXPECT_EQ(reason_of(R"({"workspace":{"artifactId":"x"},"tools":[]})"), "unsupported_tool_configuration");
  EXPECT_EQ(reason_of(R"({"workspace":{"artifactId":"x"}})"), "unsupported_option");
  EXPECT_EQ(reason_of(R"({"policies":"x"})"), "validation_error");
}

TEST(CreateBody, EachFindingSaysWhatWhereAndWhy) {
  const auto refused =
      parse(R"({"task":"","runtime":{"kind":"codex","mode":"x","y":1},"priority":101,"z":1})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(
      refused.error().details,
      R"({"issues":[)"
      R"({"origin":"string","code":"too_small","minimum":1,"inclusive":true,"path":["task"],)"
      R"("message":"Too small: expected string to have >=1 characters"},)"
      R"({"code":"unrecognized_keys","keys":["y"],"path":["runtime"],"message":"Unrecognized key: \"y\""},)"
      R"({"code":"invalid_value","values":["default","read_only","full_access","auto_review"],"path":["runtime","mode"],)"
      R"("message":"Invalid option: expected one of \"default\"|\"read_only\"|\"full_access\"|\"auto_review\""},)"
      R"({"origin":"number","code":"too_big","maximum":100,"inclusive":true,"path":["priority"],)"
      R"("message":"Too big: expected number to be <=100"},)"
      R"({"code":"unrecognized_keys","keys":["z"],"path":[],"message":"Unrecognized key: \"z\""}]})");
}

}  // namespace
}  // namespace agentrouter::api
