#include "sim/simulator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "base/json.h"

namespace agentrouter::sim {
namespace {

using namespace std::chrono_literals;

struct Event {
  std::string type;
  json::object data;
};

std::vector<Event> events_of(const Reply& reply) {
  std::vector<Event> events;
  for (const auto& chunk : reply.chunks) {
    const auto line_end = chunk.bytes.find('\n');
    if (!chunk.bytes.ends_with("\n\n")) break;
    const auto data = chunk.bytes.substr(line_end + 7);
    events.push_back({chunk.bytes.substr(7, line_end - 7), json::parse(data).as_object()});
  }
  return events;
}

std::chrono::milliseconds time_of(const Reply& reply) {
  std::chrono::milliseconds time{0};
  for (const auto& chunk : reply.chunks) time += chunk.delay;
  return time;
}

// A client that asks, carries the calls out by writing down what it was told, and asks again.
class SimulatorTest : public testing::Test {
 protected:
  void task(std::string_view text) { input.push_back(json::object{{"role", "user"}, {"content", text}}); }

  void result(std::string_view call_id, std::string_view output) {
    input.push_back(json::object{{"type", "function_call_output"}, {"call_id", call_id}, {"output", output}});
  }

  Reply ask() {
    const json::object body{{"model", "gpt-5.5"},
                            {"stream", stream},
                            {"prompt_cache_key", "s"},
                            {"tools", tools},
                            {"input", input}};
    return post(base::to_text(body));
  }

  Reply post(std::string_view body) { return simulator.handle({"POST", "/v1/responses", {}, body}); }

  // Every item that the answer finished, as one line each; results of its calls are added to the input.
  std::vector<std::string> step() {
    std::vector<std::string> said;
    for (auto& event : events_of(ask())) {
      if (event.type == "response.failed")
        said.push_back("failed " + std::string(event.data["response"].at("error").at("code").as_string()));
      if (event.type == "response.incomplete") said.push_back("incomplete");
      if (event.type == "response.completed") last_usage = event.data["response"].as_object();
      if (event.type == "response.output_item.done") said.push_back(take(event.data["item"].as_object()));
    }
    return said;
  }

  std::string take(const json::object& item) {
    const std::string type(item.at("type").as_string());
    if (type == "reasoning") return "think " + std::string(item.at("summary").at(0).at("text").as_string());
    if (type == "message") {
      const auto& part = item.at("content").at(0);
      return "say " + std::string(part.at(part.at("type") == "refusal" ? "refusal" : "text").as_string());
    }
    input.push_back(item);
    result(item.at("call_id").as_string(), "Process exited with code 0\nOutput:\n");
    return std::string(item.at("name").as_string()) + " " +
           std::string(item.at(type == "function_call" ? "arguments" : "input").as_string());
  }

  using Said = std::vector<std::string>;
  static std::string exec(const std::string& command) {
    return "exec_command {\"cmd\":\"" + command + "\",\"yield_time_ms\":30000}";
  }

