#include "sim/messages.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "sim/simulator.h"

namespace agentrouter::sim {
namespace {

using namespace std::chrono_literals;

struct MessageEvent {
  std::string type;
  json::object data;
};

std::vector<MessageEvent> message_events(const Reply& reply) {
  std::vector<MessageEvent> events;
  for (const auto& chunk : reply.chunks) {
    const auto line_end = chunk.bytes.find('\n');
    if (!chunk.bytes.ends_with("\n\n")) break;
    events.push_back(
        {chunk.bytes.substr(7, line_end - 7), json::parse(chunk.bytes.substr(line_end + 7)).as_object()});
  }
  return events;
}

std::chrono::milliseconds time_of_messages(const Reply& reply) {
  std::chrono::milliseconds time{0};
  for (const auto& chunk : reply.chunks) time += chunk.delay;
  return time;
}

std::string text(const json::value& value) {
  return std::string(value.as_string());
}

// A client that asks, carries the calls out by writing down what it was told, and asks again.
class MessagesTest : public testing::Test {
 protected:
  using Said = std::vector<std::string>;

  void task(std::string_view text) { messages.push_back(json::object{{"role", "user"}, {"content", text}}); }

  Reply ask() {
    const json::object body{{"model", "claude-opus-5-5"},
                            {"stream", stream},
                            {"metadata", {{"user_id", "s"}}},
                            {"system", " - Primary working directory: /w\n - Platform: linux"},
                            {"tools", tools},
                            {"messages", messages}};
    return post(base::to_text(body));
  }

  Reply post(std::string_view body) { return simulator.handle({"POST", "/v1/messages?beta=true", {}, body}); }

  // Each block of the answer as one line; the calls of it are answered with `output`.
  Said step() {
    Said said;
    json::array content;
    json::array results;
    json::object block;
    std::string streamed;
    for (auto& event : message_events(ask())) {
      if (event.type == "error") said.push_back("failed " + text(event.data["error"].at("type")));
      if (event.type == "message_start") start = event.data["message"].as_object();
      if (event.type == "content_block_start") block = event.data["content_block"].as_object();
      if (event.type == "content_block_start") streamed.clear();
      if (event.type == "content_block_delta") streamed += delta_of(event.data["delta"].as_object());
      if (event.type == "content_block_stop") said.push_back(take(block, streamed, content, results));
      if (event.type != "message_delta") continue;
      last = event.data;
      stop_reason = text(event.data["delta"].at("stop_reason"));
    }
    if (!results.empty()) {
      messages.push_back(json::object{{"role", "assistant"}, {"content", content}});
      messages.push_back(json::object{{"role", "user"}, {"content", results}});
    }
    return said;
  }

  Simulator simulator;
  json::array messages;
  json::array tools;
  bool stream = true;
  std::string output = "ok";
  json::object start;
  json::object last;
  std::string stop_reason;

  MessagesTest() {
    for (const auto name : {"Bash", "Edit", "Read", "Write", "ToolSearch"})
      tools.push_back(json::object{{"name", name}, {"input_schema", json::object()}});
  }

  static std::string bash(const std::string& command) {
    return "Bash {\"command\":\"" + command +
           "\",\"timeout\":600000,\"description\":\"Run a command of the script\"}";
  }

 private:
  static std::string delta_of(const json::object& delta) {
    for (const auto key : {"text", "thinking", "partial_json"}) {
      if (delta.contains(key)) return text(delta.at(key));
    }
    return {};
  }

