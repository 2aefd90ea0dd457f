#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/id.h"
#include "cli/cli.h"
#include "cli/session_view.h"
#include "scripted_server.hpp"

namespace agentrouter::cli {
namespace {

using scripted::error_json;
using scripted::event_json;
using scripted::frame;
using scripted::open_stream;
using scripted::reply;
using testing::HasSubstr;
using testing::Not;

const std::string index_json =
    R"({"files":[{"status":" M","path":"src/a.cpp"},{"status":"??","path":"n\u001b[2Jew"}]})";

std::string run_json(const std::string& status, const std::string& more = "") {
  return R"({"id":"run_1","status":")" + status +
         R"(","runtime":{"kind":"codex","mode":"default"},"task":"the task","input":{},"lastEventSeq":3,)"
         R"("sessionId":null,"conversationId":"run_1","queuedAt":"2026-11-24T13:38:23.007Z",)"
         R"("startedAt":"2026-11-24T13:38:24.000Z","completedAt":"2026-11-24T13:38:36.300Z")" +
         more + "}";
}

std::string artifact_json(const std::string& id, const std::string& kind, const std::string& key,
                          const std::string& bytes) {
  return R"({"id":")" + id + R"(","runId":"run_1","kind":")" + kind + R"(","r2Key":"runs/run_1/)" + key +
         R"(","sizeBytes":)" + std::to_string(bytes.size()) + R"(,"sha256":")" + base::Sha256::hex_of(bytes) +
         R"(","metadata":{},"createdAt":"2026-11-24T13:38:23.007Z"})";
}

std::string artifacts_json() {
  return R"({"items":[)" +
         artifact_json("artifact_1", "workspace_file_index", "workspace/file-index.json", index_json) + "," +
         artifact_json("artifact_2", "workspace_patch", "workspace/changes.patch", "the patch") + "," +
         artifact_json("artifact_3", "stdout_log", "logs/stdout/000001.ndjson.gz", base::gzip("log")) + "]}";
}

struct CommandsTest : testing::Test {
  scripted::ScriptedServer server;
  Client client{{.api_key = "k", .base_url = server.url(), .max_retries = 0}};
  std::ostringstream out;
  std::ostringstream err;
  std::istringstream in;
  std::function<bool()> line_typed;
  std::mutex typing;
  std::deque<std::string> typed;
  Output output{.out = out, .err = err};
  std::stop_source interrupt;
  std::stop_source leave;
  std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / base::new_uuid(base::system_entropy());

  CommandsTest() { std::filesystem::create_directories(folder); }
  ~CommandsTest() override { std::filesystem::remove_all(folder); }

