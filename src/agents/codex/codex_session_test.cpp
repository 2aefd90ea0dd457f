#include "agents/codex/codex_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/codex/codex_failure.h"
#include "agents/codex/codex_log.h"
#include "agents/codex/codex_program.h"
#include "agents/codex/codex_usage.h"
#include "base/utf8.h"
#include "policy/no_progress.h"

namespace agentrouter::agents {
namespace {

json::object parsed(std::string_view text) {
  return base::value_or_throw(base::parse_json(text)).as_object();
}

template <class T>
std::vector<T> all(const Outputs& outputs) {
  std::vector<T> found;
  for (const auto& output : outputs) {
    if (const auto* one = std::get_if<T>(&output)) found.push_back(*one);
  }
  return found;
}

const std::string deep_array = std::string(119, '[') + std::string(119, ']');

// A session and an agent whose lines the test says.
class CodexSessionTest : public testing::Test {
 protected:
  void limits(SessionLimits limits) { session_ = make_codex_session(spec_, limits); }
  void resuming(const std::string& thread) {
    spec_.resume_thread = thread;
    session_ = make_codex_session(spec_);
  }

  Outputs say(const std::string& line) { return keep(session_->feed(line + "\n")); }
  Outputs notify(const std::string& method, const std::string& params) {
    return say(R"({"method":")" + method + R"(","params":{"threadId":"t1","turnId":"u1",)" + params + "}}");
  }
  Outputs item(const std::string& method, const std::string& fields) {
    return notify("item/" + method, R"("item":{)" + fields + "}");
  }
  Outputs request(const std::string& id, const std::string& method, const std::string& params) {
    return say(R"({"id":)" + id + R"(,"method":")" + method + R"(","params":{)" + params + "}}");
  }
  Outputs ask_command(const std::string& id, const std::string& command = "ls") {
    return request(id, "item/commandExecution/requestApproval",
                   R"("itemId":"c1","command":")" + command + R"(","cwd":"/workspace")");
  }
  Outputs complete(const std::string& turn = R"("id":"u1","status":"completed")") {
    return notify("turn/completed", R"("turn":{)" + turn + "}");
  }
  Outputs keep(Outputs outputs) {
    all_.insert(all_.end(), outputs.begin(), outputs.end());
    return outputs;
  }

  void open_thread() {
    keep(session_->start());
    say(R"({"id":1,"result":{}})");
    say(R"({"id":2,"result":{"thread":{"id":"t1"}}})");
  }
  void begin() {
    open_thread();
    say(R"({"id":3,"result":{"turn":{"id":"u1"}}})");
  }

  [[nodiscard]] std::vector<json::object> events(std::string_view type) const {
    std::vector<json::object> found;
    for (const auto& event : all<EmitEvent>(all_)) {
      if (event.type == type) found.push_back(event.payload);
    }
    return found;
  }
  // The one outcome; a test that never got it fails.
  [[nodiscard]] Outcome outcome() const {
    const auto outcomes = all<Outcome>(all_);
    EXPECT_EQ(outcomes.size(), 1u);
    return outcomes.empty() ? Outcome{} : outcomes.front();
  }
  [[nodiscard]] std::string failure_code() const { return outcome().failure.code; }
  [[nodiscard]] std::string everything() const {
    std::string text;
    for (const auto& event : all<EmitEvent>(all_)) text += base::to_text(event.payload);
    for (const auto& line : all<LogLine>(all_)) text += line.line;
    return text;
  }

