#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <agentrouter/agentrouter.hpp>
#include <functional>
#include <thread>

#include "scripted_server.hpp"

namespace agentrouter {
namespace {

using namespace std::chrono_literals;
using scripted::error_json;
using scripted::event_stream;
using scripted::frame;
using scripted::open_stream;
using scripted::reply;
using testing::ElementsAre;

// One pointer each: what is behind it may change without a new build of its users.
static_assert(sizeof(EventStream) == sizeof(void*) && sizeof(PartStream) == sizeof(void*));
static_assert(sizeof(TextStream) == sizeof(void*) && sizeof(RunList) == sizeof(void*));
static_assert(sizeof(Client) == sizeof(std::shared_ptr<void>) && sizeof(AgentRunStream) == sizeof(Client));
static_assert(sizeof(Json) == sizeof(std::shared_ptr<void>));
static_assert(sizeof(Error) == sizeof(std::exception) + sizeof(std::shared_ptr<void>));

std::string run_json(const std::string& status, const std::string& id = "run_1",
                     const std::string& mode = "default") {
  return R"({"id":")" + id + R"(","status":")" + status + R"(","runtime":{"kind":"codex","mode":")" + mode +
         R"("},"task":"t","input":{},"lastEventSeq":3,"sessionId":null,"conversationId":"run_1",)" +
         R"("queuedAt":"2026-11-24T13:38:23.007Z"})";
}

std::string session_json(const std::string& status, const std::string& id = "run_1") {
  return R"({"run":)" + run_json(status, id) +
         R"(,"eventCursor":{"lastEventSeq":3},"response":{"text":"done","parts":[]},)" +
         R"("artifactManifest":{"status":"missing"},"artifacts":{"items":[]}})";
}

std::string body_of(const scripted::Request& request) {
  return request.method + " " + request.target + " " + request.body;
}

struct AgentTest : testing::Test {
  scripted::ScriptedServer server;
  Client client{{.api_key = "key-1",
                 .base_url = server.url(),
                 .max_retries = 0,
                 .continue_patience = 600ms,
                 .close_patience = 600ms}};

  // A run that says "hm", answers "done" and completes.
  void live_run(const std::string& id = "run_1") {
    server.on("GET /v1/runs/" + id + "/stream",
              open_stream({frame(1, "agent.message", R"({"text":"hm"})"),
                           frame(2, "agent.response", R"({"text":"done"})"), frame(3, "run.completed")}));
    server.on("GET /v1/runs/" + id + "/session", reply(200, session_json("completed", id)));
  }
  void create() { server.on("POST /v1/runs", reply(201, run_json("queued"))); }
  void continuation() {
    server.on("POST /v1/runs/run_1/messages",
              reply(202, R"({"runId":"run_2","turnNumber":2,"conversationId":"run_1"})"));
    server.on("GET /v1/runs/run_2", reply(200, run_json("queued", "run_2")));
    live_run("run_2");
  }
  static std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.code() + "/" + std::to_string(error.status()) + error.details().dump();
    }
    return "none";
  }
};

TEST_F(AgentTest, RunAgentCreatesFollowsAndReturnsTheSession) {
  create();
  live_run();
  std::vector<std::string> told;
  const auto result =
      run_agent(client, {.task = "t", .runtime = codex({.mode = "read_only"})},
                {.on_event = [&](const RunEvent& event) { told.push_back(event.type); },
                 .on_part = [&](const AgentStreamPart& part) { told.emplace_back(type_of(part)); },
                 .on_text = [&](std::string_view text) { told.emplace_back(text); }});
  EXPECT_EQ(result.id, "run_1");
  EXPECT_EQ(result.status, RunStatus::completed);
  EXPECT_EQ(result.text, "done");
  EXPECT_EQ(result.response()->text, "done");
  EXPECT_EQ(result.last_event_seq(), 3);
  EXPECT_EQ(result.artifact_manifest()["status"].as_string(), "missing");
  EXPECT_THAT(told, ElementsAre("agent.message", "message", "agent.response", "text", "done", "run.completed",
                                "done"));
}