  int run(int (*action)(const Command&, Context&), Command command) {
    if (command.run_id.empty()) command.run_id = "run_1";
    Context context{client, output, in, interrupt.get_token(), leave.get_token(), line_typed};
    return action(command, context);
  }
  // What a person types next.
  void type(const std::string& line) {
    const std::lock_guard lock(typing);
    typed.push_back(line);
  }
  void artifacts() {
    server.on("GET /v1/runs/run_1/artifacts", reply(200, artifacts_json()));
    const std::string route = "GET /v1/runs/run_1/artifacts/artifact_";
    server.on(route + "1/download", reply(200, index_json));
    server.on(route + "2/download", reply(200, "the patch"));
    server.on(route + "3/download", reply(200, base::gzip("log")));
  }
  // A run that can be created and ends as `status`.
  void run_that_ends(const std::string& status, const std::string& more = "", const std::string& type = "") {
    server.on("POST /v1/runs", reply(201, run_json("queued")));
    server.on("GET /v1/runs/run_1/stream",
              open_stream({frame(1, "sandbox.created"),
                           frame(2, "agent.tool_started", R"({"tool":"shell","title":"ls \u001b[31m-la"})"),
                           frame(3, type.empty() ? "run." + status : type)}));
    server.on(
        "GET /v1/runs/run_1/session",
        reply(200, R"({"run":)" + run_json(status, more) +
                       R"(,"eventCursor":{"lastEventSeq":3},"response":{"text":"All \u001b[31mdone."},)" +
                       R"("artifactManifest":{"status":"missing"},"artifacts":)" + artifacts_json() + "}"));
    artifacts();
  }
  // Somebody sits at the terminal: lines of type() appear one by one.
  void person() {
    line_typed = [this] {
      const std::lock_guard lock(typing);
      if (typed.empty()) return false;
      in.clear();
      in.str(typed.front() + "\n");
      typed.pop_front();
      return true;
    };
  }
  // A run that asks for an approval and goes on once it has one.
  void run_that_asks(const std::string& verb, const std::string& last) {
    const auto action = std::string("/v1/runs/run_1/actions/action_1/") + verb;
    server.on("POST /v1/runs", reply(201, run_json("queued")));
    server.on(
        "GET /v1/runs/run_1/stream", [this, action, last](scripted::Connection& connection, const auto&) {
          connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
          connection.send(frame(1, "approval.requested", asked));
          server.wait_for("POST " + action, 1);
          connection.send(frame(2, "approval.decided", R"({"actionId":"action_1","decision":"approved"})"));
          connection.send(frame(3, last));
          connection.close();
        });
    server.on("POST " + action, reply(200, event_json(2, "approval.decided")));
    server.on("GET /v1/runs/run_1/session",
              reply(200, R"({"run":)" + run_json(last == "run.completed" ? "completed" : "failed") +
                             R"(,"response":null,"artifacts":{"items":[]}})"));
  }
  static constexpr const char* asked =
      R"({"actionId":"action_1","actionDigest":"sha256:aa","action":{"name":"codex.launch","args":)"
      R"({"cwd":"/w\u001b[2J","argvWithoutPrompt":["exec"]}}})";
  std::string message_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const UsageError& error) {
      return error.message;
    } catch (const Error& error) {
      return error.code();
    }
    return "none";
  }
};

TEST_F(CommandsTest, RunShowsStepsThenAnswerFilesAndArtifacts) {
  run_that_ends("completed");
  EXPECT_EQ(run(run_task, {.task = "the task", .workspace = folder}), exit_code::completed);
  EXPECT_EQ(out.str(),
            "All done.\n\n"
            "Changed files (2):\n  M  src/a.cpp\n  A  new\n\n"
            "Artifacts:\n"
            "  workspace_file_index  84 B  artifact_1\n"
            "  workspace_patch       9 B   artifact_2\n"
            "  stdout_log            23 B  artifact_3\n");
  EXPECT_THAT(err.str(), HasSubstr("Run run_1\n- Sandbox ready\n> $ ls -la\n"));
  EXPECT_THAT(err.str(), HasSubstr("Run run_1 completed in 12.3 s\n"));
  EXPECT_THAT(err.str(), HasSubstr("agentrouter download run_1 workspace_patch -o - | git apply"));
  EXPECT_THAT(err.str() + out.str(), Not(HasSubstr("\x1b")));

  const auto request = server.requests("POST /v1/runs").at(0);
  const auto real = std::filesystem::canonical(folder).string();
  EXPECT_EQ(request.body,
            R"({"task":"the task","runtime":{"kind":"codex"},"workspace":{"path":")" + real + R"("}})");
  EXPECT_EQ(request.header("idempotency-key").size(), 36u);
}

TEST_F(CommandsTest, RunEndsWithTheCodeOfItsState) {
  run_that_ends(
      "failed",
      R"(,"failure":{"code":"provider_runtime_failed","reason":"boom","cause":"provider_auth_failed"})");
  EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::failed);
  EXPECT_THAT(err.str(), HasSubstr("Run run_1 failed (provider_runtime_failed, provider_auth_failed): boom"));
  for (const auto* code : {"approval_denied", "policy_denied"}) {
    run_that_ends("failed", R"(,"failure":{"code":")" + std::string(code) + "\"}");
    EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::denied);
  }
  run_that_ends("cancelled");
  EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::cancelled);
}

