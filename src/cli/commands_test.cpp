#include "cli/commands_test.h"

#include "cli/session_view.h"

namespace agentrouter::cli {
namespace {

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

TEST_F(CommandsTest, DeleteSaysWhatIsGone) {
  server.on("DELETE /v1/runs/run_1", reply(204, ""));
  EXPECT_EQ(run(delete_run, {}), 0);
  EXPECT_EQ(out.str(), "Deleted the run run_1\n");
  out.str("");
  EXPECT_EQ(run(delete_run, {.json = true}), 0);
  EXPECT_EQ(out.str(), R"({"runId":"run_1","deleted":true})" "\n");
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

std::string question_json(int number) {
  const auto id = std::to_string(number);
  return R"({"runId":"run_1","actionId":"action_)" + id + R"(","actionDigest":"sha256:aa","requestId":"approval_)" + id +
         R"(","name":"codex.shell","target":"touch \u001b[31m)" + id + "\"}";
}

TEST_F(CommandsTest, ApprovalsListWhatWaitsOnOneLineEach) {
  server.on("GET /v1/approvals",
            reply(200, R"({"items":[)" + question_json(1) + "," + question_json(2) + R"(],"nextAfter":7})"));
  EXPECT_EQ(run(list_approvals, {}), 0);
  EXPECT_EQ(out.str(), "run_1  action_1  codex.shell  touch 1\nrun_1  action_2  codex.shell  touch 2\n");
  EXPECT_EQ(server.requests().at(0).target, "/v1/approvals?runId=run_1&limit=500");
}

TEST_F(CommandsTest, ApprovalsAreWatchedWithoutPolling) {
  server.on("GET /v1/approvals", reply(200, R"({"items":[],"nextAfter":0})"));
  server.on("GET /v1/approvals", reply(200, R"({"items":[)" + question_json(1) + R"(],"nextAfter":7})"));
  server.on("GET /v1/approvals", reply(403, error_json("forbidden", "enough")));
  EXPECT_EQ(message_of([&] { static_cast<void>(run(list_approvals, {.json = true, .watch = true})); }),
            "forbidden");
  EXPECT_EQ(out.str(), question_json(1) + "\n");
  EXPECT_EQ(server.requests().at(1).target, "/v1/approvals?runId=run_1&limit=500&waitSeconds=20");
  EXPECT_EQ(server.requests().at(2).target, "/v1/approvals?runId=run_1&after=7&limit=500&waitSeconds=20");
}

TEST_F(CommandsTest, EveryActionThatWaitsIsDecidedAtOnce) {
  const auto asked = [](const char* id) {
    return R"({"actionId":")" + std::string(id) + R"(","actionDigest":"sha256:)" + id + R"(","actionName":"codex.shell"})";
  };
  server.on("GET /v1/runs/run_1/events",
            reply(200, R"({"items":[)" + event_json(1, "approval.requested", asked("action_1")) + "," +
                           event_json(2, "approval.requested", asked("action_2")) + R"(],"nextAfterSeq":2})"));
  for (const auto* id : {"action_1", "action_2"})
    server.on("POST /v1/runs/run_1/actions/" + std::string(id) + "/approve", reply(200, event_json(3, "approval.decided")));
  EXPECT_EQ(run(decide_action, {.name = "approve", .all = true}), 0);
  EXPECT_EQ(out.str(), "Approved codex.shell (action_1)\nApproved codex.shell (action_2)\n");
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/actions/action_2/approve").at(0).body,
            R"({"actionDigest":"sha256:action_2"})");
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
