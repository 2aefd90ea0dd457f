#include <gtest/gtest.h>

#include <agentrouter/agentrouter.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "scripted_server.hpp"

namespace agentrouter {
namespace {

using namespace std::chrono_literals;
using scripted::error_json;
using scripted::event_json;
using scripted::reply;

const std::string client_run_json =
    R"({"id":"run_1","status":"failed","runtime":{"kind":"codex","mode":"default","model":"gpt-5.5"},"task":"t",)"
    R"("input":{"task":"t"},"lastEventSeq":7,"sessionId":null,"conversationId":"run_1",)"
    R"("queuedAt":"2026-11-24T13:38:23.007Z","failure":{"code":"worker_failed","reason":"x"},"new":1})";
const std::string artifact_json =
    R"({"id":"artifact_1","runId":"run_1","kind":"workspace_patch","r2Key":"runs/run_1/workspace/changes.patch",)"
    R"("contentType":"text/x-patch","sizeBytes":5,"sha256":"00","metadata":{"sizeBytes":"5"},)"
    R"("createdAt":"2026-11-24T13:38:23.007Z"})";

struct ClientTest : testing::Test {
  scripted::ScriptedServer server;
  [[nodiscard]] Client client(ClientOptions options = {}) const {
    options.base_url = server.url();
    options.api_key = "key-1";
    return Client(std::move(options));
  }
  // The error that `action` throws, as "code/status".
  static std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.code() + "/" + std::to_string(error.status());
    }
    return "none";
  }
};

TEST_F(ClientTest, CreateSendsTheWholeRequestAndReadsTheRun) {
  server.on("POST /v1/runs", reply(201, client_run_json));
  const auto run = client().create_run({.task = "Fix \"it\"",
                                        .runtime = codex({.mode = "read_only", .model = "m"}),
                                        .approval_mode = "manual",
                                        .workspace = Workspace{.path = "/srv/repo"},
                                        .metadata = Json::object({{"ticket", 7}}),
                                        .idempotency_key = "once"});
  EXPECT_EQ(run.id, "run_1");
  EXPECT_EQ(run.status, RunStatus::failed);
  EXPECT_EQ(run.runtime.model, "gpt-5.5");
  EXPECT_EQ(run.last_event_seq, 7);
  EXPECT_EQ(run.session_id, "");
  ASSERT_TRUE(run.failure);
  EXPECT_EQ(run.failure->code, "worker_failed");
  EXPECT_EQ(run.raw["new"].as_int(), 1);

  const auto request = server.requests().at(0);
  EXPECT_EQ(request.body,
            R"({"task":"Fix \"it\"","runtime":{"kind":"codex","mode":"read_only","model":"m"},)"
            R"("approvalMode":"manual","metadata":{"ticket":7},"workspace":{"path":"/srv/repo"}})");
  EXPECT_EQ(request.header("authorization"), "Bearer key-1");
  EXPECT_EQ(request.header("content-type"), "application/json");
  EXPECT_EQ(request.header("idempotency-key"), "once");
}

TEST_F(ClientTest, CreateLeavesOutWhatWasNotAskedFor) {
  server.on("POST /v1/runs", reply(201, client_run_json));
  client().create_run({.task = "t"});
  EXPECT_EQ(server.requests().at(0).body, R"({"task":"t"})");
  EXPECT_FALSE(server.requests().at(0).headers.contains("idempotency-key"));
}

TEST_F(ClientTest, AnyRequestOfTheApiCanBeMade) {
  server.on("GET /v1/audit", reply(200, R"({"items":[],"nextAfter":7,"head":null})"));
  server.on("PATCH /v1/webhooks/wh_1", reply(200, R"({"id":"wh_1","enabled":true})"));
  server.on("DELETE /v1/webhooks/wh_1", reply(404, error_json("webhook_not_found", "no such webhook")));
  EXPECT_EQ(client().call("GET", "/v1/audit?after=7")["nextAfter"].as_int(), 7);
  EXPECT_TRUE(client().call("PATCH", "/v1/webhooks/wh_1", Json::object({{"enabled", true}}))["enabled"].as_bool());
  EXPECT_EQ(server.requests().back().body, R"({"enabled":true})");
  EXPECT_EQ(error_of([&] { client().call("DELETE", "/v1/webhooks/wh_1"); }), "webhook_not_found/404");
  server.on("POST /v1/webhooks/wh_1/test", reply(503, error_json("unavailable", "later")));
  EXPECT_EQ(error_of([&] { client().call("POST", "/v1/webhooks/wh_1/test", Json::object()); }), "unavailable/503");
  EXPECT_EQ(server.requests().back().method + " " + server.requests().back().target, "POST /v1/webhooks/wh_1/test");
}