TEST_F(CommandsTest, RunAsJsonPrintsEveryEventThenTheSession) {
  run_that_ends("completed");
  EXPECT_EQ(run(run_task, {.json = true, .task = "t"}), exit_code::completed);
  std::istringstream lines(out.str());
  std::vector<Json> values;
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  ASSERT_EQ(values.size(), 4u);
  EXPECT_EQ(values[0].dump(), event_json(1, "sandbox.created"));
  EXPECT_EQ(values[2]["type"].as_string(), "run.completed");
  EXPECT_EQ(values[3]["run"]["status"].as_string(), "completed");
  EXPECT_EQ(err.str(), "");
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, RunPassesModeModelAndApprovalAndReadsTheTaskFromInput) {
  run_that_ends("completed");
  in.str("line 1\nline 2\n");
  EXPECT_EQ(run(run_task,
                {.task = "-", .runtime = "claude_code", .mode = "plan", .model = "m", .approve = "manual"}),
            0);
  EXPECT_EQ(
      server.requests("POST /v1/runs").at(0).body,
      R"({"task":"line 1\nline 2\n","runtime":{"kind":"claude_code","permissionMode":"plan","model":"m"},)"
      R"("approvalMode":"manual"})");
}

TEST_F(CommandsTest, AWorkspaceThatCannotBeUsedIsRefusedBeforeAnythingIsSent) {
  std::ofstream(folder / "file");
  for (const std::string& workspace :
       {(folder / "none").string(), (folder / "file").string(), std::string("https://host/repo.git")}) {
    EXPECT_NE(message_of([&] { static_cast<void>(run(run_task, {.task = "t", .workspace = workspace})); }),
              "none");
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(CommandsTest, AnInterruptCancelsTheRunAndFollowsItToItsEnd) {
  server.on("POST /v1/runs", reply(201, run_json("queued")));
  server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "sandbox.created")}));
  server.on("POST /v1/runs/run_1/cancel", reply(200, run_json("cancelling")));
  server.on("GET /v1/runs/run_1/session", reply(200, R"({"run":)" + run_json("cancelled") +
                                                         R"(,"response":null,"artifacts":{"items":[]}})"));
  std::thread person([&] {
    server.wait_for("GET /v1/runs/run_1/stream", 1);
    server.on("GET /v1/runs/run_1/stream",
              open_stream({frame(1, "sandbox.created"), frame(2, "run.cancelled")}));
    interrupt.request_stop();
  });
  EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::cancelled);
  person.join();
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/cancel").size(), 1u);
  EXPECT_THAT(err.str(), HasSubstr("Cancelling run_1"));
  EXPECT_THAT(err.str(), HasSubstr("Run run_1 cancelled"));
}

TEST_F(CommandsTest, ASecondInterruptLeavesTheRunToTheServer) {
  server.on("POST /v1/runs", reply(201, run_json("queued")));
  server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "sandbox.created")}));
  server.on("POST /v1/runs/run_1/cancel", reply(200, run_json("cancelling")));
  std::thread person([&] {
    server.wait_for("GET /v1/runs/run_1/stream", 1);
    interrupt.request_stop();
    server.wait_for("GET /v1/runs/run_1/stream", 2);
    leave.request_stop();
  });
  EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::cancelled);
  person.join();
  EXPECT_THAT(err.str(), HasSubstr("Left run_1 to the server: agentrouter events -f run_1"));
}

