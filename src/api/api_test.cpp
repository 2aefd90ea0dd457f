#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ApiTest : public ApiRig {};

TEST_F(ApiTest, HealthNeedsNoKeyAndEverythingElseDoesBeforeAnythingIsJudged) {
  EXPECT_EQ(raw(request("GET", "/healthz", "", "")).body, R"({"ok":true})");
  for (const char* header : {"", "Authorization: Bearer wrong\r\n", "Authorization: bearer test-key\r\n",
                             "Authorization: test-key\r\n"}) {
    for (const char* target : {"/v1/runs", "/v1/none", "/"}) {
      const auto reply = raw(request("POST", target, "{broken", header));
      EXPECT_EQ(reply.status, 401) << header << target;
      EXPECT_EQ(reply.error_code(), "unauthorized");
    }
  }
  EXPECT_EQ(raw(request("GET", "/v1/runs", "", "Authorization: Bearer  test-key \r\n")).status, 200);
}

TEST_F(ApiTest, UnknownRouteIs404AndWrongMethodIs405WithAllow) {
  EXPECT_EQ(get("/v1/sessions").error_code(), "not_found");
  EXPECT_EQ(get("/v1/runs/").error_code(), "not_found");
  EXPECT_EQ(post("/healthz", "{}").error_code(), "method_not_allowed");
  EXPECT_EQ(get("/v1/runs/").status, 404);
  for (const char* method : {"OPTIONS", "PATCH", "PROPFIND", "get", "TRACE"})
    EXPECT_EQ(raw(request(method, "/v1/runs", "", key())).status, 405) << method;
  EXPECT_EQ(raw("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + key() + "\r\n").status, 404);
  const auto reply = raw(request("DELETE", "/v1/runs", "", key()));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.error_code(), "method_not_allowed");
  EXPECT_THAT(reply.head, HasSubstr("Allow: GET, HEAD, POST"));
}

TEST_F(ApiTest, OversizeAndForeignMediaTypesKeepTheirStatus) {
  const auto large = post("/v1/runs", R"({"task":")" + std::string(1 << 20, 'x') + "\"}");
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(large.error_code(), "bad_request");
  EXPECT_THAT(large.body, Not(HasSubstr("details")));
  const auto form = raw(
      request("POST", "/v1/runs", "task=t", key() + "Content-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_EQ(form.status, 415);
}

TEST_F(ApiTest, HostilePathsAre400Or404AndNever500) {
  for (const char* target :
       {"/v1/runs/..%2f..%2fetc%2fpasswd", "/v1/runs/%00", "/v1/runs/%ff/events", "/v1/runs/a%2Fb"}) {
    const auto reply = get(target);
    EXPECT_TRUE(reply.status == 400 || reply.status == 404) << target << reply.status;
  }
  EXPECT_EQ(get("/v1/runs/" + std::string(300, 'a')).status, 400);
}

}  // namespace
}  // namespace agentrouter::api