  std::string take(json::object block, const std::string& streamed, json::array& content,
                   json::array& results) {
    const auto type = text(block.at("type"));
    if (type != "tool_use") return (type == "text" ? "say " : "think ") + streamed;
    block["input"] = json::parse(streamed);
    content.push_back(block);
    results.push_back(json::object{{"type", "tool_result"},
                                   {"tool_use_id", block.at("id")},
                                   {"is_error", output != "ok"},
                                   {"content", output}});
    return text(block.at("name")) + " " + streamed;
  }
};

TEST_F(MessagesTest, ScriptRunsStepByStep) {
  task(
      "sim: say hello\nsim: think hm\nsim: sh a\nsim: with read b\nsim: repeat 2 sh r{i}\nsim: write f x\n"
      "sim: edit f x => y\nsim: mcp stub add {\"a\":1}\nsim: call Any {}\nsim: reply bye");
  EXPECT_EQ(step(), (Said{"say hello", "think hm", bash("a"), "Read {\"file_path\":\"/w/b\"}"}));
  EXPECT_EQ(stop_reason, "tool_use");
  EXPECT_EQ(step(), Said{bash("r1")});
  EXPECT_EQ(step(), Said{bash("r2")});
  EXPECT_EQ(step(), Said{R"(Write {"file_path":"/w/f","content":"x\n"})"});
  EXPECT_EQ(step(), Said{R"(Edit {"file_path":"/w/f","old_string":"x","new_string":"y"})"});
  EXPECT_EQ(step(), Said{R"(mcp__stub__add {"a":1})"});
  EXPECT_EQ(step(), Said{"Any {}"});
  EXPECT_EQ(step(), Said{"say bye"});
  EXPECT_EQ(stop_reason, "end_turn");
  EXPECT_EQ(step(), Said{"say bye"});
}

TEST_F(MessagesTest, FileThatMustBeReadFirstIsReadAndWrittenAgain) {
  task("sim: write f x\nsim: reply bye");
  output = "<tool_use_error>File has not been read yet. Read it first before writing to it.</tool_use_error>";
  const Said write{R"(Write {"file_path":"/w/f","content":"x\n"})"};
  EXPECT_EQ(step(), write);
  output = "ok";
  EXPECT_EQ(step(), Said{R"(Read {"file_path":"/w/f"})"});
  EXPECT_EQ(step(), write);
  EXPECT_EQ(step(), Said{"say bye"});
}

TEST_F(MessagesTest, FileThatIsRefusedAfterReadingIsLeft) {
  task("sim: write f x\nsim: reply bye");
  output = "File has not been read yet.";
  step();
  EXPECT_EQ(step(), Said{R"(Read {"file_path":"/w/f"})"});
  step();
  EXPECT_EQ(step(), Said{"say bye"});
}

TEST_F(MessagesTest, RefusedWriteBesideAnotherCallIsLeft) {
  task("sim: write f x\nsim: with sh a\nsim: reply bye");
  output = "File has not been read yet.";
  step();
  EXPECT_EQ(step(), Said{"say bye"});
}

TEST_F(MessagesTest, SameRequestGivesTheSameBytes) {
  task("sim: say hello\nsim: sh a");
  const auto first = ask().body();
  EXPECT_EQ(ask().body(), first);
  step();
  EXPECT_NE(ask().body(), first);
}

TEST_F(MessagesTest, StreamIsByteForByteTheGoldenOne) {
  task(
      "sim: think plan\nsim: say I begin with this.\nsim: sh echo hi\nsim: with write a.txt x\nsim: usage 12 "
      "34");
  const auto path = std::string(AGENTROUTER_SOURCE_DIR) + "/src/sim/testdata/messages.sse";
  const auto bytes = ask().body();
  if (std::getenv("AGENTROUTER_ACCEPT")) std::ofstream(path) << bytes;
  EXPECT_EQ(bytes, base::read_file(path).value());
}

TEST_F(MessagesTest, WithoutStreamTheAnswerIsOneDocument) {
  stream = false;
  task("sim: sleep 1\nsim: say a\nsim: sh ls");
  const auto reply = ask();
  EXPECT_FALSE(reply.is_event_stream());
  EXPECT_EQ(time_of_messages(reply), 1s);
  const auto document = json::parse(reply.body());
  EXPECT_EQ(document.at("type"), "message");
  EXPECT_EQ(document.at("stop_reason"), "tool_use");
  EXPECT_EQ(document.at("content").at(0).at("text"), "a");
  EXPECT_EQ(document.at("content").at(1).at("input").at("command"), "ls");
  EXPECT_GT(document.at("usage").at("input_tokens").as_int64(), 0);
}

TEST_F(MessagesTest, ErrorIsAnsweredOnceInTheEnvelopeOfAnthropic) {
  task("sim: error 429 retry-after=3\nsim: error 529\nsim: sh a");
  const auto first = ask();
  EXPECT_EQ(first.status, 429);
  EXPECT_EQ(first.headers.back().name, "retry-after");
  EXPECT_EQ(first.headers.back().value, "3");
  const auto body = json::parse(first.body());
  EXPECT_EQ(body.at("type"), "error");
  EXPECT_EQ(body.at("error").at("type"), "rate_limit_error");
  EXPECT_EQ(body.at("request_id").as_string(), first.headers.at(1).value);
  EXPECT_EQ(ask().status, 529);
  EXPECT_EQ(step(), Said{bash("a")});
}

TEST_F(MessagesTest, ErrorTypesFollowTheStatusOrTheCode) {
  const std::vector<std::pair<std::string, std::string>> types{
      {"400", "invalid_request_error"},
      {"401", "authentication_error"},
      {"402", "billing_error"},
      {"403", "permission_error"},
      {"404", "not_found_error"},
      {"413", "request_too_large"},
      {"422", "invalid_request_error"},
      {"500", "api_error"},
      {"503", "api_error"},
      {"504", "timeout_error"},
      {"529", "overloaded_error"},
      {"500 overloaded_error", "overloaded_error"},
      {"429 insufficient_quota", "billing_error"},
      {"400 rate_limit_exceeded", "rate_limit_error"}};
  for (const auto& [line, type] : types) {
    messages.clear();
    task("sim: error " + line);
    const auto reply = ask();
    EXPECT_EQ(reply.status, std::stoi(line));
    EXPECT_EQ(json::parse(reply.body()).at("error").at("type").as_string(), type) << line;
  }
}

TEST_F(MessagesTest, ErrorsThatTheCliKnowsByTheirWordsHaveThem) {
  task("sim: error 400 context_length_exceeded\nsim: error 400 insufficient_quota\nsim: error 400 odd");
  EXPECT_NE(ask().body().find("prompt is too long: "), std::string::npos);
  EXPECT_NE(ask().body().find("Your credit balance is too low"), std::string::npos);
  EXPECT_NE(ask().body().find("Simulated error 400 (odd)."), std::string::npos);
}

TEST_F(MessagesTest, ErrorAlwaysStaysAndSleepDelaysIt) {
  task("sim: sh a\nsim: sleep 4\nsim: error 500 always\nsim: sh b");
  step();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(time_of_messages(ask()), 4s);
  EXPECT_EQ(ask().status, 500);
}

TEST_F(MessagesTest, EqualLinesOfTwoTurnsFireOnceEach) {
  for (int turn = 0; turn < 2; ++turn) {
    task("sim: error 500\nsim: reply a");
    EXPECT_EQ(ask().status, 500);
    EXPECT_EQ(ask().status, 200);
  }
}

TEST_F(MessagesTest, ALaterMessageJoinedToATaskFiresNothingAgain) {
  task("sim: error 400\nsim: reply a");
  EXPECT_EQ(ask().status, 400);
  messages.clear();
  task("sim: error 400\nsim: reply a\nGo on.");
  EXPECT_EQ(ask().status, 200);
}

TEST_F(MessagesTest, FailEndsTheStreamWithItsTypeOnce) {
  const std::vector<std::pair<std::string, std::string>> types{{"rate_limit_exceeded", "rate_limit_error"},
                                                               {"overloaded", "overloaded_error"},
                                                               {"insufficient_quota", "billing_error"},
                                                               {"odd", "api_error"}};
  for (const auto& [code, type] : types) {
    messages.clear();
    task("sim: say first\nsim: fail " + code + "\nsim: sh a");
    EXPECT_EQ(step(), Said{"failed " + type});
    EXPECT_EQ(step(), (Said{"say first", bash("a")}));
  }
}

TEST_F(MessagesTest, FailWithoutAStreamIsAnHttpError) {
  stream = false;
  task("sim: fail overloaded\nsim: fail rate_limit_exceeded\nsim: fail odd");
  EXPECT_EQ(ask().status, 529);
  EXPECT_EQ(ask().status, 429);
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(ask().status, 200);
}

TEST_F(MessagesTest, FailKnowsTheReasonsWhyAnAnswerStops) {
  const std::vector<std::pair<std::string, std::string>> reasons{
      {"refusal", "refusal"},
      {"content_filter", "refusal"},
      {"max_tokens", "max_tokens"},
      {"context_length_exceeded", "model_context_window_exceeded"}};
  for (const auto& [code, reason] : reasons) {
    messages.clear();
    task("sim: sleep 2\nsim: fail " + code);
    EXPECT_EQ(time_of_messages(simulator.handle({"HEAD", "/", {}, ""})), 0s);
    step();
    EXPECT_EQ(stop_reason, reason);
    EXPECT_EQ(step(), Said{"say Done."});
  }
}

TEST_F(MessagesTest, DropCutsBeforeAnythingIsFinishedOnce) {
  task("sim: say hello there, this is long\nsim: drop\nsim: sh b");
  const auto cut = ask();
  EXPECT_EQ(cut.status, 200);
  EXPECT_EQ(cut.ending, Ending::cut);
  EXPECT_FALSE(cut.body().ends_with("\n\n"));
  EXPECT_EQ(message_events(cut).back().type, "content_block_delta");
  EXPECT_EQ(step(), (Said{"say hello there, this is long", bash("b")}));
}

TEST_F(MessagesTest, SleepFeedsTheIdleTimer) {
  task("sim: sleep 12\nsim: sh a");
  const auto reply = ask();
  EXPECT_EQ(time_of_messages(reply), 12s);
  EXPECT_EQ(reply.chunks.front().delay, 0ms);
  for (const auto& chunk : reply.chunks) EXPECT_LE(chunk.delay, 5s);
  EXPECT_EQ(message_events(reply).at(2).type, "ping");
}

TEST_F(MessagesTest, UsageIsMeasuredFromTheTextUnlessTold) {
  task("sim: reply 12345678");
  step();
  EXPECT_EQ(last.at("usage").at("output_tokens"), 2);
  EXPECT_GT(last.at("usage").at("input_tokens").as_int64(), 50);
  EXPECT_EQ(last.at("usage").at("input_tokens"), start.at("usage").at("input_tokens"));
}

TEST_F(MessagesTest, UsageCanBeFixedMissingOrLate) {
  task("sim: usage 1000 7\nsim: sh a\nsim: usage late\nsim: sh b\nsim: usage none\nsim: reply c");
  step();
  EXPECT_EQ(start.at("usage").at("input_tokens"), 1000);
  EXPECT_EQ(last.at("usage").at("output_tokens"), 7);
  EXPECT_EQ(time_of_messages(ask()), 1s);
  step();
  EXPECT_EQ(start.at("usage").at("input_tokens"), 0);
  EXPECT_EQ(last.at("usage").at("input_tokens"), 1000);
  step();
  EXPECT_FALSE(start.contains("usage"));
  EXPECT_FALSE(last.contains("usage"));
}

TEST_F(MessagesTest, RecallLooksAtEarlierTurnsOnly) {
  task("the word is xyzzy");
  step();
  task("sim: recall xyzzy");
  EXPECT_EQ(step(), Said{"say seen"});
  task("sim: recall plugh");
  EXPECT_EQ(step(), Said{"say not seen"});
}

TEST_F(MessagesTest, BigHasExactlyThatManyBytes) {
  task("sim: big 1000003");
  EXPECT_EQ(step().at(0).size(), 1000003u + 4);
  EXPECT_LT(ask().chunks.size(), 300u);
}

TEST_F(MessagesTest, MissingToolEndsTheRunWithAMessageThatSaysSo) {
  tools = {};
  task("sim: say first\nsim: call any\nsim: with sh ls");
  EXPECT_EQ(step(), (Said{"say first", "say No tool of this request fits the step 'sh'. Offered: none."}));
  EXPECT_EQ(stop_reason, "end_turn");
}

TEST_F(MessagesTest, PlainTaskRuns) {
  task("run exactly: pwd.");
  EXPECT_EQ(step(), Said{bash("pwd")});
  EXPECT_EQ(step(), Said{"say I ran `pwd` as asked."});
}

class SideRequestTest : public testing::Test {
 protected:
  static constexpr auto cli = "x-anthropic-billing-header: cc_version=2.1.330;";

