#include "agents/claude/claude_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/claude/claude_failure.h"
#include "agents/claude/claude_log.h"
#include "agents/claude/claude_program.h"
#include "agents/claude/claude_tools.h"
#include "agents/claude/claude_usage.h"
#include "base/utf8.h"

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
class ClaudeSessionTest : public testing::Test {
 protected:
  void limits(SessionLimits limits) { session_ = make_claude_session(spec_, limits); }
  void task(const std::string& prompt) {
    spec_.prompt = prompt;
    session_ = make_claude_session(spec_);
  }
  void resuming(const std::string& thread) {
    spec_.resume_thread = thread;
    session_ = make_claude_session(spec_);
  }

  Outputs say(const std::string& line) { return keep(session_->feed(line + "\n")); }
  Outputs assistant(const std::string& block, const std::string& parent = "null") {
    return say(R"({"type":"assistant","message":{"model":"m","content":[)" + block +
               R"(]},"parent_tool_use_id":)" + parent + "}");
  }
  Outputs text(const std::string& text, const std::string& parent = "null") {
    return assistant(R"({"type":"text","text":")" + text + R"("})", parent);
  }
  Outputs call(const std::string& id, const std::string& name, const std::string& input) {
    return assistant(R"({"type":"tool_use","id":")" + id + R"(","name":")" + name + R"(","input":)" + input +
                     "}");
  }
  Outputs bash(const std::string& id, const std::string& command = "ls") {
    return call(id, "Bash", R"({"command":")" + command + R"("})");
  }
  Outputs request(const std::string& id, const std::string& fields) {
    return say(R"({"type":"control_request","request_id":")" + id + R"(","request":{)" + fields + "}}");
  }
  Outputs ask(const std::string& id, const std::string& call_id = "c1", const std::string& name = "Bash",
              const std::string& input = R"({"command":"ls"})") {
    return request(id, R"("subtype":"can_use_tool","tool_name":")" + name + R"(","input":)" + input +
                           R"(,"tool_use_id":")" + call_id + "\"");
  }
  Outputs done(const std::string& call_id, const std::string& fields = R"("content":"out")") {
    return say(R"({"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":")" + call_id +
               R"(",)" + fields + "}]}}");
  }
  Outputs complete(const std::string& text = "Done.") {
    return say(R"({"type":"result","subtype":"success","is_error":false,"result":")" + text + R"("})");
  }
  Outputs keep(Outputs outputs) {
    all_.insert(all_.end(), outputs.begin(), outputs.end());
    return outputs;
  }

  void initialize() {
    keep(session_->start());
    say(R"({"type":"control_response","response":{"subtype":"success","request_id":"agentrouter-1","response":{}}})");
  }
  void begin() {
    initialize();
    say(R"({"type":"system","subtype":"init","session_id":"s1"})");
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
  static json::object verdict(const Outputs& outputs) {
    return parsed(all<SendBytes>(outputs).at(0).bytes).at("response").at("response").as_object();
  }

  TurnSpec spec_{.model = "claude-opus-5-5", .prompt = "do it"};
  std::unique_ptr<Session> session_ = make_claude_session(spec_);
  Outputs all_;
};

TEST_F(ClaudeSessionTest, TaskIsNeverTakenForACommandOfTheCli) {
  task("/compact now");
  initialize();
  const auto message = parsed(all<SendBytes>(all_).at(1).bytes);
  EXPECT_EQ(message.at("message").at("content").at(0).at("text"), "\n/compact now");
}

TEST_F(ClaudeSessionTest, AQuestionsDigestIsThatOfItsInputByteForByte) {
  begin();
  int number = 0;
  const auto digest = [&](const std::string& name, const std::string& input) {
    const auto id = std::to_string(number++);
    return all<Ask>(ask("q" + id, "c" + id, name, input)).at(0).input_digest;
  };
  const auto first = digest("Write", R"({"file_path":"/workspace/a","content":"x"})");
  EXPECT_EQ(digest("Write", R"({"content":"x","file_path":"/workspace/a"})"), first);
  EXPECT_NE(digest("Write", R"({"file_path":"/workspace/a","content":"x\n"})"), first);
  EXPECT_NE(digest("Write", R"({"file_path":"a","content":"x"})"), first);
  EXPECT_NE(digest("Edit", R"({"file_path":"/workspace/a","content":"x"})"), first);
}

