#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RunRoutes : public ApiRig {};

TEST_F(RunRoutes, CreatedRunIsQueuedAndCanBeReadBack) {
  const auto reply = post("/v1/runs", R"({"task":"  hi  ","runtime":{"kind":"codex","model":"gpt-4o"}})");
  EXPECT_EQ(reply.status, 201);
  const auto run = reply.object();
  EXPECT_EQ(run.at("status").as_string(), "queued");
  EXPECT_EQ(run.at("task").as_string(), "hi");
  EXPECT_EQ(base::to_text(run.at("input")),
            R"({"task":"hi","runtime":{"kind":"codex","mode":"default","model":"gpt-4o"}})");
  EXPECT_EQ(run.at("sessionId"), json::value(nullptr));
  EXPECT_EQ(get("/v1/runs/" + std::string(run.at("id").as_string())).body, reply.body);
  EXPECT_THAT(get("/v1/runs?status=active&limit=1").body,
              AllOf(StartsWith("{\"items\":[{"), HasSubstr(run.at("id").as_string().c_str())));
}

TEST_F(RunRoutes, LimitsAreInTheRecordAndBudgetsAreAListWithoutAny) {
  const auto run = post("/v1/runs", R"({"task":"hi","limits":{"maxTokens":100,"maxWallSeconds":9}})").object();
  const auto record = get("/v1/runs/" + std::string(run.at("id").as_string()) + "/record").object();
  EXPECT_EQ(base::to_text(record.at("limits")), R"({"maxWallSeconds":9,"maxTokens":100})");
  EXPECT_EQ(get("/v1/budgets").body, R"({"items":[]})");
  EXPECT_EQ(post("/v1/runs", R"({"task":"hi","limits":{"maxCostUsd":1}})").error_code(), "model_price_unknown");
}

TEST_F(RunRoutes, SameKeyAndBodyGiveTheSameRunAndAnotherBodyConflicts) {
  const std::string header = "idempotency-key: k1\r\n";
  const auto first = post("/v1/runs", R"({"task":"t","approvalMode":"auto"})", header);
  const auto second =
      post("/v1/runs", R"({"runtime":{"mode":"default","kind":"codex"},"task":" t "})", header);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(first.object().at("id"), second.object().at("id"));
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  EXPECT_EQ(second.header("Idempotent-Replayed"), "true");
  const auto same = post("/v1/runs", R"({"task":"t","priority":0,"approvalScope":"run","tags":{}})", header);
  EXPECT_EQ(same.object().at("id"), first.object().at("id"));
  const auto third = post("/v1/runs", R"({"task":"other"})", header);
  EXPECT_EQ(third.status, 409);
  EXPECT_EQ(third.error_code(), "idempotency_conflict");
}

TEST_F(RunRoutes, ATagThatNamesNoCassetteIs400WhereThereAreCassettes) {
  const auto asked = [&](const std::string& name) {
    return post("/v1/runs", R"({"task":"t","tags":{"cassette":")" + name + "\"}}");
  };
  for (const auto& name : {std::string("../x"), std::string(), std::string(".x"), std::string("a b"),
                           std::string("x+turn2"), std::string(101, 'x')}) {
    const auto reply = asked(name);
    EXPECT_EQ(reply.status, 400) << name;
    EXPECT_EQ(reply.error_code(), "validation_error") << name;
    EXPECT_THAT(reply.body, HasSubstr(R"("path":["tags","cassette"])"));
  }
  EXPECT_EQ(asked("fix-login_1.0").status, 201);
  EXPECT_EQ(asked(std::string(100, 'x')).status, 201);
}