  Simulator simulator;
  json::array input;
  json::array tools{json::object{{"type", "function"}, {"name", "exec_command"}},
                    json::object{{"type", "function"}, {"name", "write_stdin"}},
                    json::object{{"type", "custom"}, {"name", "apply_patch"}}};
  bool stream = true;
  json::object last_usage;
};

TEST_F(SimulatorTest, ScriptRunsStepByStep) {
  task(
      "sim: say hello\nsim: think hm\nsim: sh a\nsim: with sh b\nsim: repeat 2 sh r{i}\nsim: write f x\nsim: "
      "reply bye");
  EXPECT_EQ(step(), (Said{"say hello", "think hm", exec("a"), exec("b")}));
  EXPECT_EQ(step(), Said{exec("r1")});
  EXPECT_EQ(step(), Said{exec("r2")});
  EXPECT_EQ(step(), Said{"apply_patch *** Begin Patch\n*** Add File: f\n+x\n*** End Patch\n"});
  EXPECT_EQ(step(), Said{"say bye"});
  EXPECT_EQ(step(), Said{"say bye"});
}

TEST_F(SimulatorTest, SameRequestGivesTheSameBytes) {
  task("sim: say hello\nsim: sh a");
  const auto first = ask().body();
  EXPECT_EQ(ask().body(), first);
  step();
  EXPECT_NE(ask().body(), first);
}

TEST_F(SimulatorTest, StreamIsByteForByteTheGoldenOne) {
  task(
      "sim: think plan\nsim: say I begin with this.\nsim: sh echo hi\nsim: with write a.txt x\nsim: usage 12 "
      "34");
  const auto path = std::string(AGENTROUTER_SOURCE_DIR) + "/src/sim/testdata/stream.sse";
  const auto bytes = ask().body();
  if (std::getenv("AGENTROUTER_ACCEPT")) std::ofstream(path) << bytes;
  EXPECT_EQ(bytes, base::read_file(path).value());
}

TEST_F(SimulatorTest, StreamNamesItsTypeAndNoFraming) {
  task("sim: reply a");
  const auto reply = ask();
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.is_event_stream());
  EXPECT_EQ(reply.ending, Ending::complete);
  EXPECT_EQ(reply.body_size(), reply.body().size());
  for (const auto& header : reply.headers) {
    EXPECT_NE(header.name, "content-length");
    EXPECT_NE(header.name, "transfer-encoding");
  }
}

TEST_F(SimulatorTest, WithoutStreamTheAnswerIsOneDocument) {
  stream = false;
  task("sim: sleep 1\nsim: say a\nsim: sh ls");
  const auto reply = ask();
  EXPECT_FALSE(reply.is_event_stream());
  EXPECT_EQ(time_of(reply), 1s);
  const auto document = json::parse(reply.body());
  EXPECT_EQ(document.at("status"), "completed");
  EXPECT_EQ(document.at("output").as_array().size(), 2u);
  EXPECT_EQ(document.at("output").at(1).at("name"), "exec_command");
  EXPECT_GT(document.at("usage").at("input_tokens").as_int64(), 0);
}

TEST_F(SimulatorTest, ErrorIsAnsweredOnceAndThenTheScriptGoesOn) {
  task("sim: error 429 retry-after=3\nsim: error 503 busy\nsim: sh a");
  const auto first = ask();
  EXPECT_EQ(first.status, 429);
  EXPECT_EQ(first.headers.back().name, "retry-after");
  EXPECT_EQ(first.headers.back().value, "3");
  EXPECT_EQ(json::parse(first.body()).at("error").at("code"), "rate_limit_exceeded");
  EXPECT_EQ(json::parse(first.body()).at("error").at("type"), "rate_limit_error");
  const auto second = ask();
  EXPECT_EQ(second.status, 503);
  EXPECT_EQ(json::parse(second.body()).at("error").at("code"), "busy");
  EXPECT_EQ(step(), Said{exec("a")});
}

TEST_F(SimulatorTest, ErrorCodesFollowTheStatus) {
  const std::vector<std::pair<int, std::string>> codes{{400, "invalid_request"}, {401, "invalid_api_key"},
                                                       {403, "forbidden"},       {404, "model_not_found"},
                                                       {500, "server_error"},    {529, "server_error"}};
  for (const auto& [status, code] : codes) {
    input.clear();
    task("sim: error " + std::to_string(status));
    const auto reply = ask();
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(json::parse(reply.body()).at("error").at("code").as_string(), code);
  }
  input.clear();
  task("sim: error 429 insufficient_quota");
  EXPECT_EQ(json::parse(ask().body()).at("error").at("type"), "insufficient_quota");
}

TEST_F(SimulatorTest, ErrorAlwaysStays) {
  task("sim: sh a\nsim: error 500 always\nsim: sh b");
  EXPECT_EQ(step(), Said{exec("a")});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask().status, 500);
}