TEST_F(AgentTest, RunAgentContinuesAndWaitsForTheNewRun) {
  continuation();
  const auto result = run_agent(
      client,
      {.continue_run = "run_1", .message = "go on", .approval_mode = "manual", .idempotency_key = "k"});
  EXPECT_EQ(result.id, "run_2");
  const auto request = server.requests("POST /v1/runs/run_1/messages").at(0);
  EXPECT_EQ(request.body, R"({"message":"go on","approvalMode":"manual"})");
  EXPECT_EQ(request.header("idempotency-key"), "k");
}

TEST_F(AgentTest, NeitherTaskNorMessageIsRefusedBeforeAnythingIsSent) {
  EXPECT_EQ(error_of([&] { run_agent(client, CreateRunRequest{}); }), "invalid_run_agent_request/0null");
  EXPECT_EQ(error_of([&] { run_agent(client, {.continue_run = "run_1", .message = ""}); }),
            "invalid_run_agent_request/0null");
  EXPECT_EQ(error_of([&] { static_cast<void>(stream_agent(client, {.task = ""})); }),
            "invalid_stream_agent_request/0null");
  EXPECT_EQ(error_of([&] { static_cast<void>(stream_agent(client, {.continue_run = "", .message = "m"})); }),
            "invalid_stream_agent_request/0null");
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(AgentTest, AFailedRunIsAResult) {
  create();
  server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "run.failed")}));
  server.on("GET /v1/runs/run_1/session", reply(200, session_json("failed")));
  EXPECT_EQ(run_agent(client, {.task = "t"}).status, RunStatus::failed);
}

TEST_F(AgentTest, AStatusThatComesAfterTheLastEventIsWaitedFor) {
  create();
  live_run();
  server.on("GET /v1/runs/run_1/session", reply(200, session_json("completed")));
  scripted::ScriptedServer late;
  late.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "run.completed")}));
  late.on("GET /v1/runs/run_1/session", reply(200, session_json("running")));
  late.on("GET /v1/runs/run_1/session", reply(200, session_json("completed")));
  const Client other({.base_url = late.url()});
  EXPECT_EQ(other.wait_for_run("run_1", {.poll_interval = 1ms}).run.status, RunStatus::completed);
  late.on("GET /v1/runs/run_1/session", reply(200, session_json("running")));
  EXPECT_EQ(error_of([&] { other.wait_for_run("run_1", {.max_wait = 20ms, .poll_interval = 1ms}); }),
            R"(wait_timeout/0{"runId":"run_1","status":"running"})");
}

TEST_F(AgentTest, AWaitThatTakesTooLongSaysWhichRunAndHowItStands) {
  create();
  server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "run.claimed")}));
  server.on("GET /v1/runs/run_1", reply(200, run_json("running")));
  EXPECT_EQ(error_of([&] { run_agent(client, {.task = "t"}, {.max_wait = 30ms}); }),
            R"(wait_timeout/0{"runId":"run_1","status":"running"})");
}

TEST_F(AgentTest, StopEndsTheWait) {
  create();
  server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "run.claimed")}));
  std::stop_source stop;
  const auto told = [&](const RunEvent&) { stop.request_stop(); };
  EXPECT_EQ(error_of([&] { run_agent(client, {.task = "t"}, {.stop = stop.get_token(), .on_event = told}); }),
            "cancelled/0null");
}

TEST_F(AgentTest, WhatACallbackThrowsReachesTheCaller) {
  create();
  live_run();
  EXPECT_THROW(run_agent(client, {.task = "t"},
                         {.on_part = [](const AgentStreamPart&) { throw std::logic_error("no"); }}),
               std::logic_error);
}

TEST_F(AgentTest, AStreamIsReadInThreeWaysEachFromItsBeginning) {
  create();
  live_run();
  const auto stream = stream_agent(client, {.task = "t"});
  EXPECT_EQ(stream.run().status, RunStatus::queued);
  EXPECT_EQ(stream.conversation_id(), "run_1");
  EXPECT_FALSE(stream.turn_number());
  EXPECT_EQ(server.requests().size(), 1u) << "nothing is read before it is asked for";
  std::vector<std::string> seen;
  for (const auto& event : stream.events()) seen.push_back(event.type);
  for (const auto& part : stream.full_stream()) seen.emplace_back(type_of(part));
  for (const auto& text : stream.text_stream()) seen.push_back(text);
  EXPECT_THAT(seen, ElementsAre("agent.message", "agent.response", "run.completed", "message", "text", "done",
                                "done"));
  EXPECT_EQ(stream.final_result().text, "done");
}