TEST_F(RunRoutes, BadBodiesAreNamedAndNothingIsStored) {
  struct Case {
    const char* body;
    const char* code;
  };
  for (const auto& [body, code] : std::vector<Case>{
           {"{broken", "bad_request"},
           {"[]", "validation_error"},
           {"{}", "validation_error"},
           {R"({"task":"  "})", "validation_error"},
           {R"({"task":1})", "validation_error"},
           {R"({"task":"t","extra":1})", "validation_error"},
           {R"({"task":"t","runtime":null})", "validation_error"},
           {R"({"task":"t","runtime":{}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"codex","permissionMode":"plan"}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"claude_code","mode":"default"}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"codex","model":"a b"}})", "validation_error"},
           {R"({"task":"t","approvalMode":"maybe"})", "validation_error"},
           {R"({"task":"t","metadata":[]})", "validation_error"},
           {R"({"task":"t","metadata":null})", "validation_error"},
           {R"({"task":"\ud800"})", "validation_error"},
           {R"({"task":"a\u0000b"})", "validation_error"},
           {R"({"task":"t","metadata":{"n":1e999}})", "validation_error"},
           {"{\"task\":\"\xff\"}", "validation_error"},
           {R"({"tools":[],"repoUrl":"x"})", "unsupported_tool_configuration"},
           {R"({"repoUrl":"x","tools":[]})", "unsupported_workspace_attachment"},
           {R"({"task":"t","workspace":{"git":{}}})", "validation_error"},
           {R"({"task":"t","workspace":{"git":{"url":"ext::sh -c x"}}})", "workspace_forbidden"},
           {R"({"task":"t","workspace":{"other":{}}})", "validation_error"},
           {R"({"task":"t","workspace":{"path":"relative"}})", "validation_error"},
           {R"({"task":"t","workspace":{"path":"/etc"}})", "workspace_forbidden"},
           {R"({"task":"t","mcp":["a","a"]})", "validation_error"},
           {R"({"task":"t","mcp":["nobody"]})", "mcp_server_unknown"},
           {R"({"task":"t","policy":"nobody"})", "policy_unknown"},
           {R"({"task":"t","image":"nobody"})", "image_unknown"},
           {R"({"task":"t","image":"../etc"})", "validation_error"},
           {R"({"task":"t","image":{}})", "validation_error"},
           {R"({"task":"t","policy":"No Name"})", "validation_error"},
           {R"({"task":"t","requireIsolation":"vm"})", "isolation_unavailable"},
           {R"({"task":"t","requireIsolation":"user-kernel"})", "isolation_unavailable"},
           {R"({"task":"t","policy":"sealed"})", "isolation_unavailable"},
           {R"({"task":"t","policy":"sealed","requireIsolation":"process"})", "isolation_unavailable"},
           {R"({"task":"t","mcp":["codex-only"],"runtime":{"kind":"claude_code"}})", "mcp_server_unknown"},
       }) {
    const auto reply = post("/v1/runs", body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.error_code(), code) << body;
  }
  EXPECT_EQ(post("/v1/runs", R"({"task":")" + std::string(120'001, 'x') + "\"}").error_code(),
            "validation_error");
  EXPECT_EQ(get("/v1/runs").body, R"({"items":[]})");
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","workspace":{"path":"/allowed"}})").status, 201);
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","workspace":{"git":{"url":"https://h.test/a"}}})").status, 201);
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","mcp":["codex-only"]})").status, 201);
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","policy":"known"})").status, 201);
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","requireIsolation":"process"})").status, 201);
  EXPECT_THAT(post("/v1/runs", R"({"task":"t","requireIsolation":"vm"})").body,
              HasSubstr(R"("required":"vm","available":["process"])"));
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","image":"known"})").status, 201);
}

TEST_F(RunRoutes, CancellingAQueuedRunAnswersCancellingAndEndsIt) {
  const auto id = created();
  const auto reply = post("/v1/runs/" + id + "/cancel", "");
  EXPECT_EQ(reply.object().at("status").as_string(), "cancelling");
  EXPECT_TRUE(reply.object().contains("cancelRequestedAt"));
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream?follow=true", "", key()));
  EXPECT_THAT(wire.read_to_end(), HasSubstr("event: run.cancelled"));
  EXPECT_EQ(post("/v1/runs/" + id + "/cancel", "{}").object().at("status").as_string(), "cancelled");
  EXPECT_EQ(post("/v1/runs/" + id + "/cancel", R"({"x":1})").error_code(), "validation_error");
}

std::string decision_body(const std::string& digest, const std::string& reason = {}) {
  json::object body{{"actionDigest", digest}};
  if (!reason.empty()) body["reason"] = reason;
  return base::to_text(body);
}