TEST_F(CommandsTest, APersonAtTheTerminalIsAskedAndCanLookFirst) {
  person();
  type("");
  type("what?");
  type("d");
  type("y looks good");
  run_that_asks("approve", "run.completed");
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::completed);
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/actions/action_1/approve").at(0).body,
            R"({"actionDigest":"sha256:aa","reason":"looks good"})");
  EXPECT_THAT(err.str(), HasSubstr("Allow codex.launch? [y]es, [n]o, [d]etails: "));
  EXPECT_THAT(err.str(), HasSubstr("  argvWithoutPrompt  [\"exec\"]\n"));
  EXPECT_THAT(err.str(), HasSubstr("  digest             sha256:aa\n"));
  EXPECT_THAT(err.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(err.str(), Not(HasSubstr("agentrouter approve")));
}

TEST_F(CommandsTest, APersonCanSayNo) {
  person();
  type("no not today");
  run_that_asks("deny", "run.failed");
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::failed);
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/actions/action_1/deny").at(0).body,
            R"({"actionDigest":"sha256:aa","reason":"not today"})");
}

TEST_F(CommandsTest, AQuestionThatWasSettledElsewhereIsNoFailure) {
  person();
  type("y");
  run_that_asks("approve", "run.completed");
  server.on("POST /v1/runs/run_1/actions/action_1/approve",
            reply(409, error_json("approval_already_decided", "it has been denied")));
  server.on("POST /v1/runs/run_1/actions/action_1/approve",
            reply(409, error_json("approval_already_decided", "it has been denied")));
  static_cast<void>(client.healthy());
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::completed);
}

TEST_F(CommandsTest, ADecisionMadeElsewhereTakesTheQuestionBack) {
  person();
  server.on("POST /v1/runs", reply(201, run_json("queued")));
  server.on("GET /v1/runs/run_1/stream",
            open_stream({frame(1, "approval.requested", asked),
                         frame(2, "approval.decided", R"({"actionId":"action_1","decision":"approved"})"),
                         frame(3, "agent.started"), frame(4, "run.completed")}));
  server.on("GET /v1/runs/run_1/session", reply(200, R"({"run":)" + run_json("completed") +
                                                         R"(,"response":null,"artifacts":{"items":[]}})"));
  type("y");
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::completed);
  EXPECT_TRUE(server.requests("POST /v1/runs/run_1/actions/action_1/approve").empty());
}

TEST_F(CommandsTest, AtTheEndOfInputTheDecisionIsLeftToOthers) {
  line_typed = [] { return true; };
  run_that_asks("approve", "run.completed");
  std::thread other([&] {
    server.wait_for("GET /v1/runs/run_1/stream", 1);
    client.approve_run_action({.run_id = "run_1", .action_id = "action_1", .action_digest = "sha256:aa"});
  });
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::completed);
  other.join();
}

TEST_F(CommandsTest, WithoutATerminalTheCommandsToDecideAreTold) {
  run_that_asks("approve", "run.completed");
  std::thread other([&] {
    server.wait_for("GET /v1/runs/run_1/stream", 1);
    client.approve_run_action({.run_id = "run_1", .action_id = "action_1", .action_digest = "sha256:aa"});
  });
  EXPECT_EQ(run(run_task, {.task = "t", .approve = "manual"}), exit_code::completed);
  other.join();
  EXPECT_THAT(err.str(), HasSubstr("agentrouter approve run_1 action_1"));
  EXPECT_THAT(err.str(), Not(HasSubstr("[y]es")));
}

TEST_F(CommandsTest, ContinueSendsTheMessageAndFollowsTheNewRun) {
  run_that_ends("completed");
  server.on("POST /v1/runs/run_0/messages",
            reply(202, R"({"runId":"run_1","turnNumber":2,"conversationId":"run_0"})"));
  EXPECT_EQ(run(run_task, {.task = "go on", .approve = "manual", .continue_run = "run_0"}),
            exit_code::completed);
  EXPECT_THAT(out.str(), HasSubstr("All done."));
  const auto request = server.requests("POST /v1/runs/run_0/messages").at(0);
  EXPECT_EQ(request.body, R"({"message":"go on","approvalMode":"manual"})");
  EXPECT_EQ(request.header("idempotency-key").size(), 36u);
  EXPECT_TRUE(server.requests("POST /v1/runs").empty());
}