TEST_F(AgentTest, AContinuedStreamKnowsItsTurnAndBeginsWhereItIsTold) {
  continuation();
  const auto stream = stream_agent(client, {.continue_run = "run_1", .message = "m"}, {.after_seq = 2});
  EXPECT_EQ(stream.run().id, "run_2");
  EXPECT_EQ(stream.conversation_id(), "run_1");
  EXPECT_EQ(stream.turn_number(), 2);
  auto events = stream.events();
  EXPECT_EQ(events.next()->sequence, 3);
  EXPECT_EQ(server.requests("GET /v1/runs/run_2/stream").at(0).header("last-event-id"), "2");
}

TEST_F(AgentTest, AnAbandonedStreamClosesItsConnection) {
  create();
  std::atomic<bool> closed = false;
  server.on("GET /v1/runs/run_1/stream", [&](scripted::Connection& connection, const auto&) {
    connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    connection.send(frame(1, "agent.message", R"({"text":"hm"})"));
    connection.hold();
    closed = true;
    closed.notify_all();
    connection.close();
  });
  for (const auto& part : stream_agent(client, {.task = "t"}).full_stream()) {
    EXPECT_EQ(text_of(part), "hm");
    break;
  }
  client = Client({.base_url = server.url()});  // with the kept connections
  closed.wait(false);
}

TEST_F(AgentTest, FinalResultWaitsWithoutAReader) {
  create();
  live_run();
  scripted::ScriptedServer slow;
  slow.on("POST /v1/runs", reply(201, run_json("queued")));
  slow.on("GET /v1/runs/run_1/session", reply(200, session_json("running")));
  slow.on("GET /v1/runs/run_1/session", reply(200, session_json("completed")));
  slow.on("GET /v1/runs/run_1/stream", open_stream({frame(4, "run.completed")}));
  const auto stream = stream_agent(Client({.base_url = slow.url()}), {.task = "t"});
  EXPECT_EQ(stream.final_result().status, RunStatus::completed);
  EXPECT_EQ(slow.requests("GET /v1/runs/run_1/stream").at(0).header("last-event-id"), "3");
}

TEST_F(AgentTest, AServerThatOnlyPollsIsFollowedAllTheSame) {
  create();
  const std::string route = "GET /v1/runs/run_1/stream";
  server.on(route, event_stream({"event: heartbeat\ndata: {}\n\n"}));
  server.on(route, event_stream({frame(1, "agent.message", R"({"text":"hm"})")}));
  server.on(route,
            event_stream({frame(2, "agent.response", R"({"text":"done"})"), frame(3, "run.completed")}));
  server.on("GET /v1/runs/run_1", reply(200, run_json("running")));
  server.on("GET /v1/runs/run_1/session", reply(200, session_json("completed")));
  EXPECT_EQ(run_agent(client, {.task = "t"}, {.poll_interval = 1ms}).text, "done");
}

TEST_F(AgentTest, ARunThatIsNotYetContinuableIsAskedAgain) {
  const std::string route = "POST /v1/runs/run_1/messages";
  server.on(route, reply(409, error_json("run_not_continuable", "x")));
  server.on(route, reply(202, R"({"runId":"run_2","turnNumber":2,"conversationId":"run_1"})"));
  server.on("GET /v1/runs/run_1", reply(200, run_json("completed")));
  EXPECT_EQ(client.continue_run("run_1", "m").turn_number, 2);
}

TEST_F(AgentTest, ContinuingDoesNotWaitWhereItCannotHelp) {
  const std::string route = "POST /v1/runs/run_1/messages";
  const auto attempt = [&] { client.continue_run("run_1", "m"); };
  for (const auto& run :
       {run_json("failed"), run_json("running"), run_json("completed", "run_1", "auto_review")}) {
    server.on(route, reply(409, error_json("run_not_continuable", "x")));
    server.on("GET /v1/runs/run_1", reply(200, run));
    EXPECT_EQ(error_of(attempt), "run_not_continuable/409{}");
  }
  EXPECT_EQ(server.requests(route).size(), 3u);
  for (const auto* code : {"run_busy", "session_closed"}) {
    server.on(route, reply(409, error_json(code, "x")));
    EXPECT_EQ(error_of(attempt), std::string(code) + "/409{}");
  }
  EXPECT_EQ(server.requests(route).size(), 5u);
}

