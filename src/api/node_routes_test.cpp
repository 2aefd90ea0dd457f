// The servers of the store over HTTP.

#include "api/rig_test.h"
#include "runs/nodes.h"

namespace agentrouter::api {

namespace {

using ::testing::HasSubstr;

class NodeRoutes : public ApiRig {
 protected:
  void join(const std::string& id, runs::Offers offers = {}) {
    const runs::Node node{.id = id, .role = "worker", .version = "1", .offers = std::move(offers), .capacity = 2};
    write([&](store::Transaction& tx) {
      runs::join(tx, node, runs::Others::may_be_there, {clock_, entropy_});
    });
  }
  json::object only_node() { return get("/v1/nodes").object().at("items").as_array().at(0).as_object(); }
};

TEST_F(NodeRoutes, ListsWhoIsThereWithWhatItHas) {
  EXPECT_EQ(get("/v1/nodes").body, R"({"items":[]})");
  join("host_a", {.values = {{"gpu", {"false"}}}});
  const auto node = only_node();
  EXPECT_EQ(base::get_string(node, "id"), "host_a");
  EXPECT_EQ(base::get_string(node, "role"), "worker");
  EXPECT_EQ(base::get_int(node, "capacity"), 2);
  EXPECT_EQ(base::get_bool(node, "draining"), false);
  EXPECT_EQ(base::to_text(node.at("labels")), R"({"gpu":["false"]})");
}

TEST_F(NodeRoutes, ANodeIsDrainedAndTakenBack) {
  join("host_a");
  auto reply = post("/v1/nodes/host_a/drain", "{}");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(base::get_bool(reply.object().at("node").as_object(), "draining"), true);
  EXPECT_EQ(base::get_bool(only_node(), "draining"), true);
  EXPECT_EQ(post("/v1/nodes/host_a/drain", "{}").status, 200) << "again is fine";
  EXPECT_EQ(post("/v1/nodes/host_a/undrain", "{}").status, 200);
  EXPECT_EQ(base::get_bool(only_node(), "draining"), false);
}

TEST_F(NodeRoutes, WhatIsNotThereAndWhatIsNotMeantIsRefused) {
  EXPECT_EQ(post("/v1/nodes/none/drain", "{}").error_code(), "node_not_found");
  EXPECT_EQ(post("/v1/nodes/none/undrain", "{}").error_code(), "node_not_found");
  join("host_a");
  EXPECT_EQ(post("/v1/nodes/host_a/drain", R"({"now":true})").error_code(), "validation_error");
  EXPECT_EQ(post("/v1/nodes/host_a/stop", "{}").error_code(), "not_found");
  EXPECT_EQ(raw("GET /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status, 401);
}

TEST_F(NodeRoutes, ARecordSaysWhatNoWorkerHas) {
  const auto id = created(R"({"task":"t","runtime":{"kind":"codex"},"requires":{"gpu":"true"}})");
  const auto placement = [&] {
    const auto record = get("/v1/runs/" + id + "/record").object();
    const auto* found = record.if_contains("placement");
    return found ? base::to_text(*found) : std::string();
  };
  EXPECT_EQ(placement(), "") << "no server has said anything about itself";
  join("host_a", {.values = {{"runtime", {"codex"}}}});
  EXPECT_EQ(placement(), R"({"state":"unplaceable","missing":{"gpu":"true"},"workers":1})");
  join("host_b", {.values = {{"runtime", {"codex"}}, {"gpu", {"true"}}}});
  EXPECT_EQ(placement(), "");
  ASSERT_EQ(post("/v1/nodes/host_b/drain", "{}").status, 200);
  EXPECT_THAT(placement(), HasSubstr("unplaceable")) << "one that drains takes nothing";
}

TEST_F(NodeRoutes, LabelsThatAreNoneAreRefused) {
  for (const auto* labels : {"7", R"({"a b":"c"})", R"({"a":"b c"})", R"({"a":1})", R"({"isolation":"jail"})", R"({"":"x"})"}) {
    const auto reply = post("/v1/runs", R"({"task":"t","runtime":{"kind":"codex"},"requires":)" + std::string(labels) + "}");
    EXPECT_EQ(reply.error_code(), "validation_error") << labels;
  }
  std::string many;
  for (int i = 0; i < 17; ++i) many += (i ? "," : "") + ("\"l" + std::to_string(i)) + "\":\"x\"";
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","runtime":{"kind":"codex"},"requires":{)" + many + "}}").error_code(),
            "validation_error");
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","runtime":{"kind":"codex"},"requires":{"isolation":"vm"}})").error_code(),
            "isolation_unavailable")
      << "as requireIsolation is";
}

}  // namespace

}  // namespace agentrouter::api