  std::string answer(const json::object& body) {
    const auto reply = simulator.handle({"POST", "/v1/messages", {}, base::to_text(body)});
    return text(json::parse(reply.body()).at("content").at(0).at("text"));
  }

  static json::array said_by_user(const std::string& text) {
    return {json::object{{"role", "user"}, {"content", text}}};
  }

  // What the auto mode's classifier is told about a script and the calls so far.
  std::string verdict(const std::string& script, std::size_t calls) {
    auto transcript = "<transcript>\n" + base::to_text(json::object{{"user", script}}) + "\n";
    for (std::size_t i = 0; i < calls; ++i) transcript += "{\"Bash\":\"a\"}\n";
    return answer({{"system", "Answer <block>yes</block><category>...</category> or <block>no</block>"},
                   {"messages", said_by_user(transcript + "</transcript>\n")}});
  }

  // The same for a reviewer that is given a schema.
  std::string outcome(const std::string& transcript) {
    const auto properties = json::parse(R"({"outcome":{},"risk":{},"reason":{}})");
    const json::object format{{"type", "json_schema"}, {"schema", {{"properties", properties}}}};
    return answer({{"output_config", {{"format", format}}}, {"messages", said_by_user(transcript)}});
  }

  Simulator simulator;
};

TEST_F(SideRequestTest, TitleAndWebPageDoNotAdvanceTheScript) {
  EXPECT_EQ(answer({{"system", cli}, {"messages", said_by_user("sim: error 500\nsim: reply a")}}),
            "Simulated.");
  const auto properties =
      json::parse(R"({"title":{"type":"string"},"ok":{"type":"boolean"},"n":{"type":"integer"},)"
                  R"("list":{"type":"array"},"more":{"type":"object"}})");
  const json::object format{{"type", "json_schema"}, {"schema", {{"properties", properties}}}};
  EXPECT_EQ(answer({{"system", cli},
                    {"output_config", {{"format", format}}},
                    {"messages", said_by_user("sim: error 500")}}),
            R"({"title":"Simulated","ok":false,"n":0,"list":[],"more":{}})");
}

TEST_F(SideRequestTest, AutoModeIsAllowedByDefault) {
  EXPECT_EQ(verdict("do it", 1), "<block>no</block>");
}

TEST_F(SideRequestTest, JudgeLinesDecideTheAutoModeFromTheirStepOn) {
  const auto script = "sim: sh a\nsim: judge deny\nsim: sh b\nsim: judge garbage\nsim: sh c";
  EXPECT_EQ(verdict(script, 1), "<block>no</block>");
  EXPECT_TRUE(verdict(script, 2).starts_with("<block>yes</block><category>"));
  EXPECT_EQ(verdict(script, 3).find("<block>"), std::string::npos);
}

TEST_F(SideRequestTest, ReviewerWithASchemaIsAnsweredInItsShape) {
  const std::string one = "[2] tool Bash call: {}\n";
  EXPECT_EQ(outcome("May it run ls?"), R"({"outcome":"allow","risk":"low","reason":"Simulated review."})");
  EXPECT_NE(outcome("sim: sh a\nsim: judge deny\nsim: sh b\n" + one + one).find("\"deny\""),
            std::string::npos);
}

TEST_F(SideRequestTest, TokensAreCounted) {
  const auto body = R"({"messages":[]})";
  const auto reply = simulator.handle({"POST", "/v1/messages/count_tokens", {}, body});
  EXPECT_EQ(reply.body(), R"({"input_tokens":4})");
  EXPECT_EQ(simulator.handle({"POST", "/v1/messages/count_tokens", {}, "{"}).status, 400);
  EXPECT_EQ(simulator.handle({"GET", "/v1/messages/count_tokens", {}, ""}).status, 405);
}

TEST_F(SideRequestTest, ModelsAreListedInTheShapeOfTheClient) {
  const std::vector<Header> anthropic{{"anthropic-version", "2023-06-01"}};
  const auto list = json::parse(simulator.handle({"GET", "/v1/models", anthropic, ""}).body());
  EXPECT_EQ(list.at("data").at(0).at("type"), "model");
  EXPECT_EQ(list.at("has_more"), false);
}

TEST_F(SideRequestTest, SomebodyIsThere) {
  EXPECT_EQ(simulator.handle({"HEAD", "/api/hello", {}, ""}).status, 200);
  EXPECT_EQ(simulator.handle({"HEAD", "/", {}, ""}).status, 200);
}

TEST_F(SideRequestTest, RefusalsHaveTheEnvelopeOfAnthropic) {
  simulator = Simulator("right");
  const auto status = [&](std::vector<Header> headers, std::string_view body) {
    return simulator.handle({"POST", "/v1/messages", headers, body}).status;
  };
  const auto good = R"({"messages":[{"role":"user","content":"sim: reply a"}]})";
  EXPECT_EQ(status({{"x-api-key", "right"}}, good), 200);
  EXPECT_EQ(status({{"Authorization", "Bearer right"}}, good), 200);
  EXPECT_EQ(status({{"x-api-key", "wrong"}}, good), 401);
  EXPECT_EQ(status({{"authorization", "Basic right"}, {"x-api-key", "right"}}, good), 401);
  EXPECT_EQ(status({}, good), 401);
  EXPECT_EQ(status({{"x-api-key", "right"}, {"upgrade", "websocket"}}, good), 426);
  for (const auto body : {"", "{", "[]", "{}", "{\"messages\":7}"})
    EXPECT_EQ(status({{"x-api-key", "right"}}, body), 400) << body;

  const auto refused = json::parse(simulator.handle({"POST", "/v1/messages", {}, good}).body());
  EXPECT_EQ(refused.at("error").at("type"), "authentication_error");
  const std::vector<Header> headers{{"x-api-key", "right"}, {"anthropic-version", "1"}};
  const auto missing = simulator.handle({"GET", "/v1/nothing", headers, ""});
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(json::parse(missing.body()).at("error").at("type"), "not_found_error");
  const auto wrong = simulator.handle({"GET", "/v1/messages", headers, ""});
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.back().value, "POST");
}

}  // namespace
}  // namespace agentrouter::sim