TEST_F(AgentTest, PatienceEnds) {
  server.on("GET /v1/runs/run_1", reply(200, run_json("completed")));
  server.on("POST /v1/runs/run_1/messages", reply(409, error_json("run_not_continuable", "x")));
  server.on("POST /v1/runs/run_1/close",
            reply(200, R"({"closed":true,"conversationId":"run_1","reclaimed":false})"));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(error_of([&] { client.continue_run("run_1", "m"); }), "run_not_continuable/409{}");
  EXPECT_FALSE(client.close_run("run_1").reclaimed);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 30s);
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/messages").size(), 3u);  // at 0, 250 and 750 ms
}

TEST_F(AgentTest, DeletingWaitsForTheSandboxOfARunThatHasJustEndedAndForNothingElse) {
  const std::string route = "DELETE /v1/runs/run_1";
  server.on(route, reply(409, R"({"error":{"code":"run_not_ended","message":"x","details":{"retryAfterSeconds":1}}})"));
  server.on(route, reply(204, ""));
  client.delete_run("run_1");
  EXPECT_EQ(server.requests(route).size(), 2u);
  EXPECT_EQ(server.requests(route).back().body, "");
  server.on(route, reply(409, error_json("run_not_ended", "x")));
  EXPECT_EQ(error_of([&] { client.delete_run("run_1"); }), "run_not_ended/409{}");
  EXPECT_EQ(server.requests(route).size(), 3u);
  EXPECT_EQ(error_of([&] { client.delete_run(""); }), "invalid_argument/0null");
}

TEST_F(AgentTest, ClosingIsRepeatedOnlyWhileAConversationMayAppear) {
  const std::string route = "POST /v1/runs/run_1/close";
  const std::string open = R"({"closed":true,"conversationId":"run_1","reclaimed":false})";
  server.on(route, reply(200, open));
  server.on(route, reply(200, R"({"closed":true,"conversationId":"run_1","reclaimed":true})"));
  server.on("GET /v1/runs/run_1", reply(200, run_json("completed")));
  EXPECT_TRUE(client.close_run("run_1").reclaimed);
  EXPECT_EQ(server.requests(route).size(), 2u);
  server.on(route, reply(200, open));
  server.on("GET /v1/runs/run_1", reply(200, run_json("running")));
  const auto result = client.close_run("run_1");
  EXPECT_TRUE(result.closed);
  EXPECT_FALSE(result.reclaimed);
  EXPECT_EQ(server.requests(route).size(), 3u);
  EXPECT_EQ(server.requests(route).back().body, "{}");
}

TEST_F(AgentTest, StopEndsPatience) {
  server.on("POST /v1/runs/run_1/messages", reply(409, error_json("run_not_continuable", "x")));
  server.on("GET /v1/runs/run_1", reply(200, run_json("completed")));
  const Client patient({.base_url = server.url(), .continue_patience = 1h});
  std::stop_source stop;
  std::thread stopper([&] {
    server.wait_for("GET /v1/runs/run_1", 1);
    stop.request_stop();
  });
  EXPECT_EQ(error_of([&] { patient.continue_run("run_1", "m", {.stop = stop.get_token()}); }),
            "cancelled/0null");
  stopper.join();
}

TEST_F(AgentTest, TurnsAndRecordAreRead) {
  server.on("GET /v1/runs/run_1/turns",
            reply(200, R"({"conversationId":"run_1","items":[{"id":"turn_1","runId":"run_1","turnNumber":1,)"
                       R"("prompt":"p","createdAt":"2026-11-24T13:38:23.007Z"}]})"));
  server.on(
      "GET /v1/runs/run_1/record",
      reply(200,
            R"({"run":)" + run_json("running") +
                R"(,"phase":"waiting_for_approval","attempt":{"number":2},)"
                R"("conversation":{"state":"open","turnNumber":3},"usage":null,"actions":[{"name":"n"}],)"
                R"("pendingApprovals":[{"actionId":"a","actionDigest":"sha256:d","requestId":"r"}],)"
                R"("artifacts":{"items":[{"id":"artifact_1"}]},"eventCursor":{"lastEventSeq":7},)"
                R"("operations":["cancel","approve"]})"));
  const auto turns = client.get_run_turns("run_1");
  EXPECT_EQ(turns.conversation_id, "run_1");
  EXPECT_EQ(turns.items.at(0).id + turns.items.at(0).prompt, "turn_1p");
  EXPECT_EQ(turns.items.at(0).turn_number, 1);
  const auto record = client.get_run_record("run_1");
  EXPECT_EQ(record.run.status, RunStatus::running);
  EXPECT_EQ(record.phase, "waiting_for_approval");
  EXPECT_EQ(record.attempt, 2);
  EXPECT_EQ(record.conversation_state, "open");
  EXPECT_EQ(record.turn_number, 3);
  EXPECT_EQ(record.pending_approvals.at(0).action_digest, "sha256:d");
  EXPECT_EQ(record.artifacts.at(0).id, "artifact_1");
  EXPECT_EQ(record.actions.as_array().at(0)["name"].as_string(), "n");
  EXPECT_THAT(record.operations, ElementsAre("cancel", "approve"));
  EXPECT_EQ(record.last_event_seq, 7);
  EXPECT_TRUE(record.usage.is_null());
}