TEST_F(ClientTest, ListsCarryTheirQueries) {
  server.on("GET /v1/runs", reply(200, R"({"items":[)" + client_run_json + R"(],"nextCursor":"c2"})"));
  server.on("GET /v1/runs/run_1/events",
            reply(200, R"({"items":[)" + event_json(3, "agent.message", R"({"text":"hi"})") +
                           R"(],"nextAfterSeq":3})"));
  server.on("GET /v1/runs/run_1/artifacts", reply(200, R"({"items":[)" + artifact_json + "]}"));

  const auto runs = client().list_runs({.status = "active", .limit = 5, .cursor = "a/b"});
  EXPECT_EQ(runs.items.at(0).id, "run_1");
  EXPECT_EQ(runs.next_cursor, "c2");
  const auto events = client().list_run_events("run_1", {.after_seq = 2, .limit = 10});
  EXPECT_EQ(events.items.at(0).payload["text"].as_string(), "hi");
  EXPECT_EQ(events.next_after_seq, 3);
  EXPECT_EQ(client().list_run_artifacts("run_1").items.at(0).size_bytes, 5);
  EXPECT_EQ(server.requests().at(0).target, "/v1/runs?status=active&limit=5&cursor=a%2Fb");
  EXPECT_EQ(server.requests().at(1).target, "/v1/runs/run_1/events?afterSeq=2&limit=10");
}

TEST_F(ClientTest, SessionHoldsRunAnswerAndArtifacts) {
  server.on(
      "GET /v1/runs/run_1/session",
      reply(200, R"({"run":)" + client_run_json + R"(,"eventCursor":{"lastEventSeq":9},"response":{"text":"done",)" +
                     R"("parts":[{"type":"text","text":"done"}]},"artifactManifest":{"status":"missing"},)" +
                     R"("artifacts":{"items":[)" + artifact_json + "]}}"));
  const auto session = client().get_run_session("run_1");
  EXPECT_EQ(session.last_event_seq, 9);
  ASSERT_TRUE(session.response);
  EXPECT_EQ(session.response->text, "done");
  EXPECT_EQ(session.artifacts.at(0).kind, "workspace_patch");
  EXPECT_EQ(session.artifact_manifest["status"].as_string(), "missing");
}

TEST_F(ClientTest, DecisionsAndCancelArePosts) {
  server.on("POST /v1/runs/run_1/cancel", reply(200, client_run_json));
  server.on("POST /v1/runs/run_1/actions/action_1/approve", reply(200, event_json(5, "approval.decided")));
  server.on("POST /v1/runs/run_1/actions/action_1/deny", reply(200, event_json(5, "approval.decided")));
  client().cancel_run("run_1");
  const ActionDecisionRequest decision{
      .run_id = "run_1", .action_id = "action_1", .action_digest = "sha256:ab"};
  EXPECT_EQ(client().approve_run_action(decision).sequence, 5);
  auto with_reason = decision;
  with_reason.reason = "no";
  client().deny_run_action(with_reason);
  EXPECT_EQ(server.requests().at(0).body, "{}");
  EXPECT_EQ(server.requests().at(1).body, R"({"actionDigest":"sha256:ab"})");
  EXPECT_EQ(server.requests().at(2).body, R"({"actionDigest":"sha256:ab","reason":"no"})");
}