TEST_F(SimulatorTest, SleepBeforeAnErrorDelaysIt) {
  task("sim: sleep 4\nsim: error 500\nsim: sh a");
  EXPECT_EQ(time_of(ask()), 4s);
  EXPECT_EQ(time_of(ask()), 0s);
}

TEST_F(SimulatorTest, EqualLinesOfTwoTurnsFireOnceEach) {
  task("sim: error 500\nsim: reply a");
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(ask().status, 200);
  task("sim: error 500\nsim: reply a");
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(ask().status, 200);
}

TEST_F(SimulatorTest, RepeatedErrorFiresThatOften) {
  task("sim: repeat 2 error 500\nsim: reply a");
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(ask().status, 200);
}

TEST_F(SimulatorTest, AnotherAttemptSeesTheErrorAgain) {
  task("sim: error 500\nsim: reply a");
  EXPECT_EQ(ask().status, 500);
  simulator = Simulator();
  EXPECT_EQ(ask().status, 500);
}

TEST_F(SimulatorTest, FailEndsTheStreamWithItsCodeOnce) {
  for (const auto code :
       {"rate_limit_exceeded", "context_length_exceeded", "insufficient_quota", "overloaded"}) {
    input.clear();
    task("sim: say first\nsim: fail " + std::string(code) + "\nsim: sh a");
    EXPECT_EQ(step(), Said{"failed " + std::string(code)});
    EXPECT_EQ(step(), (Said{"say first", exec("a")}));
  }
}

TEST_F(SimulatorTest, FailKnowsRefusalAndCutOffAnswers) {
  task("sim: fail refusal\nsim: fail max_tokens\nsim: fail content_filter\nsim: sleep 2\nsim: fail x");
  EXPECT_EQ(step(), Said{"say I can't help with that."});
  EXPECT_EQ(step(), Said{"incomplete"});
  EXPECT_EQ(step(), Said{"incomplete"});
  EXPECT_EQ(time_of(ask()), 2s);
  EXPECT_EQ(step(), Said{"say Done."});
}

TEST_F(SimulatorTest, DropCutsBeforeAnythingIsFinishedOnce) {
  task("sim: say hello there, this is long\nsim: sh a\nsim: drop\nsim: sh b");
  step();
  const auto cut = ask();
  EXPECT_EQ(cut.status, 200);
  EXPECT_EQ(cut.ending, Ending::cut);
  EXPECT_FALSE(cut.body().ends_with("\n\n"));
  for (const auto& event : events_of(cut)) EXPECT_NE(event.type, "response.output_item.done");
  EXPECT_EQ(step(), Said{exec("b")});
}

TEST_F(SimulatorTest, DropShowsTheBeginningOfAMessage) {
  task("sim: drop\nsim: reply a longer message of some words");
  const auto events = events_of(ask());
  EXPECT_EQ(events.back().type, "response.output_text.delta");
  EXPECT_EQ(step(), Said{"say a longer message of some words"});
}

TEST_F(SimulatorTest, SleepFeedsTheIdleTimer) {
  task("sim: sleep 12\nsim: sh a");
  const auto reply = ask();
  EXPECT_EQ(time_of(reply), 12s);
  EXPECT_EQ(reply.chunks.front().delay, 0ms);
  for (const auto& chunk : reply.chunks) EXPECT_LE(chunk.delay, 5s);
  EXPECT_EQ(events_of(reply).at(1).type, "response.in_progress");
}

TEST_F(SimulatorTest, UsageIsMeasuredFromTheTextUnlessTold) {
  task("sim: reply 12345678");
  step();
  const auto& measured = last_usage.at("usage");
  EXPECT_EQ(measured.at("output_tokens"), 2);
  EXPECT_GT(measured.at("input_tokens").as_int64(), 50);
  EXPECT_EQ(measured.at("total_tokens").as_int64(), measured.at("input_tokens").as_int64() + 2);

  input.clear();
  task("sim: think 1234\nsim: reply 1234");
  step();
  EXPECT_EQ(last_usage.at("usage").at("output_tokens_details").at("reasoning_tokens"), 1);
}