TEST_F(RunRoutes, DecidingWhatWasNotAskedIsAConflict) {
  const auto id = created();
  EXPECT_EQ(post("/v1/runs/" + id + "/actions/action_x/approve", decision_body(test_digest())).error_code(),
            "approval_not_requested");
  EXPECT_EQ(
      post("/v1/runs/" + id + "/actions/action_x/approve", R"({"actionDigest":"md5:abcdefgh"})").error_code(),
      "validation_error");
  EXPECT_EQ(post("/v1/runs/" + id + "/actions/action_x/deny", decision_body(test_digest(), " ")).error_code(),
            "validation_error");
}

TEST_F(RunRoutes, AnArtifactIsDownloadedByteForByteAndOnlyFromItsOwnRun) {
  const auto id = created();
  auto artifact = model::named_artifact(model::RunId(id), "workspace_patch");
  const std::string bytes(300'000, 'p');
  const auto info = blobs_->put(artifact.r2_key, bytes);
  artifact.size_bytes = info.size;
  artifact.sha256 = info.sha256;
  artifact.created_at = clock_.now();
  on_task([&]() -> base::Task<void> {
    co_await store_->write([&](store::Transaction& tx) { tx.put_artifact(artifact); });
  });
  const auto path = "/v1/runs/" + id + "/artifacts/" + artifact.id.str() + "/download";
  const auto reply = get(path);
  EXPECT_EQ(reply.body, bytes);
  EXPECT_THAT(reply.head,
              AllOf(HasSubstr("Content-Type: text/x-patch"), HasSubstr("Content-Length: 300000")));
  EXPECT_EQ(get("/v1/runs/" + created() + "/artifacts/" + artifact.id.str() + "/download").error_code(),
            "artifact_not_found");
  EXPECT_EQ(get("/v1/runs/run_none/artifacts").error_code(), "run_not_found");
  blobs_->away = true;
  EXPECT_EQ(get(path).error_code(), "storage_failed");
  EXPECT_THAT(get(path).head, AllOf(HasSubstr("503"), HasSubstr("Retry-After: 10")));
  blobs_->away = false;
  blobs_->links = "https://store.example/";
  const auto elsewhere = get(path);
  EXPECT_EQ(elsewhere.status, 307);
  EXPECT_EQ(elsewhere.body, "");
  EXPECT_THAT(elsewhere.head, AllOf(HasSubstr("Location: https://store.example/" + artifact.r2_key + "/" + info.sha256),
                                    HasSubstr("Cache-Control: no-store")));
  blobs_->links.clear();
  blobs_->put(artifact.r2_key, std::string(299'999, 'p') + "q");
  EXPECT_EQ(get(path).error_code(), "artifact_damaged");
  EXPECT_EQ(get(path).status, 503);
  blobs_->remove(artifact.r2_key);
  EXPECT_EQ(get(path).error_code(), "artifact_not_found");
}

TEST_F(RunRoutes, AKeyIsPrintableAsciiOfBoundedLengthAndAnEmptyOneIsNone) {
  const auto with = [&](const std::string& headers) { return post("/v1/runs", R"({"task":"t"})", headers); };
  EXPECT_EQ(with("Idempotency-Key:\r\n").status, 201);
  EXPECT_EQ(with("Idempotency-Key:  \r\n").status, 201);
  EXPECT_EQ(with("Idempotency-Key: " + std::string(256, '~') + "\r\n").status, 201);
  EXPECT_EQ(with("Idempotency-Key: " + std::string(256, '~') + "\r\n").status, 200);
  for (const auto& bad : std::vector<std::string>{std::string(257, 'k'), "\xc3\xa9", "a\tb"}) {
    const auto reply = with("Idempotency-Key: " + bad + "\r\n");
    EXPECT_EQ(reply.error_code(), "validation_error") << bad;
    EXPECT_THAT(reply.body, HasSubstr(R"("path":["Idempotency-Key"])"));
  }
  EXPECT_EQ(with("Idempotency-Key: a\r\nIdempotency-Key: b\r\n").error_code(), "validation_error");
  EXPECT_EQ(get("/v1/runs").object().at("items").as_array().size(), 3u);
}

TEST_F(RunRoutes, ARepeatedDecisionGivesTheFirstAndAKeyedOneSaysSo) {
  const auto id = created();
  const auto path = "/v1/runs/" + id + "/actions/" + asked(id);
  const std::string body = decision_body(test_digest(), "fine");
  const std::string key = "Idempotency-Key: k\r\n";
  const auto first = post(path + "/approve", body, key);
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  const auto keyed = post(path + "/approve", body, key);
  EXPECT_EQ(keyed.body, first.body);
  EXPECT_EQ(keyed.header("Idempotent-Replayed"), "true");
  const auto plain = post(path + "/approve", decision_body(test_digest(), "other"));
  EXPECT_EQ(plain.body, first.body);
  EXPECT_EQ(post(path + "/approve", decision_body(test_digest()), key).error_code(), "idempotency_conflict");
  EXPECT_EQ(post(path + "/deny", body, key).error_code(), "approval_already_decided");
  const std::string another = "sha256:" + std::string(64, 'b');
  const auto other = post(path + "/approve", decision_body(another));
  EXPECT_EQ(other.error_code(), "action_digest_mismatch");
  EXPECT_THAT(other.body, HasSubstr(R"("details":{"expected":")" + test_digest() + R"(","received":")" +
                                    another + "\"}"));
}

TEST_F(RunRoutes, DecidingOnARunThatHasEndedIsAConflictUnlessItWasDecidedSo) {
  const auto id = created();
  const auto path = "/v1/runs/" + id + "/actions/" + asked(id);
  const std::string body = decision_body(test_digest());
  const auto late = created();
  const auto late_path = "/v1/runs/" + late + "/actions/" + asked(late);
  EXPECT_EQ(post(path + "/deny", body).object().at("payload").at("terminalState").as_string(), "denied");
  end_run(id, model::RunStatus::failed);
  end_run(late, model::RunStatus::failed);
  EXPECT_EQ(post(path + "/deny", body).status, 200);
  EXPECT_EQ(post(path + "/approve", body).error_code(), "approval_already_decided");
  EXPECT_EQ(post(late_path + "/approve", body).error_code(), "run_not_active");
}

TEST_F(RunRoutes, TheRecordTellsWhatARunWaitsForAndWhatMayBeDone) {
  const auto id = created(R"({"task":"t","approvalMode":"manual","approvalTimeoutSeconds":60})");
  EXPECT_EQ(get("/v1/runs/none/record").error_code(), "run_not_found");
  auto record = get("/v1/runs/" + id + "/record").object();
  EXPECT_EQ(record.at("run").at("id").as_string(), id.c_str());
  EXPECT_EQ(record.at("approvalMode").as_string(), "manual");
  EXPECT_EQ(record.at("limits").at("approvalTimeoutSeconds").as_int64(), 60);
  EXPECT_EQ(base::to_text(record.at("operations")), R"(["cancel","close"])");
  const auto action = asked(id);
  record = get("/v1/runs/" + id + "/record").object();
  EXPECT_EQ(record.at("pendingApprovals").at(0).at("actionId").as_string(), action.c_str());
  EXPECT_EQ(record.at("actions").at(0).at("policy").at("decision").as_string(), "requires_approval");
  EXPECT_EQ(record.at("eventCursor").at("lastEventSeq").as_int64(), 3);
  EXPECT_EQ(base::to_text(record.at("operations")), R"(["cancel","approve","deny","close"])");
  end_run(id);
  record = get("/v1/runs/" + id + "/record").object();
  EXPECT_EQ(record.at("state").as_string(), "completed");
  EXPECT_EQ(record.at("conversation").at("state").as_string(), "open");
  EXPECT_EQ(record.at("compat").at("publishedTurn2").as_bool(), false);
  clock_.advance(std::chrono::minutes(10));
  EXPECT_EQ(get("/v1/runs/" + id + "/record").object().at("conversation").at("state").as_string(), "expired");
}

}  // namespace
}  // namespace agentrouter::api