TEST_F(ClientTest, IdsCannotLeaveTheirPathSegment) {
  server.on("GET /v1/runs/..%2F%3Fx%0D%0A", reply(200, client_run_json));
  server.on("GET /v1/runs/%2E%2E", reply(200, client_run_json));
  EXPECT_EQ(client().get_run("../?x\r\n").id, "run_1");
  EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("..")); }), "none");
}

TEST_F(ClientTest, AnErrorEnvelopeBecomesItsCodeMessageDetailsAndStatus) {
  server.on("GET /v1/runs/run_1", reply(401, error_json("unauthorized", "no", R"({"a":1})")));
  try {
    static_cast<void>(client().get_run("run_1"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "unauthorized");
    EXPECT_EQ(error.message(), "no");
    EXPECT_EQ(error.details()["a"].as_int(), 1);
    EXPECT_EQ(error.status(), 401);
    EXPECT_STREQ(error.what(), "unauthorized: no");
  }
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(ClientTest, RefusalsWithoutAnEnvelopeAreApiErrors) {
  for (const auto* body : {"<html>", "", R"({"error":null})", R"({"error":{"code":7}})", "[]"}) {
    server.on("GET /v1/runs/run_1", reply(400, body));
    EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("run_1")); }), "api_error/400") << body;
  }
}

TEST_F(ClientTest, RepliesThatAreNotOfTheProtocolSaySo) {
  for (const auto* body : {"<html>", "{}", "[]", R"({"id":7})"}) {
    server.on("GET /v1/runs/run_1", reply(200, body));
    EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("run_1")); }), "protocol_error/0") << body;
  }
  server.on("GET /v1/runs", reply(200, R"({"items":3})"));
  EXPECT_EQ(error_of([&] { static_cast<void>(client().list_runs()); }), "protocol_error/0");
}

TEST_F(ClientTest, SafeCallsAreRepeatedAfterPassingTrouble) {
  server.on("GET /v1/runs/run_1", reply(503, error_json("unavailable", "x"), "retry-after: 0\r\n"));
  server.on("GET /v1/runs/run_1", [](scripted::Connection& connection, const auto&) { connection.reset(); });
  server.on("GET /v1/runs/run_1", reply(200, client_run_json));
  EXPECT_EQ(client().get_run("run_1").id, "run_1");
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST_F(ClientTest, RetriesEnd) {
  server.on("GET /v1/runs/run_1", reply(503, error_json("unavailable", "x")));
  EXPECT_EQ(error_of([&] { static_cast<void>(client({.max_retries = 1}).get_run("run_1")); }),
            "unavailable/503");
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(ClientTest, CreatingIsRepeatedOnlyWithAnIdempotencyKey) {
  server.on("POST /v1/runs", reply(503, error_json("unavailable", "x")));
  EXPECT_EQ(error_of([&] { client().create_run({.task = "t"}); }), "unavailable/503");
  EXPECT_EQ(server.requests().size(), 1u);
  server.on("POST /v1/runs", reply(200, client_run_json));
  EXPECT_EQ(client().create_run({.task = "t", .idempotency_key = "k"}).id, "run_1");
  EXPECT_EQ(server.requests().at(1).header("idempotency-key"), "k");
}

TEST_F(ClientTest, ALongRetryAfterIsForTheCallerToWait) {
  server.on("GET /v1/runs/run_1", reply(429, error_json("rate_limited", "x"), "retry-after: 3600\r\n"));
  EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("run_1")); }), "rate_limited/429");
}

TEST_F(ClientTest, SilenceEndsInATimeout) {
  server.on("GET /v1/runs/run_1", scripted::silence());
  EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("run_1", {.timeout = 50ms})); }), "timeout/0");
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(ClientTest, ARefusedConnectionIsANetworkError) {
  server.refuse();
  EXPECT_EQ(error_of([&] { static_cast<void>(client({.max_retries = 0}).get_run("run_1")); }),
            "network_error/0");
  EXPECT_FALSE(client().healthy());
}

TEST_F(ClientTest, StopEndsACallThatWaits) {
  server.on("GET /v1/runs/run_1", scripted::silence());
  std::stop_source stop;
  std::thread stopper([&] {
    server.wait_for("GET /v1/runs/run_1", 1);
    stop.request_stop();
  });
  EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("run_1", {.stop = stop.get_token()})); }),
            "cancelled/0");
  stopper.join();
}