  TurnSpec spec_{.model = "gpt-5.5", .prompt = "do it"};
  std::unique_ptr<Session> session_ = make_codex_session(spec_);
  Outputs all_;
};

TEST_F(CodexSessionTest, NeverAsksCodexForASandboxOnTheThread) {
  open_thread();
  for (const auto& bytes : all<SendBytes>(all_)) {
    const auto message = parsed(bytes.bytes);
    if (message.at("method") == "thread/start") {
      EXPECT_FALSE(message.at("params").as_object().contains("sandbox"));
      EXPECT_EQ(message.at("params").at("approvalPolicy"), "untrusted");
    }
    if (message.at("method") == "turn/start") {
      EXPECT_EQ(message.at("params").at("sandboxPolicy").at("type"), "externalSandbox");
    }
  }
}

TEST_F(CodexSessionTest, ACommandThatFloodsIsToldOfWhileItRuns) {
  begin();
  item("started", R"("type":"commandExecution","id":"c1","command":"yes","status":"inProgress")");
  const auto delta = R"("itemId":"c1","delta":")" + std::string(64u << 10, 'y') + R"(\n")";
  for (int i = 0; i < 7; ++i) notify("item/commandExecution/outputDelta", delta);
  EXPECT_TRUE(events("agent.no_progress").empty());
  for (int i = 0; i < 3; ++i) notify("item/commandExecution/outputDelta", delta);
  ASSERT_EQ(events("agent.no_progress").size(), 1u);
  const auto signal = events("agent.no_progress")[0];
  EXPECT_EQ(signal.at("signal"), "long_output_without_state");
  EXPECT_EQ(signal.at("command"), "yes");
  EXPECT_EQ(signal.at("outputLines"), 8);
  notify("item/commandExecution/outputDelta", R"("itemId":"unknown","delta":"x")");
  notify("item/commandExecution/outputDelta", R"("itemId":"c1","delta":7)");
}

TEST_F(CodexSessionTest, WhatWasSeenInOneTurnOfARunCountsInTheNext) {
  policy::NoProgress progress;
  spec_.progress = &progress;
  for (int i = 1; i <= 4; ++i) {
    session_ = make_codex_session(spec_);
    begin();
    const auto id = "c" + std::to_string(i);
    item("completed", R"("type":"commandExecution","id":")" + id +
                          R"(","command":"make","status":"failed","exitCode":2,"aggregatedOutput":"x")");
    EXPECT_EQ(events("agent.no_progress").size(), i < 3 ? 0u : 1u) << i;
  }
}

TEST_F(CodexSessionTest, TypingIntoARunningCommandEndsTheTurnWhereCallsAreGated) {
  const auto type = [&](const std::string& text) {
    notify("item/commandExecution/terminalInteraction", R"("itemId":"c1","stdin":")" + text + "\"");
  };
  begin();
  type("x");
  complete();
  EXPECT_EQ(outcome().kind, OutcomeKind::completed);
  all_.clear();
  spec_.gates_calls = true;
  session_ = make_codex_session(spec_);
  begin();
  type("");
  EXPECT_TRUE(all<Outcome>(all_).empty());
  type("x");
  EXPECT_EQ(failure_code(), "ungated_tool_call");
}

TEST_F(CodexSessionTest, AQuestionsDigestIsThatOfWhatWouldRun) {
  begin();
  int number = 0;
  const auto digest = [&](const std::string& params) {
    return all<Ask>(request(std::to_string(number++), "item/commandExecution/requestApproval", params))
        .at(0)
        .input_digest;
  };
  const auto first = digest(R"("itemId":"c1","command":"ls","cwd":"/workspace","startedAtMs":1)");
  EXPECT_EQ(digest(R"("itemId":"c2","command":"ls","cwd":"/workspace","startedAtMs":2,"reason":"r")"), first);
  EXPECT_NE(digest(R"("itemId":"c3","command":"ls ","cwd":"/workspace")"), first);
  EXPECT_NE(digest(R"("itemId":"c4","command":"ls","cwd":"/tmp")"), first);
  EXPECT_NE(digest(R"("itemId":"c5","command":"ls","cwd":"/workspace","anythingNew":1)"), first);
}

TEST_F(CodexSessionTest, AFileChangesDigestCoversItsDiff) {
  begin();
  const auto digest = [&](const std::string& id, const std::string& diff) {
    item("started",
         R"("type":"fileChange","id":")" + id +
             R"(","status":"inProgress","changes":[{"path":"/workspace/a","kind":{"type":"add"},"diff":")" +
             diff + R"("}])");
    return all<Ask>(request("\"" + id + "\"", "item/fileChange/requestApproval", R"("itemId":")" + id + "\""))
        .at(0)
        .input_digest;
  };
  const auto first = digest("f1", "x\\n");
  EXPECT_EQ(digest("f2", "x\\n"), first);
  EXPECT_NE(digest("f3", "x"), first);
}