TEST_F(CommandsTest, WhatAConversationHasCannotBeGivenAgain) {
  const std::vector<Command> commands = {{.task = "t", .runtime = "codex", .continue_run = "run_0"},
                                         {.task = "t", .mode = "default", .continue_run = "run_0"},
                                         {.task = "t", .model = "m", .continue_run = "run_0"},
                                         {.task = "t", .workspace = "/", .continue_run = "run_0"},
                                         {.task = "t", .continue_run = "run_0", .tags = {"a=b"}}};
  for (const auto& command : commands) {
    EXPECT_THAT(message_of([&] { static_cast<void>(run(run_task, command)); }),
                HasSubstr("cannot be changed in a conversation"));
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(CommandsTest, TagsGoWithTheRunAndMayHoldAnything) {
  run_that_ends("completed");
  static_cast<void>(run(run_task, {.task = "t", .tags = {"team=a=b", "empty="}}));
  EXPECT_EQ(server.requests("POST /v1/runs").at(0).body,
            R"({"task":"t","runtime":{"kind":"codex"},"tags":{"empty":"","team":"a=b"}})");
  EXPECT_THAT(message_of([&] { static_cast<void>(run(run_task, {.task = "t", .tags = {"a=1", "a=2"}})); }),
              HasSubstr("the tag a is given twice"));
}

TEST_F(CommandsTest, AMissingFileIndexDoesNotSpoilTheOutcome) {
  run_that_ends("completed");
  server.on("GET /v1/runs/run_1/artifacts/artifact_1/download",
            reply(404, error_json("artifact_not_found", "gone")));
  server.on("GET /v1/runs/run_1/artifacts/artifact_1/download",
            reply(404, error_json("artifact_not_found", "gone")));
  static_cast<void>(run(run_task, {.task = "t"}));
  EXPECT_EQ(run(run_task, {.task = "t"}), exit_code::completed);
  EXPECT_THAT(err.str(), HasSubstr("cannot list the changed files: gone"));
}

TEST_F(CommandsTest, RunsAreATableOrTheListAsItCame) {
  const auto list = R"({"items":[)" + run_json("running") + "]}";
  server.on("GET /v1/runs", reply(200, list));
  EXPECT_EQ(run(list_runs, {.status = "active", .limit = 3}), 0);
  EXPECT_EQ(out.str(), "run_1  running  2026-11-24 13:38:23  the task\n");
  EXPECT_EQ(server.requests().at(0).target, "/v1/runs?status=active&limit=3");
  out.str("");
  EXPECT_EQ(run(list_runs, {.json = true}), 0);
  EXPECT_EQ(out.str(), list + "\n");
}

TEST_F(CommandsTest, RunsTakeFiltersAndSayHowToGoOn) {
  server.on("GET /v1/runs", reply(200, R"({"items":[)" + run_json("failed") + R"(],"nextCursor":"c2"})"));
  EXPECT_EQ(run(list_runs, {.runtime = "codex",
                            .tags = {"team=a b"},
                            .status = "failed",
                            .query = "slow tests",
                            .limit = 1,
                            .cursor = "c1"}),
            0);
  EXPECT_EQ(server.requests().at(0).target,
            "/v1/runs?status=failed&runtime=codex&tag.team=a%20b&q=slow%20tests&limit=1&cursor=c1");
  EXPECT_THAT(err.str(), HasSubstr("add --cursor c2, or --all"));
}

TEST_F(CommandsTest, AllRunsAreOneListHoweverManyPages) {
  const auto pages = [&] {
    server.on("GET /v1/runs", reply(200, R"({"items":[{"id":"run_1","n":1}],"nextCursor":"c2"})"));
    server.on("GET /v1/runs", reply(200, R"({"items":[{"id":"run_2"}]})"));
  };
  pages();
  EXPECT_EQ(run(list_runs, {.json = true, .all = true}), 0);
  EXPECT_EQ(out.str(), "{\"items\":[{\"id\":\"run_1\",\"n\":1},{\"id\":\"run_2\"}]}\n");
  EXPECT_EQ(server.requests().at(1).target, "/v1/runs?limit=100&cursor=c2");
  pages();
  out.str("");
  EXPECT_EQ(run(list_runs, {.all = true}), 0);
  EXPECT_THAT(out.str(), HasSubstr("run_2"));
}

TEST_F(CommandsTest, TurnsAreATableOrTheListAsItCame) {
  const std::string list =
      R"({"conversationId":"run_1","items":[{"id":"turn_1","runId":"run_1","turnNumber":1,"prompt":"a\nb",)"
      R"("createdAt":"2026-11-24T13:38:23.007Z"}]})";
  server.on("GET /v1/runs/run_1/turns", reply(200, list));
  EXPECT_EQ(run(list_turns, {}), 0);
  EXPECT_EQ(out.str(), "1  run_1  2026-11-24 13:38:23  a b\n");
  out.str("");
  EXPECT_EQ(run(list_turns, {.json = true}), 0);
  EXPECT_EQ(out.str(), list + "\n");
}

TEST_F(CommandsTest, CloseTellsTheConversation) {
  const std::string answer = R"({"closed":true,"conversationId":"run_0","reclaimed":true})";
  server.on("POST /v1/runs/run_1/close", reply(200, answer));
  EXPECT_EQ(run(close_run, {}), 0);
  EXPECT_EQ(out.str(), "Closed the conversation run_0\n");
  out.str("");
  EXPECT_EQ(run(close_run, {.json = true}), 0);
  EXPECT_EQ(out.str(), answer + "\n");
}

TEST_F(CommandsTest, ShowTellsWhatTheRecordKnows) {
  run_that_ends("completed");
  server.on(
      "GET /v1/runs/run_1/record",
      reply(200, R"({"run":)" + run_json("running") +
                     R"(,"phase":"waiting_for_approval","attempt":{"number":2},)"
                     R"("usage":{"inputTokens":7,"outputTokens":3,"costUsd":0.5},)"
                     R"("conversation":{"state":"closed","turnNumber":2},)"
                     R"("actions":[{"actionId":"action_1","name":"codex.launch"}],)"
                     R"("pendingApprovals":[{"actionId":"action_1","expiresAt":"2026-11-24T13:40:00.000Z"}],)"
                     R"("operations":["cancel","approve"]})"));
  EXPECT_EQ(run(show_run, {}), 0);
  for (const auto* row :
       {"Phase      waiting_for_approval\n", "Attempt    2\n", "Usage      7 tokens in, 3 out, 0.5 USD\n",
        "Turn       2 of run_1 (closed)\n", "Waits for  codex.launch action_1 until 2026-11-24 13:40:00\n",
        "Possible   cancel, approve\n"}) {
    EXPECT_THAT(out.str(), HasSubstr(row));
  }
  out.str("");
  EXPECT_EQ(run(show_run, {.json = true}), 0);
  EXPECT_EQ(Json::parse(out.str())["record"]["phase"].as_string(), "waiting_for_approval");
}

TEST_F(CommandsTest, ShowPrintsStateAnswerAndArtifacts) {
  run_that_ends("completed");
  EXPECT_EQ(run(show_run, {}), 0);
  EXPECT_THAT(out.str(),
              HasSubstr("State    completed in 12.3 s\nAgent    codex default\nTask     the task\n"));
  EXPECT_THAT(out.str(), HasSubstr("All done.\n"));
  EXPECT_THAT(out.str(), HasSubstr("artifact_2"));
}

TEST_F(CommandsTest, EventsReadEveryPage) {
  std::string page;
  for (int i = 1; i <= 500; ++i)
    page += (i > 1 ? "," : "") + event_json(i, "agent.progress", R"({"summary":"s"})");
  server.on("GET /v1/runs/run_1/events", reply(200, R"({"items":[)" + page + R"(],"nextAfterSeq":500})"));
  server.on("GET /v1/runs/run_1/events",
            reply(200, R"({"items":[)" + event_json(501, "run.completed") + R"(],"nextAfterSeq":501})"));
  EXPECT_EQ(run(print_events, {}), 0);
  EXPECT_THAT(out.str(), HasSubstr("1     13:38:23.007  agent.progress              s\n"));
  EXPECT_THAT(out.str(), HasSubstr("501   13:38:23.007  run.completed\n"));
  EXPECT_EQ(server.requests().at(1).target, "/v1/runs/run_1/events?afterSeq=500&limit=500");
}

TEST_F(CommandsTest, EventsFollowTheRunToItsEnd) {
  server.on("GET /v1/runs/run_1/stream",
            open_stream({frame(8, "agent.progress"), frame(9, "run.completed")}));
  EXPECT_EQ(run(print_events, {.json = true, .follow = true, .after = 7}), 0);
  EXPECT_EQ(out.str(), event_json(8, "agent.progress") + "\n" + event_json(9, "run.completed") + "\n");
}

TEST_F(CommandsTest, DecisionsFindTheOnlyWaitingActionAndItsDigest) {
  const auto* asked =
      R"({"actionId":"action_1","actionDigest":"sha256:aa","action":{"name":"codex.launch"}})";
  const auto* settled = R"({"actionId":"action_0","actionDigest":"sha256:bb"})";
  server.on("GET /v1/runs/run_1/events",
            reply(200, R"({"items":[)" + event_json(1, "approval.requested", settled) + "," +
                           event_json(2, "approval.decided", settled) + "," +
                           event_json(3, "approval.requested", asked) + R"(],"nextAfterSeq":3})"));
  server.on("POST /v1/runs/run_1/actions/action_1/approve", reply(200, event_json(4, "approval.decided")));
  server.on("POST /v1/runs/run_1/actions/action_0/deny",
            reply(409, error_json("approval_already_decided", "it has been approved")));
  EXPECT_EQ(run(decide_action, {.name = "approve", .reason = "fine"}), 0);
  EXPECT_EQ(out.str(), "Approved codex.launch (action_1)\n");
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/actions/action_1/approve").at(0).body,
            R"({"actionDigest":"sha256:aa","reason":"fine"})");
  EXPECT_EQ(
      message_of([&] { static_cast<void>(run(decide_action, {.name = "deny", .action_id = "action_0"})); }),
      "approval_already_decided");
  EXPECT_THAT(
      message_of([&] { static_cast<void>(run(decide_action, {.name = "deny", .action_id = "action_9"})); }),
      HasSubstr("no approval was asked for action_9"));
}

TEST_F(CommandsTest, DecisionsWithoutAChoiceOrWithTooManyAreRefused) {
  server.on("GET /v1/runs/run_1/events", reply(200, R"({"items":[],"nextAfterSeq":0})"));
  EXPECT_THAT(message_of([&] { static_cast<void>(run(decide_action, {.name = "deny"})); }),
              HasSubstr("no action"));
  server.on(
      "GET /v1/runs/run_1/events",
      reply(200, R"({"items":[)" +
                     event_json(1, "approval.requested", R"({"actionId":"a","actionName":"x"})") + "," +
                     event_json(2, "approval.requested", R"({"actionId":"b","actionName":"y"})") + "]}"));
  EXPECT_EQ(message_of([&] { static_cast<void>(run(decide_action, {.name = "deny"})); }),
            "several actions wait; name one of them:\n  a  x\n  b  y");
}

TEST_F(CommandsTest, CancelTellsTheNewState) {
  server.on("POST /v1/runs/run_1/cancel", reply(200, run_json("cancelling")));
  EXPECT_EQ(run(cancel_run, {}), 0);
  EXPECT_THAT(out.str(), HasSubstr("Run run_1 cancelling"));
}

TEST_F(CommandsTest, DownloadTakesAKindOrAnIdAndChecksTheDigest) {
  artifacts();
  EXPECT_EQ(run(download_artifacts, {.artifact = "workspace_patch", .output = "-"}), 0);
  EXPECT_EQ(out.str(), "the patch");
  out.str("");
  EXPECT_EQ(run(download_artifacts, {.artifact = "artifact_2", .output = folder / "p"}), 0);
  EXPECT_EQ(base::value_or_throw(base::read_file(folder / "p")), "the patch");

  server.on("GET /v1/runs/run_1/artifacts/artifact_2/download", reply(200, "tampered!"));
  const auto again = [&] {
    static_cast<void>(run(download_artifacts, {.artifact = "artifact_2", .output = folder / "q"}));
  };
  EXPECT_EQ(message_of(again), "corrupt_download");
  EXPECT_FALSE(std::filesystem::exists(folder / "q"));
  EXPECT_FALSE(std::filesystem::exists(folder / "q.unchecked"));
  EXPECT_THAT(message_of([&] { static_cast<void>(run(download_artifacts, {.artifact = "nothing"})); }),
              HasSubstr("it has workspace_file_index, workspace_patch, stdout_log"));
}

TEST_F(CommandsTest, DownloadOfAllWritesPlainNamesIntoOneFolder) {
  artifacts();
  EXPECT_EQ(run(download_artifacts, {.json = true, .output = folder / "all"}), 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "all/file-index.json"));
  EXPECT_TRUE(std::filesystem::exists(folder / "all/changes.patch"));
  EXPECT_TRUE(std::filesystem::exists(folder / "all/stdout_log-000001.ndjson.gz"));
  std::istringstream lines(out.str());
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(Json::parse(line)["artifactId"].as_string(), "artifact_1");
}