TEST_F(AgentTest, CreateSendsScopePolicyTagsApprovalTimeoutAndWhatANewerServerTakes) {
  create();
  client.create_run({.task = "t",
                     .approval_scope = "action",
                     .policy = "ask-writes",
                     .tags = {{"team", "a"}, {"branch", "main"}},
                     .approval_timeout = 90s,
                     .extra = Json::object({{"priority", 3}})});
  EXPECT_EQ(server.requests().at(0).body,
            R"({"task":"t","approvalScope":"action","policy":"ask-writes","tags":{"branch":"main","team":"a"},)"
            R"("approvalTimeoutSeconds":90,"priority":3})");
}

TEST_F(AgentTest, ListsCarryEveryFilter) {
  server.on("GET /v1/runs", reply(200, R"({"items":[]})"));
  static_cast<void>(client.list_runs({.status = "failed",
                                      .runtime = "codex",
                                      .tags = {{"a b", "c&d"}},
                                      .conversation_id = "run_1",
                                      .created_after = "2026-11-24T00:00:00Z",
                                      .created_before = "2026-11-25",
                                      .query = "two words"}));
  EXPECT_EQ(server.requests().at(0).target,
            "/v1/runs?status=failed&runtime=codex&tag.a%20b=c%26d&conversationId=run_1&"
            "createdAfter=2026-11-24T00%3A00%3A00Z&createdBefore=2026-11-25&q=two%20words");
}

TEST_F(AgentTest, ALongListIsReadPageByPage) {
  server.on("GET /v1/runs",
            reply(200, R"({"items":[)" + run_json("queued", "run_1") + R"(],"nextCursor":"c1"})"));
  server.on("GET /v1/runs", reply(200, R"({"items":[],"nextCursor":"c2"})"));
  server.on("GET /v1/runs", reply(200, R"({"items":[)" + run_json("queued", "run_2") + "]}"));
  std::vector<std::string> ids;
  for (const auto& run : client.list_all_runs({.status = "active", .limit = 1})) ids.push_back(run.id);
  EXPECT_THAT(ids, ElementsAre("run_1", "run_2"));
  EXPECT_EQ(body_of(server.requests().at(2)), "GET /v1/runs?status=active&limit=1&cursor=c2 ");
}

TEST_F(AgentTest, AListThatLeadsToItselfEnds) {
  server.on("GET /v1/runs", reply(200, R"({"items":[],"nextCursor":"c1"})"));
  auto list = client.list_all_runs();
  EXPECT_EQ(error_of([&] { static_cast<void>(list.next()); }), "protocol_error/0null");
}

TEST_F(AgentTest, AProxyIsUsedAlsoForThisMachineWhenItIsNamed) {
  server.on("GET http://10.1.2.3:8787/v1/runs/run_1", reply(200, run_json("queued")));
  const Client far({.base_url = "http://10.1.2.3:8787", .proxy = server.url()});
  EXPECT_EQ(far.get_run("run_1").id, "run_1");
}

TEST_F(AgentTest, CertificatesThatCannotBeReadAreANetworkError) {
  const Client secure(
      {.base_url = "https://127.0.0.1:1", .ca_file = "/nonexistent/ca.pem", .max_retries = 0});
  EXPECT_EQ(error_of([&] { static_cast<void>(secure.get_run("run_1")); }), "network_error/0null");
}

}  // namespace
}  // namespace agentrouter