TEST_F(CodexSessionTest, AQuestionAboutAnMcpToolNamesItsCall) {
  begin();
  for (const auto* id : {"m1", "m2"}) {
    item("started", R"("type":"mcpToolCall","id":")" + std::string(id) +
                        R"(","server":"s","tool":"add","status":"inProgress","arguments":{"a":")" + id +
                        R"("})");
  }
  const auto call_of = [&](const std::string& id, const std::string& arguments) {
    return all<Ask>(
               request(
                   id, "mcpServer/elicitation/request",
                   R"("serverName":"s","mode":"form","_meta":{"codex_approval_kind":"mcp_tool_call","tool_name":"add","tool_params":)" +
                       arguments + "}"))
        .at(0)
        .call_id;
  };
  EXPECT_EQ(call_of("0", R"({"a":"m2"})"), "m2");
  EXPECT_EQ(call_of("1", R"({"a":"another"})"), "m1");
  EXPECT_EQ(call_of("2", R"({"a":"m1"})"), "");
}

TEST_F(CodexSessionTest, GarbageEndsTheTurnWithAProtocolErrorAndIsNotLogged) {
  begin();
  say("secret garbage");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(everything().find("secret garbage"), std::string::npos);
}

TEST_F(CodexSessionTest, LineOverTheLimitEndsTheTurnBeforeItsEndHasCome) {
  limits({.line_bytes = 1000});
  begin();
  keep(session_->feed(std::string(1001, 'x')));
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, OutputOverTheLimitEndsTheTurn) {
  limits({.output_bytes = 2000});
  begin();
  for (int i = 0; i < 30; ++i)
    say(R"({"method":"warning","params":{"message":"some hundred bytes of warning text"}})");
  EXPECT_EQ(failure_code(), "output_limit");
}

TEST_F(CodexSessionTest, ArgumentsMayNestUpToWhatAnEventHolds) {
  begin();
  item("started",
       R"("type":"mcpToolCall","id":"m1","server":"s","tool":"t","arguments":)" + deep_array.substr(4, 230));
  EXPECT_EQ(events("agent.tool_started").size(), 1u);
  item("started", R"("type":"mcpToolCall","id":"m2","server":"s","tool":"t","arguments":)" + deep_array);
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, UnknownNotificationsWarningsAndErrorItemsFailNothing) {
  begin();
  notify("thread/somethingNew", R"("x":1)");
  notify("warning", R"("message":"w")");
  notify("configWarning", R"("summary":"w")");
  item("completed", R"("type":"error","id":"e1","message":"bad metadata")");
  item("started", R"("type":"somethingNew","id":"n1")");
  notify("error", R"("willRetry":false,"error":{"message":"m"})");
  complete();
  EXPECT_EQ(outcome().kind, OutcomeKind::completed);
}

TEST_F(CodexSessionTest, UnknownRequestIsRefusedAndFailsTheTurnClosed) {
  begin();
  const auto outputs = request("0", "item/new/requestApproval", R"("command":"rm")");
  const auto replies = all<SendBytes>(outputs);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(parsed(replies[0].bytes).at("error").at("code"), -32601);
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, RequestsForPermissionsAndPersonsGetNothing) {
  begin();
  const auto reply = [](const Outputs& outputs) {
    return parsed(all<SendBytes>(outputs).at(0).bytes).at("result");
  };
  EXPECT_TRUE(reply(request("0", "item/permissions/requestApproval", R"("permissions":{"network":true})"))
                  .at("permissions")
                  .as_object()
                  .empty());
  EXPECT_TRUE(reply(request("1", "item/tool/requestUserInput", R"("questions":[])"))
                  .at("answers")
                  .as_object()
                  .empty());
  EXPECT_EQ(reply(request("2", "mcpServer/elicitation/request",
                          R"("serverName":"s","mode":"form","message":"name?")"))
                .at("action"),
            "decline");
  EXPECT_TRUE(all<Ask>(all_).empty());
  complete();
  EXPECT_EQ(outcome().kind, OutcomeKind::completed);
}

TEST_F(CodexSessionTest, FileChangeIsAskedOnceItsDiffHasCome) {
  begin();
  request("0", "item/fileChange/requestApproval", R"("itemId":"f1")");
  EXPECT_TRUE(all<Ask>(all_).empty());
  EXPECT_TRUE(session_->answer("0", Answer::accept).empty());
  item(
      "started",
      R"("type":"fileChange","id":"f1","changes":[{"path":"/workspace/a","kind":{"type":"add"},"diff":"x"}])");
  const auto asks = all<Ask>(all_);
  ASSERT_EQ(asks.size(), 1u);
  EXPECT_EQ(asks[0].args.at("changes").at(0).at("path"), "/workspace/a");
  EXPECT_EQ(asks[0].args.at("changes").at(0).at("diff"), "x");
  EXPECT_EQ(asks[0].title, "a");
  EXPECT_EQ(all<SendBytes>(session_->answer("0", Answer::accept)).size(), 1u);
}