TEST_F(SimulatorTest, UsageCanBeFixedMissingOrLate) {
  task("sim: usage 1000 7\nsim: sh a\nsim: usage late\nsim: sh b\nsim: usage none\nsim: reply c");
  step();
  EXPECT_EQ(last_usage.at("usage").at("input_tokens"), 1000);
  EXPECT_EQ(last_usage.at("usage").at("output_tokens"), 7);
  const auto late = ask();
  EXPECT_EQ(late.chunks.back().delay, 1s);
  EXPECT_EQ(events_of(late).back().type, "response.completed");
  step();
  step();
  EXPECT_FALSE(last_usage.contains("usage"));
}

TEST_F(SimulatorTest, RecallLooksAtEarlierTurnsOnly) {
  task("the word is xyzzy");
  step();
  task("sim: recall xyzzy");
  EXPECT_EQ(step(), Said{"say seen"});
  task("sim: recall plugh");
  EXPECT_EQ(step(), Said{"say not seen"});
}

TEST_F(SimulatorTest, BigHasExactlyThatManyBytes) {
  task("sim: big 1000003");
  const auto said = step();
  EXPECT_EQ(said.at(0).size(), 1000003u + 4);
  EXPECT_LT(ask().chunks.size(), 300u);
}

TEST_F(SimulatorTest, DeltasDoNotCutCharacters) {
  task("sim: reply äöüäöüäöüäöüäöüäöü€€€€€€");
  std::string joined;
  for (const auto& event : events_of(ask())) {
    if (event.type == "response.output_text.delta") joined += event.data.at("delta").as_string();
  }
  EXPECT_EQ(joined, "äöüäöüäöüäöüäöüäöü€€€€€€");
}

TEST_F(SimulatorTest, MissingToolEndsTheRunWithAMessageThatSaysSo) {
  tools = {};
  task("sim: say first\nsim: call any\nsim: with sh ls");
  EXPECT_EQ(step(), (Said{"say first", "say No tool of this request fits the step 'sh'. Offered: none."}));
}

TEST_F(SimulatorTest, UnknownLineIsNamedAndNothingIsRun) {
  task("sim: sh a\nsim: jump");
  EXPECT_EQ(step(), Said{"say Line 2 of the script is not understood: sim: jump"});
}

TEST_F(SimulatorTest, PlainTaskRuns) {
  task("run exactly: pwd.");
  EXPECT_EQ(step(), Said{exec("pwd")});
  EXPECT_EQ(step(), Said{"say I ran `pwd` as asked."});
}

TEST_F(SimulatorTest, RunningCommandIsWaitedFor) {
  task("sim: sh slow\nsim: reply end");
  result("1", "Process running with session ID 7\nOutput:\n");
  EXPECT_EQ(step(), Said{"write_stdin {\"session_id\":7,\"chars\":\"\",\"yield_time_ms\":30000}"});
  EXPECT_EQ(step(), Said{"say end"});
}

TEST_F(SimulatorTest, AScriptMayTypeIntoTheRunningCommand) {
  task("sim: sh slow\nsim: call write_stdin {\"chars\":\"x\"}\nsim: reply end");
  result("1", "Process running with session ID 7\nOutput:\n");
  EXPECT_EQ(step(), Said{"write_stdin {\"chars\":\"x\",\"session_id\":7}"});
}

TEST_F(SimulatorTest, RunningCommandIsLeftAloneWithoutATool) {
  tools = {json::object{{"type", "function"}, {"name", "exec_command"}}};
  task("sim: sh slow\nsim: reply end");
  result("1", "Process running with session ID 7\nOutput:\n");
  EXPECT_EQ(step(), Said{"say end"});
}

