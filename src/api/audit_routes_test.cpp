// The audit chain over HTTP.

#include "api/rig_test.h"
#include "model/audit.h"

namespace agentrouter::api {

namespace {

class AuditRoutes : public ApiRig {};

TEST_F(AuditRoutes, TheChainIsReadPageByPageAndVerifies) {
  EXPECT_EQ(get("/v1/audit").body, R"({"items":[],"nextAfter":0,"head":null})");
  const auto run = created();
  append_claim(run);
  const auto action = asked(run);
  const auto decided =
      post("/v1/runs/" + run + "/actions/" + action + "/approve", R"({"actionDigest":")" + test_digest() + "\"}");
  ASSERT_EQ(decided.status, 200) << decided.body;
  model::AuditVerifier verifier;
  std::int64_t after = 0;
  std::vector<std::string> types;
  for (;;) {
    const auto reply = get("/v1/audit?limit=1&after=" + std::to_string(after));
    ASSERT_EQ(reply.status, 200) << reply.body;
    const auto page = reply.object();
    if (page.at("items").as_array().empty()) break;
    const auto& entry = page.at("items").as_array().at(0);
    types.emplace_back(entry.at("type").as_string());
    base::value_or_throw(verifier.take(base::to_canonical(entry)));
    after = page.at("nextAfter").as_int64();
    EXPECT_EQ(page.at("head").at("number").as_int64() >= after, true);
  }
  base::value_or_throw(verifier.finish());
  EXPECT_EQ(types.front(), "run.created");
  EXPECT_EQ(types.back(), "approval.decided");
  EXPECT_EQ(base::get_string(verifier.entry(), "actor"), "human");
  EXPECT_NE(base::get_string(verifier.entry(), "who"), "");
}

TEST_F(AuditRoutes, BadNumbersAreRefused) {
  for (const auto* query : {"limit=0", "limit=1001", "after=-1", "after=x", "limit=1&limit=2"})
    EXPECT_EQ(get(std::string("/v1/audit?") + query).error_code(), "validation_error") << query;
  EXPECT_EQ(raw("GET /v1/audit HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status, 401);
}

}  // namespace

}  // namespace agentrouter::api