TEST_F(ClaudeSessionTest, AnOpenQuestionTakesOtherInputWhichIsWhatRuns) {
  begin();
  const auto asked = all<Ask>(ask("q1")).at(0);
  const auto edited = session_->edit("q1", {{"command", "pwd"}});
  ASSERT_TRUE(edited);
  EXPECT_EQ(edited->call_id, "c1");
  EXPECT_EQ(base::to_text(edited->args), R"({"command":"pwd"})");
  EXPECT_NE(edited->input_digest, asked.input_digest);
  EXPECT_EQ(base::to_text(verdict(session_->answer("q1", Answer::accept)).at("updatedInput")),
            R"({"command":"pwd"})");
  EXPECT_FALSE(session_->edit("q1", {{"command", "ls"}}));
}

TEST_F(ClaudeSessionTest, GarbageEndsTheTurnWithAProtocolErrorAndIsNotLogged) {
  begin();
  say("secret garbage");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(everything().find("secret garbage"), std::string::npos);
}

TEST_F(ClaudeSessionTest, LineOverTheLimitEndsTheTurnBeforeItsEndHasCome) {
  limits({.line_bytes = 1000});
  begin();
  keep(session_->feed(std::string(1001, 'x')));
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, OutputOverTheLimitEndsTheTurn) {
  limits({.output_bytes = 2000});
  begin();
  for (int i = 0; i < 30; ++i)
    say(R"({"type":"system","subtype":"informational","content":"some text here"})");
  EXPECT_EQ(failure_code(), "output_limit");
}

TEST_F(ClaudeSessionTest, ArgumentsMayNestUpToWhatAnEventHolds) {
  begin();
  call("c1", "mcp__s__t", R"({"x":)" + deep_array.substr(9, 220) + "}");
  EXPECT_EQ(events("agent.tool_started").size(), 1u);
  call("c2", "mcp__s__t", R"({"x":)" + deep_array + "}");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, UnknownLinesFailNothing) {
  begin();
  say(R"({"type":"something_new","x":1})");
  say(R"({"type":"system","subtype":"something_new"})");
  say(R"({"type":"keep_alive"})");
  say(R"({"type":"user","message":{"content":"text"}})");
  assistant(R"({"type":"something_new"})");
  complete();
  EXPECT_EQ(outcome().kind, OutcomeKind::completed);
}

TEST_F(ClaudeSessionTest, UnknownRequestIsRefusedAndFailsTheTurnClosed) {
  begin();
  const auto replies = all<SendBytes>(request("r", R"("subtype":"elicitation","message":"name?")"));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(parsed(replies[0].bytes).at("response").at("subtype"), "error");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, WhatIsAllowedIsExactlyWhatWasAskedAbout) {
  begin();
  const auto asks = all<Ask>(ask("r", "c1", "Bash", R"({"command":"rm x","timeout":7})"));
  ASSERT_EQ(asks.size(), 1u);
  EXPECT_EQ(asks[0].tool, "shell");
  EXPECT_EQ(asks[0].title, "rm x");
  EXPECT_EQ(asks[0].call_id, "c1");
  EXPECT_EQ(events("agent.tool_started").at(0).at("callId"), "c1");
  const auto answer = verdict(session_->answer("r", Answer::accept));
  EXPECT_EQ(answer.at("behavior"), "allow");
  EXPECT_EQ(answer.at("updatedInput"), json::value(asks[0].args));
}

TEST_F(ClaudeSessionTest, CallThatRanWithoutBeingReleasedEndsTheRun) {
  begin();
  bash("c1");
  done("c1");
  EXPECT_EQ(failure_code(), "ungated_tool_call");
}

TEST_F(ClaudeSessionTest, CommandThatFailedWithoutBeingReleasedRanToo) {
  begin();
  bash("c1");
  done("c1", R"("is_error":true,"content":"Exit code 3\nout")");
  EXPECT_EQ(failure_code(), "ungated_tool_call");
}

TEST_F(ClaudeSessionTest, CallThatTheCliRefusesItselfHasFailedAndEndsNothing) {
  begin();
  bash("c1");
  done("c1", R"("is_error":true,"content":"no such tool")");
  complete();
  EXPECT_EQ(events("agent.tool_completed").at(0).at("status"), "failed");
  EXPECT_EQ(outcome().kind, OutcomeKind::completed);
}

TEST_F(ClaudeSessionTest, DeclinedCallThatRanAllTheSameEndsTheRun) {
  begin();
  ask("r");
  keep(session_->answer("r", Answer::decline));
  done("c1");
  EXPECT_EQ(failure_code(), "ungated_tool_call");
}