TEST_F(CodexSessionTest, QuestionIsAnsweredAtMostOnceAndOnlyIfItIsOpen) {
  begin();
  EXPECT_TRUE(session_->answer("0", Answer::accept).empty());
  ask_command("0");
  EXPECT_EQ(all<SendBytes>(session_->answer("0", Answer::decline)).size(), 1u);
  EXPECT_TRUE(session_->answer("0", Answer::accept).empty());
  ask_command("0");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, QuestionTakenBackIsWithdrawnAndItsAnswerIgnored) {
  begin();
  ask_command("\"q\"");
  const auto outputs = notify("serverRequest/resolved", R"("requestId":"q")");
  ASSERT_EQ(all<Withdraw>(outputs).size(), 1u);
  EXPECT_EQ(all<Withdraw>(outputs)[0].ask_id, "\"q\"");
  EXPECT_TRUE(session_->answer("\"q\"", Answer::accept).empty());
}

TEST_F(CodexSessionTest, MoreOpenQuestionsThanAllowedEndTheTurn) {
  begin();
  for (int i = 0; i < 65; ++i) ask_command(std::to_string(i));
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(all<Withdraw>(all_).size(), 64u);
}

TEST_F(CodexSessionTest, MoreOpenToolCallsThanAllowedEndTheTurn) {
  begin();
  for (int i = 0; i < 1001; ++i)
    item("started", R"("type":"commandExecution","command":"ls","id":"c)" + std::to_string(i) + "\"");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(events("agent.tool_started").size(), events("agent.tool_completed").size());
}

TEST_F(CodexSessionTest, InterruptBeforeTheTurnEndsItAtOnce) {
  keep(session_->start());
  keep(session_->interrupt());
  EXPECT_EQ(outcome().kind, OutcomeKind::interrupted);
}

TEST_F(CodexSessionTest, InterruptWhileTheTurnStartsIsSentOnceItsIdIsKnown) {
  open_thread();
  EXPECT_TRUE(all<SendBytes>(session_->interrupt()).empty());
  const auto outputs = say(R"({"id":3,"result":{"turn":{"id":"u1"}}})");
  ASSERT_EQ(all<SendBytes>(outputs).size(), 1u);
  EXPECT_EQ(parsed(all<SendBytes>(outputs)[0].bytes).at("params").at("turnId"), "u1");
  EXPECT_TRUE(session_->interrupt().empty());
}

TEST_F(CodexSessionTest, AfterAnInterruptEveryQuestionIsDeclinedWithoutAsking) {
  begin();
  keep(session_->interrupt());
  const auto replies = all<SendBytes>(ask_command("0"));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(parsed(replies[0].bytes).at("result").at("decision"), "decline");
  EXPECT_TRUE(all<Ask>(all_).empty());
}

TEST_F(CodexSessionTest, ProcessGoneAfterAnInterruptCountsAsInterrupted) {
  begin();
  keep(session_->interrupt());
  keep(session_->ended("signal 9"));
  EXPECT_EQ(outcome().kind, OutcomeKind::interrupted);
}

TEST_F(CodexSessionTest, TurnThatInterruptsItselfHasFailed) {
  begin();
  complete(R"("id":"u1","status":"interrupted")");
  EXPECT_EQ(failure_code(), "provider_runtime_failed");
  EXPECT_EQ(outcome().failure.cause, "interrupted");
}

TEST_F(CodexSessionTest, ProcessGoneBeforeTheOutcomeIsAgentExited) {
  begin();
  keep(session_->ended("exit 3"));
  EXPECT_EQ(failure_code(), "agent_exited");
  EXPECT_THAT(outcome().failure.reason, testing::HasSubstr("exit 3"));
}

TEST_F(CodexSessionTest, RefusedStepsOfTheOpeningFailTheTurn) {
  keep(session_->start());
  say(R"({"id":1,"error":{"code":-1,"message":"no"}})");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, RefusedTurnIsAProviderFailureWithItsReason) {
  open_thread();
  say(R"({"id":3,"error":{"code":-1,"message":"model is gone"}})");
  EXPECT_EQ(failure_code(), "provider_runtime_failed");
  EXPECT_EQ(outcome().failure.reason, "model is gone");
}

