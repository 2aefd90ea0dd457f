#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

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
                {.task = "-",
                 .runtime = "claude_code",
                 .mode = "plan",
                 .model = "m",
                 .approve = "manual",
                 .scope = "action",
                 .policy = "ci-safe",
                 .image = "node",
                 .require_isolation = "vm",
                 .requirements = {"gpu=false"}}),
            0);
  EXPECT_EQ(
      server.requests("POST /v1/runs").at(0).body,
      R"({"task":"line 1\nline 2\n","runtime":{"kind":"claude_code","permissionMode":"plan","model":"m"},)"
      R"("approvalMode":"manual","approvalScope":"action","policy":"ci-safe","image":"node","requireIsolation":"vm",)"
      R"("requires":{"gpu":"false"}})");
}

TEST_F(CommandsTest, RunPassesLimits) {
  run_that_ends("completed");
  EXPECT_EQ(run(run_task, {.task = "t", .max_cost = 0.5, .max_wall = 60, .max_tokens = 1000, .max_actions = 3}), 0);
  EXPECT_THAT(server.requests("POST /v1/runs").at(0).body,
              HasSubstr(R"("limits":{"maxWallSeconds":60,"maxTokens":1000,"maxActions":3,"maxCostUsd":0.5})"));
}

TEST_F(CommandsTest, BudgetsAreATable) {
  server.on("GET /v1/budgets",
            reply(200, R"({"items":[{"scope":"workspace","name":"default","window":"day","period":"2026-11-29",)"
                       R"("limit":{"tokens":1000,"costUsd":2},"spent":{"tokens":10,"costUsd":0.5},)"
                       R"("reserved":{"tokens":250,"costUsd":0}}]})"));
  EXPECT_EQ(run(list_budgets, {}), 0);
  EXPECT_THAT(out.str(), HasSubstr("workspace default"));
  EXPECT_THAT(out.str(), HasSubstr("1000 tokens, 2 USD"));
  EXPECT_THAT(out.str(), HasSubstr("250 tokens, 0 USD"));
}

TEST_F(CommandsTest, AWorkspaceThatCannotBeUsedIsRefusedBeforeAnythingIsSent) {
  std::ofstream(folder / "file");
  for (const std::string& workspace : {(folder / "none").string(), (folder / "file").string()}) {
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

TEST_F(CommandsTest, APersonSeesWhatAnActionWouldDo) {
  person();
  type("y");
  asked = R"({"actionId":"action_1","actionDigest":"sha256:aa","action":{"type":"tool_call","name":"codex.shell",)"
          R"("target":"touch a\u001b[2J","args":{}}})";
  run_that_asks("approve", "run.completed");
  EXPECT_EQ(run(run_task, {.task = "t", .scope = "action"}), exit_code::completed);
  EXPECT_THAT(err.str(), HasSubstr("Allow codex.shell: touch a? [y]es, [n]o, [d]etails: "));
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

}  // namespace
}  // namespace agentrouter::cli