TEST_F(ClaudeSessionTest, QuestionIsAnsweredAtMostOnceAndOnlyIfItIsOpen) {
  begin();
  EXPECT_TRUE(session_->answer("r", Answer::accept).empty());
  ask("r");
  EXPECT_EQ(verdict(session_->answer("r", Answer::decline)).at("behavior"), "deny");
  EXPECT_TRUE(session_->answer("r", Answer::accept).empty());
  ask("r");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, QuestionTakenBackIsWithdrawnAndItsAnswerIgnored) {
  begin();
  ask("r");
  const auto withdrawn = all<Withdraw>(say(R"({"type":"control_cancel_request","request_id":"r"})"));
  ASSERT_EQ(withdrawn.size(), 1u);
  EXPECT_EQ(withdrawn[0].ask_id, "r");
  EXPECT_TRUE(session_->answer("r", Answer::accept).empty());
}

TEST_F(ClaudeSessionTest, MoreOpenQuestionsThanAllowedEndTheTurn) {
  begin();
  for (int i = 0; i < 65; ++i) ask("r" + std::to_string(i), "c" + std::to_string(i));
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(all<Withdraw>(all_).size(), 64u);
}

TEST_F(ClaudeSessionTest, LargerOpenQuestionsThanAllowedEndTheTurn) {
  begin();
  const std::string command(6u << 20, 'x');
  for (int i = 0; i < 3; ++i)
    ask("r" + std::to_string(i), "c" + std::to_string(i), "Bash", R"({"command":")" + command + R"("})");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, MoreOpenToolCallsThanAllowedEndTheTurn) {
  begin();
  for (int i = 0; i < 1001; ++i) bash("c" + std::to_string(i));
  EXPECT_EQ(failure_code(), "agent_protocol_error");
  EXPECT_EQ(events("agent.tool_started").size(), events("agent.tool_completed").size());
}

TEST_F(ClaudeSessionTest, InterruptBeforeTheTaskWasSentEndsTheTurnAtOnce) {
  keep(session_->start());
  keep(session_->interrupt());
  EXPECT_EQ(outcome().kind, OutcomeKind::interrupted);
}

TEST_F(ClaudeSessionTest, AfterAnInterruptEveryQuestionIsDeclinedWithoutAsking) {
  begin();
  EXPECT_EQ(all<SendBytes>(session_->interrupt()).size(), 1u);
  EXPECT_TRUE(session_->interrupt().empty());
  EXPECT_EQ(verdict(ask("r")).at("behavior"), "deny");
  EXPECT_TRUE(all<Ask>(all_).empty());
  say(R"({"type":"result","subtype":"error_during_execution","is_error":true})");
  EXPECT_EQ(outcome().kind, OutcomeKind::interrupted);
  EXPECT_EQ(events("agent.tool_completed").at(0).at("status"), "declined");
}

TEST_F(ClaudeSessionTest, ProcessGoneAfterAnInterruptCountsAsInterrupted) {
  begin();
  keep(session_->interrupt());
  keep(session_->ended("signal 9"));
  EXPECT_EQ(outcome().kind, OutcomeKind::interrupted);
}

TEST_F(ClaudeSessionTest, TurnThatInterruptsItselfHasFailed) {
  begin();
  say(R"({"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"})");
  EXPECT_EQ(failure_code(), "provider_runtime_failed");
  EXPECT_EQ(outcome().failure.cause, "interrupted");
}

TEST_F(ClaudeSessionTest, ProcessGoneBeforeTheOutcomeIsAgentExited) {
  begin();
  keep(session_->ended("exit 3"));
  EXPECT_EQ(failure_code(), "agent_exited");
  EXPECT_THAT(outcome().failure.reason, testing::HasSubstr("exit 3"));
}

TEST_F(ClaudeSessionTest, RefusedInitializeFailsTheTurn) {
  keep(session_->start());
  say(R"({"type":"control_response","response":{"subtype":"error","request_id":"agentrouter-1","error":"no"}})");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, ResultWithoutItsErrorMarkIsNoSuccess) {
  begin();
  say(R"({"type":"result","subtype":"success","result":"fine"})");
  EXPECT_EQ(outcome().kind, OutcomeKind::failed);
}

TEST_F(ClaudeSessionTest, AnotherSessionThanTheOneToResumeIsAProtocolError) {
  resuming("s0");
  begin();
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, EveryTurnIsAnnouncedOnceWithItsSession) {
  begin();
  say(R"({"type":"system","subtype":"init","session_id":"s1"})");
  ASSERT_EQ(events("agent.started").size(), 1u);
  EXPECT_EQ(events("agent.started")[0].at("threadId"), "s1");
  say(R"({"type":"system","subtype":"init","session_id":"s2"})");
  EXPECT_EQ(failure_code(), "agent_protocol_error");
}