TEST_F(ClientTest, HealthIsTrueOnlyForAServerThatSaysSo) {
  server.on("GET /healthz", reply(200, R"({"ok":true})"));
  server.on("GET /healthz", reply(200, R"({"ok":false})"));
  server.on("GET /healthz", reply(500, "x"));
  EXPECT_TRUE(client().healthy());
  EXPECT_FALSE(client().healthy());
  EXPECT_FALSE(client().healthy());
}

TEST_F(ClientTest, LineBreaksAndOtherSchemesAreRefusedBeforeAnythingIsSent) {
  EXPECT_EQ(error_of([] { Client({.api_key = "a\r\nx: y"}); }), "invalid_argument/0");
  EXPECT_EQ(error_of([] { Client({.base_url = "file:///etc"}); }), "invalid_argument/0");
  EXPECT_EQ(error_of([&] { client().create_run({.task = "t", .idempotency_key = "a\nb"}); }),
            "invalid_argument/0");
  EXPECT_EQ(error_of([&] { static_cast<void>(client().get_run("")); }), "invalid_argument/0");
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(ClientTest, OwnHeadersOverride) {
  server.on("GET /v1/runs/run_1", reply(200, client_run_json));
  static_cast<void>(
      client({.headers = {{"Authorization", "Basic x"}, {"X-Workspace-Id", "w"}}}).get_run("run_1"));
  EXPECT_EQ(server.requests().at(0).header("authorization"), "Basic x");
  EXPECT_EQ(server.requests().at(0).header("x-workspace-id"), "w");
}

TEST_F(ClientTest, DownloadsGiveTheExactBytes) {
  const std::string bytes("\x1f\x8b\0\r\n\xff", 6);
  const auto* route = "GET /v1/runs/run_1/artifacts/artifact_1/download";
  server.on(route, reply(200, bytes, {}, "application/x-ndjson"));
  EXPECT_EQ(client().download_artifact("run_1", "artifact_1"), bytes);
  std::string collected;
  client().download_artifact("run_1", "artifact_1",
                             Sink([&](std::string_view piece) { collected += piece; }));
  EXPECT_EQ(collected, bytes);

  const auto file =
      std::filesystem::path(testing::TempDir()) / ("sdk_download_" + std::to_string(::getpid()));
  client().download_artifact("run_1", "artifact_1", file);
  std::ifstream in(file, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), bytes);
  std::filesystem::remove(file);
}

TEST_F(ClientTest, ACutDownloadLeavesNoFile) {
  server.on("GET /v1/runs/run_1/artifacts/artifact_1/download",
            [](scripted::Connection& connection, const auto&) {
              connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
              connection.close();
            });
  const auto file = std::filesystem::path(testing::TempDir()) / ("sdk_cut_" + std::to_string(::getpid()));
  EXPECT_EQ(error_of([&] { client().download_artifact("run_1", "artifact_1", file); }), "network_error/0");
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(std::filesystem::exists(file.string() + ".part"));
  EXPECT_EQ(server.requests().size(), 1u) << "what the sink has seen cannot be taken back";
}

TEST_F(ClientTest, WhatASinkThrowsReachesTheCaller) {
  server.on("GET /v1/runs/run_1/artifacts/artifact_1/download", reply(200, "bytes"));
  const Sink sink = [](std::string_view) { throw std::runtime_error("full"); };
  EXPECT_THROW(client().download_artifact("run_1", "artifact_1", sink), std::runtime_error);
  EXPECT_EQ(error_of([&] {
              client().download_artifact("run_1", "artifact_1", std::filesystem::path("/dev/null/x"));
            }),
            "write_failed/0");
}

TEST_F(ClientTest, ThreadsShareAClientAndItsConnections) {
  server.on("GET /v1/runs/run_1", reply(200, client_run_json));
  const auto shared = client();
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += shared.get_run("run_1").id == "run_1";
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

}  // namespace
}  // namespace agentrouter
