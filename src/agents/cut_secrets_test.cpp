// What is cut to be shown, where a secret stands at the cut: taking out whole secrets, as the keeper does
// with all that a session says, leaves no beginning of one either.

#include <gtest/gtest.h>

#include "agents/claude/claude_session.h"
#include "agents/codex/codex_session.h"
#include "agents/review.h"
#include "policy/no_progress.h"

namespace agentrouter::agents {
namespace {

constexpr std::string_view secret = "sk-redact/me+0123456789abc";
constexpr std::size_t title_bytes = 200;
constexpr std::size_t field_bytes = model::defaults::event_field_bytes;

// A text in which all but the last byte of a secret stands before byte `cut`.
std::string through(std::size_t cut, std::size_t size = 0) {
  std::string text = std::string(cut - secret.size() + 1, 'x') + std::string(secret) + " and more";
  text.resize(std::max(size, text.size()), 'y');
  return text;
}

class CutSecrets : public ::testing::Test {
 protected:
  void say(const json::object& line) {
    for (auto& output : session_->feed(base::to_text(line) + "\n")) {
      if (const auto* event = std::get_if<EmitEvent>(&output)) see(event->type, event->payload);
      if (const auto* ask = std::get_if<Ask>(&output)) see("ask", {{"title", ask->title}});
      if (const auto* outcome = std::get_if<Outcome>(&output))
        see("outcome", {{"reason", outcome->failure.reason}, {"response", outcome->response_text}});
    }
  }
  void see(const std::string& what, const json::object& fields) {
    auto text = base::to_text(fields);
    hidden_.clean(text, base::Redactor::Text::json);
    EXPECT_EQ(text.find("sk-redact"), std::string::npos)
        << what << ": ..." << text.substr(text.find("sk-redact"), 60);
    ++seen_[what];
  }