TEST_F(ClaudeSessionTest, WhatASubagentSaysIsNoAnswerAndWhatItDoesIsShown) {
  begin();
  text("sub says", R"("c0")");
  EXPECT_TRUE(events("agent.message").empty());
  assistant(R"({"type":"tool_use","id":"c1","name":"Bash","input":{"command":"ls"}})", R"("c0")");
  EXPECT_EQ(events("agent.tool_started").size(), 1u);
  text("mine");
  complete("");
  EXPECT_EQ(outcome().response_text, "mine");
  EXPECT_EQ(outcome().response_event_type, "assistant");
}

TEST_F(ClaudeSessionTest, LongTextsAreCutInEventsAndWholeInTheOutcome) {
  limits({.response_bytes = 20'001});
  begin();
  std::string long_text;
  for (int i = 0; i < 10'000; ++i) long_text += "\xc3\xa4\xc3\xb6";
  text(long_text);
  ask("r");
  keep(session_->answer("r", Answer::accept));
  done("c1", R"("content":")" + long_text + "\"");
  complete(long_text);
  const auto message = events("agent.message").at(0);
  EXPECT_EQ(message.at("text").as_string().size(), 8192u);
  EXPECT_EQ(message.at("textTruncated"), true);
  EXPECT_EQ(events("agent.tool_completed").at(0).at("outputTruncated"), true);
  EXPECT_EQ(outcome().response_text.size(), 20'000u);
  EXPECT_TRUE(base::is_utf8(outcome().response_text));
}

TEST_F(ClaudeSessionTest, LargeArgumentsAreShownAsAPreviewAndAskedInFull) {
  begin();
  const std::string content(40'000, 'd');
  ask("r", "c1", "Write", R"({"file_path":"/workspace/a","content":")" + content + R"("})");
  EXPECT_EQ(events("agent.tool_started").at(0).at("args").at("truncated"), true);
  const auto change = all<Ask>(all_).at(0).args.at("changes").at(0).as_object();
  EXPECT_EQ(change.at("path"), "a");
  EXPECT_EQ(change.at("diff").as_string().size(), content.size() + 2);  // "+", line end
}

TEST_F(ClaudeSessionTest, RawThinkingLeavesNeitherAsEventNorAsLog) {
  begin();
  assistant(R"({"type":"thinking","thinking":"RAW","signature":"RAW"})");
  assistant(R"({"type":"redacted_thinking","data":"RAW"})");
  assistant(R"({"type":"th\u0069nking","th\u0069nking":"RAW","more":"RAW"})");
  say(R"({"type":"stream_event","event":{"delta":{"thinking":"RAW"}}})");
  EXPECT_EQ(everything().find("RAW"), std::string::npos);
}

TEST(ClaudeLog, LineWithNothingToRemoveStaysAsItIs) {
  const std::string line = R"({"type":"x", "about":"thinking","n":1.50})";
  EXPECT_EQ(claude::log_line(line, parsed(line)), line);
}

TEST(ClaudeTools, AskHoldsEverythingThatAnEditWouldDo) {
  const auto input =
      parsed(R"({"file_path":"/workspace/a","old_string":"x\ny","new_string":"z","replace_all":true})");
  const auto call = claude::tool_call_of("Edit", "c", input, "/workspace");
  EXPECT_EQ(call.tool, "edit");
  EXPECT_EQ(call.title, "a");
  EXPECT_EQ(json::value(call.args),
            base::value_or_throw(base::parse_json(
                R"({"changes":[{"path":"a","kind":"update","diff":"-x\n-y\n+z\n"}],"replace_all":true})")));
}

TEST(ClaudeTools, EachToolHasItsKind) {
  const std::pair<const char*, const char*> kinds[] = {
      {"Bash", "shell"},         {"Read", "read"},     {"Write", "edit"},     {"NotebookEdit", "edit"},
      {"WebSearch", "web"},      {"WebFetch", "web"},  {"Agent", "subagent"}, {"Task", "subagent"},
      {"TaskCreate", "todo"},    {"TaskList", "todo"}, {"mcp__s__t", "mcp"},  {"mcp__broken", "other"},
      {"SomethingNew", "other"},
  };
  for (const auto& [name, kind] : kinds) {
    const auto call = claude::tool_call_of(name, "c", {}, "/workspace");
    EXPECT_EQ(call.tool, kind) << name;
    EXPECT_FALSE(call.title.empty()) << name;
  }
}

TEST(ClaudeUsage, CountsTheTurnOverAllModelsAndNeverOverflows) {
  const auto result = parsed(
      R"({"total_cost_usd":9,"modelUsage":{"a":{"inputTokens":900}},"model_usage_since_last_result":{)"
      R"("a":{"inputTokens":10,"cacheReadInputTokens":5,"cacheCreationInputTokens":1,"outputTokens":3,"costUSD":0.5},)"
      R"("b":{"inputTokens":9223372036854775807,"thinkingTokens":-4,"costUSD":0.25},"c":7}})");
  const auto usage = claude::usage_of(result);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->input_tokens, 16 + (std::int64_t{1} << 53));
  EXPECT_EQ(usage->cached_input_tokens, 5);
  EXPECT_EQ(usage->output_tokens, 3);
  EXPECT_EQ(usage->reasoning_output_tokens, 0);
  EXPECT_EQ(claude::cost_of(result), 0.75);
  EXPECT_FALSE(claude::usage_of(parsed("{}")));
  EXPECT_FALSE(claude::cost_of(parsed("{}")));
}

TEST(ClaudeFailure, CauseFollowsWhatTheCliSays) {
  struct Case {
    const char* result;
    const char* word;
    const char* cause;
  };
  const Case cases[] = {
      {R"("api_error_status":401)", "", "provider_auth_failed"},
      {R"("api_error_status":400)", "billing_error", "provider_quota_exhausted"},
      {R"("api_error_status":400,"terminal_reason":"prompt_too_long")", "invalid_request",
       "context_window_exceeded"},
      {R"("api_error_status":400)", "unknown", "provider_rejected_request"},
      {R"("api_error_status":404)", "model_not_found", "model_not_found"},
      {R"("api_error_status":429)", "rate_limit", "provider_rate_limited"},
      {R"("api_error_status":529)", "server_error", "provider_unavailable"},
      {R"("api_error_status":null,"api_error":"connection_failed")", "server_error", "provider_unavailable"},
      {R"("stop_reason":"refusal")", "invalid_request", "provider_refused"},
      {R"("api_error":"max_output_tokens")", "max_output_tokens", "output_tokens_exceeded"},
      {R"("api_error":"max_output_tokens")", "", "output_tokens_exceeded"},
      {R"("api_error_status":408)", "", "provider_unavailable"},
      {R"("api_error_status":"seven")", "something new", ""},
  };
  for (const auto& [fields, word, cause] : cases) {
    const auto failure = claude::failure_of(parsed(R"({"result":"m",)" + std::string(fields) + "}"), word);
    EXPECT_EQ(failure.cause, cause) << fields;
    EXPECT_EQ(failure.code, "provider_runtime_failed");
    EXPECT_EQ(failure.reason, "m");
  }
}

TEST(ClaudeProgram, SettingsHoldForTheAgentAndNotForTheRepository) {
  const auto program = claude_program({.model = "claude-opus-5-5"});
  const auto follows = [&](const std::string& word) {
    const auto found = std::find(program.argv.begin(), program.argv.end(), word);
    return found == program.argv.end() || found + 1 == program.argv.end() ? "missing" : *(found + 1);
  };
  EXPECT_EQ(follows("--setting-sources"), "");
  EXPECT_EQ(follows("--permission-mode"), "default");
  EXPECT_EQ(follows("--permission-prompt-tool"), "stdio");
  EXPECT_EQ(parsed(follows("--settings")).at("permissions").at("ask"), json::value(json::array{"*"}));
  EXPECT_THAT(program.argv, testing::Contains("--strict-mcp-config"));
  EXPECT_THAT(program.env, testing::Contains("ANTHROPIC_API_KEY=agentrouter-dummy-key"));
  EXPECT_TRUE(program.files.empty());
}

TEST(ClaudeProgram, McpServersStandInAFileThatNoArgumentShows) {
  const auto program =
      claude_program({.model = "m",
                      .mcp = {{.name = "notes", .command = "run", .args = {"a b"}, .env = {{"KEY", "v\"1"}}},
                              {.name = "far", .url = "http://127.83.1.1/mcp/far"}}});
  ASSERT_EQ(program.files.size(), 1u);
  EXPECT_EQ(parsed(program.files[0].content),
            parsed(R"({"mcpServers":{"notes":{"command":"run","args":["a b"],"env":{"KEY":"v\"1"}},)"
                   R"("far":{"type":"http","url":"http://127.83.1.1/mcp/far"}}})"));
  EXPECT_EQ(program.argv.back(), program.files[0].path);
  EXPECT_THAT(program.argv, testing::Contains("--strict-mcp-config"));
  for (const auto& argument : program.argv_for_action) EXPECT_EQ(argument.find("v\"1"), std::string::npos);
}

}  // namespace
}  // namespace agentrouter::agents