class ReviewTest : public SimulatorTest {
 protected:
  std::string verdict(const std::string& transcript) {
    const auto properties = json::parse(R"({"outcome":{},"risk":{},"reason":{}})");
    const json::object schema{{"properties", properties}};
    const json::object text{{"format", {{"type", "json_schema"}, {"schema", schema}}}};
    const json::object message{{"role", "user"}, {"content", transcript}};
    const json::object body{{"stream", false}, {"text", text}, {"input", json::array{message}}};
    return std::string(json::parse(post(base::to_text(body)).body())
                           .at("output")
                           .at(0)
                           .at("content")
                           .at(0)
                           .at("text")
                           .as_string());
  }
};

TEST_F(ReviewTest, ReviewerAllowsByDefaultInTheShapeThatIsAskedFor) {
  EXPECT_EQ(verdict("May it run ls?"), R"({"outcome":"allow","risk":"low","reason":"Simulated review."})");
}

TEST_F(ReviewTest, JudgeLinesDecideFromTheirStepOn) {
  const std::string script =
      "user: sim: sh a\nuser: sim: judge deny\nuser: sim: sh b\nuser: sim: judge garbage\nuser: sim: sh c\n";
  const std::string one = "[2] tool exec_command call: {}\n";
  EXPECT_NE(verdict(script + one).find("\"allow\""), std::string::npos);
  EXPECT_NE(verdict(script + one + one).find("\"deny\""), std::string::npos);
  EXPECT_FALSE(base::parse_json(verdict(script + one + one + one)));
  EXPECT_FALSE(base::parse_json(verdict(script)));
}

TEST_F(SimulatorTest, ModelsAreListed) {
  const auto reply = simulator.handle({"GET", "/v1/models?client_version=1", {}, ""});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(json::parse(reply.body()).at("data").at(0).at("id"), "gpt-5.5");
}

TEST_F(SimulatorTest, KeyIsDemandedWhenThereIsOne) {
  Simulator guarded("sk-right");
  const auto status = [&](const std::vector<Header>& headers) {
    return guarded.handle({"GET", "/v1/models", headers, ""}).status;
  };
  EXPECT_EQ(status({}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer sk-wrong"}}), 401);
  EXPECT_EQ(status({{"authorization", "sk-right"}}), 401);
  EXPECT_EQ(status({{"AUTHORIZATION", "Bearer sk-right"}}), 200);
  const auto reply = guarded.handle({"POST", "/v1/anything", {}, ""});
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(json::parse(reply.body()).at("error").at("code"), "invalid_api_key");
}

TEST_F(SimulatorTest, OtherRequestsAreRefusedInTheProvidersShape) {
  const std::vector<Header> upgrade{{"Upgrade", "websocket"}};
  EXPECT_EQ(simulator.handle({"GET", "/v1/responses", upgrade, ""}).status, 426);
  EXPECT_EQ(simulator.handle({"GET", "/v1/files", {}, ""}).status, 404);
  EXPECT_EQ(simulator.handle({"POST", "/v1/responses/x", {}, ""}).status, 404);
  EXPECT_EQ(simulator.handle({"POST", "/v1/models", {}, ""}).status, 405);
  const auto wrong = simulator.handle({"GET", "/v1/responses", {}, ""});
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.back().value, "POST");
  EXPECT_EQ(json::parse(wrong.body()).at("error").at("type"), "invalid_request_error");
}

TEST_F(SimulatorTest, BodyThatIsNoRequestIs400) {
  for (const auto body : {"", "{", "[]", "{\"model\":\"x\"}"}) EXPECT_EQ(post(body).status, 400) << body;
}

TEST(Memory, ForgetsTheOldestBeyondItsCapacity) {
  Memory memory;
  EXPECT_TRUE(memory.fire("first"));
  EXPECT_FALSE(memory.fire("first"));
  for (std::size_t i = 0; i < Memory::capacity; ++i) EXPECT_TRUE(memory.fire(std::to_string(i)));
  EXPECT_TRUE(memory.fire("first"));
}

}  // namespace
}  // namespace agentrouter::sim