TEST_F(CodexSessionTest, AnotherThreadThanTheOneToResumeIsAProtocolError) {
  resuming("t0");
  open_thread();
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(CodexSessionTest, WhatOtherThreadsSayIsNoAnswerAndNoEnd) {
  begin();
  say(R"({"method":"turn/completed","params":{"threadId":"t2","turn":{"id":"u1","status":"completed"}}})");
  say(R"({"method":"item/completed","params":{"threadId":"t2","item":{"type":"agentMessage","id":"m","text":"sub"}}})");
  EXPECT_TRUE(events("agent.message").empty());
  item("completed", R"("type":"agentMessage","id":"m2","text":"mine")");
  complete();
  EXPECT_EQ(outcome().response_text, "mine");
}

TEST_F(CodexSessionTest, EveryStartedToolCallIsCompletedOnce) {
  begin();
  item("started", R"("type":"commandExecution","id":"c1","command":"sleep 9")");
  item("started", R"("type":"commandExecution","id":"c1","command":"sleep 9")");
  item("completed", R"("type":"webSearch","id":"w1","query":"q")");
  complete();
  EXPECT_EQ(events("agent.tool_started").size(), 2u);
  EXPECT_EQ(events("agent.tool_completed").size(), 2u);
  EXPECT_EQ(events("agent.tool_completed")[1].at("status"), "failed");
}

TEST_F(CodexSessionTest, LongTextsAreCutInEventsAndWholeInTheOutcome) {
  limits({.response_bytes = 20'001});
  begin();
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "\xc3\xa4\xc3\xb6";
  item("completed", R"("type":"agentMessage","id":"m","text":")" + text + "\"");
  item(
      "completed",
      R"("type":"commandExecution","id":"c","command":"x","status":"completed","exitCode":0,"aggregatedOutput":")" +
          text + "\"");
  complete();
  const auto message = events("agent.message").at(0);
  EXPECT_EQ(message.at("text").as_string().size(), 8192u);
  EXPECT_EQ(message.at("textTruncated"), true);
  EXPECT_EQ(events("agent.tool_completed").at(0).at("outputTruncated"), true);
  EXPECT_EQ(outcome().response_text.size(), 20'000u);
  EXPECT_TRUE(base::is_utf8(outcome().response_text));
}

TEST_F(CodexSessionTest, LargeArgumentsAreShownAsAPreviewAndAskedInFull) {
  begin();
  const std::string diff(40'000, 'd');
  item("started",
       R"("type":"fileChange","id":"f1","changes":[{"path":"/workspace/a","kind":{"type":"add"},"diff":")" +
           diff + R"("}])");
  request("0", "item/fileChange/requestApproval", R"("itemId":"f1")");
  EXPECT_EQ(events("agent.tool_started").at(0).at("args").at("truncated"), true);
  EXPECT_EQ(all<Ask>(all_).at(0).args.at("changes").at(0).at("diff").as_string().size(), diff.size());
}

TEST_F(CodexSessionTest, RawReasoningLeavesNeitherAsEventNorAsLog) {
  begin();
  item("completed",
       R"("type":"reasoning","id":"r","summary":["Short."],"content":["RAW"],"encrypted_content":"RAW")");
  item("completed", R"("type":"re\u0061soning","id":"r2","summary":[],"content":["RAW"])");
  notify("item/reasoning/textDelta", R"("delta":"RAW")");
  notify("rawResponseItem/completed", R"("item":{"x":"RAW"})");
  EXPECT_EQ(events("agent.progress").back().at("summary"), "Short.");
  EXPECT_EQ(everything().find("RAW"), std::string::npos);
}

TEST(CodexLog, LineWithNothingToRemoveStaysAsItIs) {
  const std::string line = R"({"method":"x/reasoning", "params":{"n":1.50}})";
  EXPECT_EQ(codex::log_line(line, parsed(line)), line);
}

