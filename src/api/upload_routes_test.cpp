#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class UploadRoutes : public ApiRig {
 protected:
  using ApiRig::ApiRig;
  // One that is asked to send its body and does not.
  std::unique_ptr<Wire> begin_upload(const std::string& headers = "") {
    auto wire = std::make_unique<Wire>(port_, false);
    wire->send("POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n" +
               key() + headers + "\r\n");
    return wire;
  }
  Reply upload(const std::string& body, const std::string& headers = "Content-Type: application/x-tar\r\n") {
    return raw(request("POST", "/v1/uploads", body, key() + headers));
  }
  static std::string id_of(const Reply& reply) {
    return std::string(reply.object().at("upload").as_object().at("id").as_string());
  }
};

TEST_F(UploadRoutes, AnUploadIsToldWithWhatItIsAndUntilWhen) {
  const auto reply = upload("bytes");
  EXPECT_EQ(reply.status, 201) << reply.body;
  const auto object = reply.object().at("upload").as_object();
  EXPECT_TRUE(base::is_prefixed_uuid(id_of(reply), "upload_"));
  EXPECT_EQ(object.at("bytes"), 5);
  EXPECT_EQ(object.at("files"), 3);
  EXPECT_EQ(object.at("sha256"), json::string(std::string(64, 'a')));
  EXPECT_EQ(object.at("expiresAt").as_string(), base::to_iso(clock_.now() + std::chrono::hours(1)).c_str());
  EXPECT_EQ(desk_.last, "bytes");
  EXPECT_EQ(desk_.held, 0);
}

TEST_F(UploadRoutes, ItsTypeIsNotLookedAt) {
  EXPECT_EQ(upload("bytes", "").status, 201);
  EXPECT_EQ(upload("bytes", "Content-Type: application/json\r\n").status, 201);
}

TEST_F(UploadRoutes, RunsAreMadeOfItUntilItsTimeIsOver) {
  const auto id = id_of(upload("bytes"));
  const auto body = R"({"task":"t","workspace":{"upload":{"id":")" + id + R"("}}})";
  const auto run = created(body);
  EXPECT_THAT(
      get("/v1/runs/" + run + "/record").body,
      HasSubstr(R"("workspace":{"kind":"upload","upload":{"id":")" + id + R"("},"tree":"tree-bytes"})"));
  clock_.advance(std::chrono::hours(1));
  const auto late = post("/v1/runs", body);
  EXPECT_EQ(late.status, 404);
  EXPECT_EQ(late.error_code(), "upload_not_found");
  const auto unknown = post("/v1/runs", R"({"task":"t","workspace":{"upload":{"id":"upload_x"}}})");
  EXPECT_EQ(unknown.error_code(), "upload_not_found");
}

TEST_F(UploadRoutes, RefusalsNameTheEntryAndLeaveNothing) {
  const std::vector<std::tuple<std::string, int, std::string>> cases{
      {"refused", 400, "archive_refused"},
      {"limit", 413, "archive_limit"},
      {"unreadable", 400, "archive_unreadable"},
      {"full", 503, "storage_full"}};
  for (const auto& [body, status, code] : cases) {
    const auto reply = upload(body);
    EXPECT_EQ(reply.status, status) << body;
    EXPECT_EQ(reply.error_code(), code);
  }
  EXPECT_THAT(upload("refused").body, HasSubstr(R"("details":{"entry":"a"})"));
  EXPECT_EQ(desk_.held, 0);
}

TEST_F(UploadRoutes, ABodyOverTheLimitIsRefusedWithTheLimit) {
  const auto reply = upload(std::string(100'001, 'x'));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.error_code(), "archive_limit");
  EXPECT_THAT(reply.body, HasSubstr(R"("details":{"limit":"archive_bytes","most":100000})"));
  EXPECT_EQ(upload(std::string(100'000, 'x')).status, 201);
}

TEST_F(UploadRoutes, AWorkspaceThatSendsAllItMayLeavesPlacesToOthers) {
  const std::string team = "X-Workspace-Id: team-a\r\n";
  ASSERT_EQ(post("/v1/workspaces", R"({"id":"team-a"})").status, 201);
  std::vector<std::unique_ptr<Wire>> under_way;
  for (int i = 0; i < 8; ++i) {
    under_way.push_back(begin_upload());
    ASSERT_THAT(under_way.back()->read_until("\r\n\r\n"), HasSubstr("100 Continue")) << i;
  }
  const auto refused = upload("bytes");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.error_code(), "unavailable");
  EXPECT_EQ(upload("bytes", team).status, 201);
  under_way.front()->send("0123456789");
  EXPECT_THAT(under_way.front()->read_until("\r\n\r\nHTTP"), HasSubstr("201 Created"));
}

// Nothing may be waited for.
class SlowUploads : public UploadRoutes {
 protected:
  SlowUploads() : UploadRoutes("master key", {}, {.in_hand = std::chrono::milliseconds(0)}) {}
};

TEST_F(SlowUploads, AreCutAsWhatDoesNotArriveInTime) {
  const auto slow = begin_upload();
  slow->read_until("\r\n\r\n");
  slow->send("0");
  const auto all = slow->read_to_end();
  EXPECT_THAT(all, HasSubstr("408 Request Timeout"));
  EXPECT_THAT(all, HasSubstr(R"("code":"bad_request")"));
  EXPECT_EQ(desk_.held, 0);
  EXPECT_EQ(upload("").status, 201) << "its place is free";
}

TEST_F(UploadRoutes, WithoutAKeyNothingIsRead) {
  EXPECT_EQ(raw(request("POST", "/v1/uploads", "bytes", "")).status, 401);
  EXPECT_EQ(desk_.last, "");
}

TEST_F(UploadRoutes, TreesInUseKeepTheirPlaceAndANewOneWithoutRoomIsNotKept) {
  const auto first = upload("one");
  EXPECT_THAT(desk_.in_use, ElementsAre());
  desk_.has_room = false;
  const auto refused = upload("two");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.error_code(), "storage_full");
  EXPECT_THAT(desk_.in_use, ElementsAre("tree-one"));
  EXPECT_EQ(desk_.held, 0);
}

}  // namespace
}  // namespace agentrouter::api
