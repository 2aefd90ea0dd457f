#include <gtest/gtest.h>

#include "base/hash.h"
#include "model/action.h"
#include "model/artifact.h"
#include "model/event.h"
#include "model/run.h"

namespace agentrouter::model {
namespace {

TEST(RunStatus, MovesOnlyAlongTheContractsArrows) {
  EXPECT_TRUE(can_move(RunStatus::queued, RunStatus::starting));
  EXPECT_TRUE(can_move(RunStatus::running, RunStatus::running));
  EXPECT_TRUE(can_move(RunStatus::cancelling, RunStatus::cancelled));
  EXPECT_FALSE(can_move(RunStatus::queued, RunStatus::completed));
  EXPECT_FALSE(can_move(RunStatus::cancelling, RunStatus::completed));
  for (const auto end : {RunStatus::completed, RunStatus::failed, RunStatus::cancelled}) {
    EXPECT_FALSE(can_move(end, RunStatus::running));
    EXPECT_TRUE(is_terminal(end));
  }
}

Run sample_run() {
  Run run;
  run.id = RunId("run_1");
  run.conversation_id = run.id;
  run.task = "say \"input\":null twice";
  run.input = R"({"task":"x"})";
  run.queued_at = base::value_or_throw(base::parse_iso("2026-11-24T10:00:00.000Z"));
  return run;
}

TEST(Run, WireFormHoldsTheRequestAsItWasStoredAndLeavesUnsetFieldsOut) {
  EXPECT_EQ(sample_run().to_wire(),
            R"({"id":"run_1","status":"queued","runtime":{"kind":"codex","mode":"default"},)"
            R"("task":"say \"input\":null twice","input":{"task":"x"},"lastEventSeq":0,"sessionId":null,)"
            R"("conversationId":"run_1","queuedAt":"2026-11-24T10:00:00.000Z"})");
}

TEST(Run, TagsAreOnTheWireWhenThereAreAny) {
  auto run = sample_run();
  run.tags = {{"env", "prod"}, {"team", "a"}};
  const auto wire = base::value_or_throw(base::parse_json(run.to_wire()));
  EXPECT_EQ(base::to_text(wire.as_object().at("tags")), R"({"env":"prod","team":"a"})");
}

TEST(ApprovalMode, IsTighterTheMoreItAsks) {
  EXPECT_TRUE(is_tighter(ApprovalMode::manual, ApprovalMode::automatic));
  EXPECT_TRUE(is_tighter(ApprovalMode::block, ApprovalMode::manual));
  EXPECT_FALSE(is_tighter(ApprovalMode::manual, ApprovalMode::manual));
  EXPECT_FALSE(is_tighter(ApprovalMode::automatic, ApprovalMode::block));
}

TEST(Run, TaskIsCutTo500Utf16UnitsOnTheWireOnly) {
  auto run = sample_run();
  run.task = std::string(499, 'a') + "\xf0\x9f\x98\x80";
  const auto wire = base::value_or_throw(base::parse_json(run.to_wire()));
  EXPECT_EQ(wire.as_object().at("task").as_string().size(), 499u);
}

TEST(EventDraft, SurvivesTheJournalUnchanged) {
  EventDraft draft;
  draft.type = "agent.message";
  draft.source = EventSource::codex;
  draft.provider_event_type = "item.completed";
  draft.payload = R"({"text":"a\nb"})";
  draft.created_at = base::value_or_throw(base::parse_iso("2026-11-24T10:00:00.001Z"));
  const auto copy = base::value_or_throw(EventDraft::from_json_text(draft.to_json_text()));
  EXPECT_EQ(copy.to_json_text(), draft.to_json_text());
  EXPECT_EQ(EventDraft::from_json_text("{}").error().code, base::Code::corrupt);
}

TEST(Action, DigestCoversEveryArgumentAndIgnoresKeyOrder) {
  LaunchFacts facts{
      .runtime = {}, .task = "t", .command = "codex", .argv = {"app-server"}, .cwd = "/workspace"};
  const auto action = make_action(ActionId("action_1"), launch_action(facts));
  facts.task = "u";
  EXPECT_NE(make_action(ActionId("action_1"), launch_action(facts)).digest, action.digest);
  const auto reordered = base::value_or_throw(base::parse_json(
      R"({"args":{"cwd":"/workspace","argvWithoutPrompt":["app-server"],"command":"codex","runtimeMode":"default",)"
      R"("runtimeKind":"codex","provider":"codex","promptSha256":"sha256:)" +
      base::Sha256::hex_of("t") +
      R"("},"schemaVersion":"agentrouter.runtime_command.v1","target":"/workspace","name":"codex.launch","type":"runtime_command"})"));
  EXPECT_EQ(base::json_digest(reordered), action.digest);
}

TEST(Action, AToolCallsDigestCoversAllThatDeterminesWhatRuns) {
  const ToolCallFacts facts{.runtime = {},
                            .tool = "shell",
                            .title = "touch a",
                            .input = {{"command", "touch a"}},
                            .input_digest = "sha256:a",
                            .cwd = "/workspace",
                            .environment = {"HOME", "PATH"}};
  const auto digest_of = [](const ToolCallFacts& of) {
    return make_action(ActionId("action_1"), tool_action(of)).digest;
  };
  std::vector<ToolCallFacts> others(7, facts);
  others[0].tool = "edit";
  others[1].input["command"] = "touch a ";
  others[2].input_digest = "sha256:b";
  others[3].cwd = "/workspace/a";
  others[4].environment = {"HOME"};
  others[5].runtime.mode = "full_access";
  others[6].runtime.kind = RuntimeKind::claude_code;
  EXPECT_EQ(digest_of(facts), digest_of(ToolCallFacts(facts)));
  for (const auto& other : others) EXPECT_NE(digest_of(other), digest_of(facts)) << other.tool;
}

TEST(Artifact, CollectingTwiceGivesTheSameIdAndKey) {
  const auto a = named_artifact(RunId("run_1"), "stdout_log");
  EXPECT_EQ(a.id, named_artifact(RunId("run_1"), "stdout_log").id);
  EXPECT_NE(a.id, named_artifact(RunId("run_2"), "stdout_log").id);
  EXPECT_EQ(a.r2_key, "runs/run_1/logs/stdout/000001.ndjson.gz");
}

}  // namespace
}  // namespace agentrouter::model