TEST(UsageMeter, ResumedThreadPaysForItsOwnTurnOnly) {
  const auto counts = [](int total, int last) {
    const json::object t{{"inputTokens", total}}, l{{"inputTokens", last}};
    return json::object{{"total", t}, {"last", l}};
  };
  codex::UsageMeter told;
  told.update(counts(100, 40), codex::UsageMeter::Turn::earlier);
  EXPECT_FALSE(told.of_turn());
  told.update(counts(130, 30), codex::UsageMeter::Turn::this_one);
  EXPECT_EQ(told.of_turn()->input_tokens, 30);
  codex::UsageMeter untold;
  untold.update(counts(130, 30), codex::UsageMeter::Turn::this_one);
  untold.update(counts(150, 20), codex::UsageMeter::Turn::this_one);
  EXPECT_EQ(untold.of_turn()->input_tokens, 50);
}

TEST(CodexFailure, CauseFollowsWhatCodexSays) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("usageLimitExceeded")", "provider_quota_exhausted"},
      {R"("unauthorized")", "provider_auth_failed"},
      {R"("serverOverloaded")", "provider_unavailable"},
      {R"("contextWindowExceeded")", "context_window_exceeded"},
      {R"({"httpConnectionFailed":{"httpStatusCode":403}})", "provider_auth_failed"},
      {R"({"responseTooManyFailedAttempts":{"httpStatusCode":429}})", "provider_rate_limited"},
      {R"({"responseStreamConnectionFailed":{"httpStatusCode":502}})", "provider_unavailable"},
      {R"({"responseStreamDisconnected":{"httpStatusCode":null}})", "provider_unavailable"},
      {R"({"activeTurnNotSteerable":7})", ""},
      {R"("somethingNew")", ""},
      {"null", ""},
  };
  for (const auto& [info, cause] : cases) {
    const auto failure =
        codex::failure_of(parsed(R"({"message":"m","codexErrorInfo":)" + std::string(info) + "}"));
    EXPECT_EQ(failure.cause, cause) << info;
    EXPECT_EQ(failure.code, "provider_runtime_failed");
    EXPECT_EQ(failure.reason, "m");
  }
}

TEST(CodexFailure, AnAnswerThatTheProviderCallsIncompleteHasTheProvidersReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"stream disconnected before completion: Incomplete response returned, reason: max_output_tokens",
       "output_tokens_exceeded"},
      {"stream disconnected before completion: Incomplete response returned, reason: content_filter",
       "provider_refused"},
      {"stream disconnected before completion: Incomplete response returned, reason: unknown",
       "provider_unavailable"},
      {"Incomplete response returned, reason: ", ""},
  };
  for (const auto& [message, cause] : cases) {
    const auto failure = codex::failure_of({{"message", message}, {"codexErrorInfo", "other"}});
    EXPECT_EQ(failure.cause, cause) << message;
  }
}

TEST(CodexProgram, WhereCallsAreGatedNothingThatNeverAsksIsThere) {
  const auto plain = codex_program({.model = "m"}).files.at(0).content;
  const auto gated = codex_program({.model = "m", .gates_calls = true}).files.at(0).content;
  for (const auto* setting : {"view_image = false\n", "unified_exec_tty = false\n"}) {
    EXPECT_EQ(plain.find(setting), std::string::npos);
    EXPECT_NE(gated.find(setting), std::string::npos);
  }
}

TEST(CodexProgram, McpServersAreTablesOfTheConfiguration) {
  const auto program = codex_program(
      {.model = "m",
       .mcp = {{.name = "notes", .command = "run", .args = {"a b", "\"q\""}, .env = {{"KEY", "v\n1"}}},
               {.name = "other", .command = "other"},
               {.name = "far", .url = "http://127.83.1.1/mcp/far"}}});
  EXPECT_THAT(program.files.at(0).content,
              testing::HasSubstr("\n[mcp_servers.notes]\ncommand = \"run\"\nargs = [\"a b\",\"\\\"q\\\"\"]\n"
                                 "\n[mcp_servers.notes.env]\nKEY = \"v\\n1\"\n"
                                 "\n[mcp_servers.other]\ncommand = \"other\"\nargs = []\n"
                                 "\n[mcp_servers.far]\nurl = \"http://127.83.1.1/mcp/far\"\n"));
  EXPECT_EQ(codex_program({.model = "m"}).files.at(0).content.find("mcp_servers"), std::string::npos);
}

TEST(CodexFailure, RetryWithoutNumbersIsCounted) {
  const auto fields = codex::retry_of(parsed(R"({"message":"again / soon"})"), 4);
  EXPECT_EQ(fields.at("attempt"), 4);
  EXPECT_FALSE(fields.contains("max"));
}

}  // namespace
}  // namespace agentrouter::agents