  base::Redactor hidden_{std::vector<std::string_view>{secret}, base::system_entropy()};
  policy::NoProgress progress_;
  TurnSpec spec_{.model = "m", .prompt = "do it", .progress = &progress_, .hidden = &hidden_};
  std::unique_ptr<Session> session_;
  std::map<std::string, int> seen_;
};

class CodexCuts : public CutSecrets {
 protected:
  void begin(SessionLimits limits = {}) {
    session_ = make_codex_session(spec_, limits);
    (void)session_->start();
    say({{"id", 1}, {"result", json::object{}}});
    say({{"id", 2}, {"result", {{"thread", {{"id", "t1"}}}}}});
    say({{"id", 3}, {"result", {{"turn", {{"id", "u1"}}}}}});
  }
  void notify(std::string_view method, json::object params) {
    params["threadId"] = "t1";
    params["turnId"] = "u1";
    say({{"method", method}, {"params", std::move(params)}});
  }
  void item(std::string_view method, json::object item) { notify(method, {{"item", std::move(item)}}); }
  void command(const std::string& id, const std::string& command, const std::string& output) {
    json::object item{{"type", "commandExecution"}, {"id", id}, {"command", command}, {"cwd", "/workspace"}};
    this->item("item/started", item);
    item["aggregatedOutput"] = output;
    item["exitCode"] = 1;
    item["status"] = "failed";
    this->item("item/completed", item);
  }
};

TEST_F(CodexCuts, MessagesCallsQuestionsAndPlansEndBeforeASecret) {
  begin({.response_bytes = 3 * field_bytes});
  item("item/completed", {{"type", "agentMessage"}, {"id", "m1"}, {"text", through(field_bytes)}});
  command("c1", through(title_bytes), through(field_bytes));
  command("c2", through(field_bytes - std::string_view(R"({"command":")").size(), 3 * field_bytes), "");
  say({{"id", 7},
       {"method", "item/commandExecution/requestApproval"},
       {"params",
        {{"threadId", "t1"}, {"turnId", "u1"}, {"itemId", "c3"}, {"command", through(title_bytes)}}}});
  notify("turn/plan/updated",
         {{"plan", json::array{json::object{
                       {"step", through(title_bytes - std::string_view("0 of 1 steps done: ").size())},
                       {"status", "inProgress"}}}}});
  item("item/completed", {{"type", "agentMessage"}, {"id", "m2"}, {"text", through(3 * field_bytes)}});
  notify("turn/completed", {{"turn", {{"id", "u1"}, {"status", "completed"}}}});
  EXPECT_EQ(seen_["agent.message"], 2);
  EXPECT_EQ(seen_["agent.tool_started"], 3);
  EXPECT_EQ(seen_["ask"], 1);
  EXPECT_EQ(seen_["outcome"], 1);
}

TEST_F(CodexCuts, SignalsOfNoProgressEndBeforeASecret) {
  begin();
  for (int i = 0; i < 12; ++i) {
    command("a" + std::to_string(i), through(field_bytes), "error: " + through(500 - 7));
    command("b" + std::to_string(i), through(120), "error: " + through(500 - 7));
  }
  EXPECT_GT(seen_["agent.no_progress"], 1);
}

TEST_F(CodexCuts, FailuresEndBeforeASecret) {
  begin();
  notify("turn/completed",
         {{"turn", {{"id", "u1"}, {"status", "failed"}, {"error", {{"message", through(field_bytes)}}}}}});
  EXPECT_EQ(seen_["outcome"], 1);
  begin();
  const std::string before = "a request that this version does not know: ";
  say({{"id", 9}, {"method", through(title_bytes - before.size())}, {"params", json::object{}}});
  EXPECT_EQ(seen_["outcome"], 2);
}

class ClaudeCuts : public CutSecrets {
 protected:
  void begin() {
    session_ = make_claude_session(spec_);
    (void)session_->start();
    say({{"type", "control_response"},
         {"response",
          {{"subtype", "success"}, {"request_id", "agentrouter-1"}, {"response", json::object{}}}}});
    say({{"type", "system"}, {"subtype", "init"}, {"session_id", "s1"}});
  }
  void assistant(json::object block) {
    say({{"type", "assistant"},
         {"message", {{"model", "m"}, {"content", json::array{std::move(block)}}}},
         {"parent_tool_use_id", nullptr}});
  }
  void ask(const std::string& id, const std::string& command) {
    say({{"type", "control_request"},
         {"request_id", "r" + id},
         {"request",
          {{"subtype", "can_use_tool"},
           {"tool_name", "Bash"},
           {"input", {{"command", command}}},
           {"tool_use_id", id}}}});
  }
};

TEST_F(ClaudeCuts, MessagesCallsQuestionsAndFailuresEndBeforeASecret) {
  begin();
  assistant({{"type", "text"}, {"text", through(field_bytes)}});
  ask("c1", through(title_bytes));
  ask("c2", through(field_bytes - std::string_view(R"({"command":")").size(), 3 * field_bytes));
  say({{"type", "result"}, {"subtype", "error"}, {"is_error", true}, {"result", through(field_bytes)}});
  EXPECT_EQ(seen_["agent.message"], 1);
  EXPECT_EQ(seen_["agent.tool_started"], 2);
  EXPECT_EQ(seen_["ask"], 2);
  EXPECT_EQ(seen_["outcome"], 1);
}

TEST_F(ClaudeCuts, AnEditedQuestionEndsBeforeASecret) {
  begin();
  ask("c1", "ls");
  const auto edited = session_->edit("rc1", {{"command", through(title_bytes)}});
  ASSERT_TRUE(edited);
  see("edited", {{"title", edited->title}});
}

TEST_F(CutSecrets, WhatAReviewerIsToldAndSaysEndsBeforeASecret) {
  const auto listed = listed_call(
      "c", "shell", {{"command", through(400 - std::string_view(R"({"command":")").size())}}, hidden_);
  see("listed", {{"line", listed.line}});
  const json::object word{{"outcome", "deny"}, {"risk", "low"}, {"reason", through(title_bytes)}};
  const json::object body{
      {"stop_reason", "end_turn"},
      {"content", json::array{json::object{{"type", "text"}, {"text", base::to_text(word)}}}}};
  const auto verdict = read_review(model::RuntimeKind::claude_code, 200, base::to_text(body), hidden_);
  EXPECT_NE(verdict.reason.find("xxx"), std::string::npos) << verdict.reason;
  see("verdict", {{"reason", verdict.reason}});
}

}  // namespace
}  // namespace agentrouter::agents