TEST_F(CommandsTest, ANameThatTheServerChoseCannotLeaveTheFolder) {
  const auto artifact = artifact_json("artifact_9", "x", R"(..\u002f..\u002f.hid den\u001b)", "b");
  server.on("GET /v1/runs/run_1/artifacts", reply(200, R"({"items":[)" + artifact + "]}"));
  server.on("GET /v1/runs/run_1/artifacts/artifact_9/download", reply(200, "b"));
  EXPECT_EQ(run(download_artifacts, {.output = folder / "all"}), 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "all/hid_den_"));
}

TEST_F(CommandsTest, ATerminalGetsPrintableTextAndNoCompressedBytes) {
  server.on("GET /v1/runs/run_1/artifacts/artifact_2/download", reply(200, "a\x1b[31mb"));
  artifacts();
  output.out_terminal = true;
  EXPECT_THAT(message_of([&] {
                static_cast<void>(run(download_artifacts, {.artifact = "stdout_log", .output = "-"}));
              }),
              HasSubstr("zcat"));
  EXPECT_EQ(run(download_artifacts, {.artifact = "artifact_2", .output = "-"}), 0);
  EXPECT_EQ(out.str(), "ab");
}

TEST(FileIndex, OfAnotherShapeIsNone) {
  EXPECT_FALSE(parse_file_index("garbage"));
  EXPECT_FALSE(parse_file_index(R"({"files":{}})"));
  const auto changed =
      parse_file_index(R"({"files":[{"status":" D","path":"a"},{"status":" T"},{}],"truncated":true})");
  ASSERT_TRUE(changed);
  EXPECT_TRUE(changed->truncated);
  EXPECT_EQ(changed->files.at(0).mark, "D");
  EXPECT_EQ(changed->files.at(2).mark, "?");
}

}  // namespace
}  // namespace agentrouter::cli
