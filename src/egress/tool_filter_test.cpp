#include "egress/tool_filter.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

const ToolRules rules{{"exec_command", "write_stdin", "tool_search", "exec", "Bash", "mcp__*"},
                      {"write_stdin"}};

std::string offered(const std::string& body) {
  return offer_only(rules, body).value();
}

TEST(ToolFilter, WhatIsNotNamedIsNotOffered) {
  EXPECT_EQ(
      offered(
          R"({"tools":[{"type":"function","name":"exec_command"},{"type":"function","name":"view_image"},)"
          R"({"type":"web_search"},{"type":"tool_search"},{"name":"mcp__far__add"},{"name":"WebFetch"},7]})"),
      R"({"tools":[{"type":"function","name":"exec_command"},{"type":"tool_search"},{"name":"mcp__far__add"}]})");
}

TEST(ToolFilter, GroupsAndLaterOffersAreFilteredToo) {
  EXPECT_EQ(
      offered(
          R"({"input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"functions","tools":)"
          R"([{"name":"exec"},{"name":"sleep"}]},{"type":"namespace","name":"clock","tools":[{"name":"sleep"}]},)"
          R"({"type":"namespace","name":"mcp__far","tools":[{"name":"add"}]}]},{"type":"message"}]})"),
      R"({"input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"functions","tools":)"
      R"([{"name":"exec"}]},{"type":"namespace","name":"mcp__far","tools":[{"name":"add"}]}]},{"type":"message"}]})");
}

TEST(ToolFilter, ARequestThatOffersNothingElseStaysAsItIs) {
  for (const std::string body : {R"({ "tools": [ {"name":"Bash"} ], "n": 1.50, "n": 2 })",
                                 R"({"tools":null})", R"({"input":"text"})", "{}"})
    EXPECT_EQ(offered(body), body);
}

TEST(ToolFilter, WhatIsNoObjectIsRefused) {
  for (const auto* body : {"", "[]", "{", "{\"tools\":[}", "tools"})
    EXPECT_EQ(offer_only(rules, body).error().code, base::Code::invalid) << body;
}

// The answer in pieces of `size` bytes: what passed, and what was called that may not be.
std::pair<std::string, std::string> passes(const std::string& answer, CallGuard::Format format,
                                           std::size_t size) {
  CallGuard guard(rules, format);
  std::string out;
  for (std::size_t at = 0; at < answer.size(); at += size) {
    if (!guard.feed(std::string_view(answer).substr(at, size), out)) return {out, guard.called()};
  }
  std::ignore = guard.finish(out);
  return {out, guard.called()};
}

void expect_passes(const std::string& answer, CallGuard::Format format) {
  for (const std::size_t size : {1u, 2u, 7u, 100'000u})
    EXPECT_EQ(passes(answer, format, size), std::pair(answer, std::string())) << size;
}

void expect_cut(const std::string& answer, CallGuard::Format format, const std::string& called,
                const std::string& before = "") {
  for (const std::size_t size : {1u, 2u, 7u, 100'000u}) {
    const auto [out, found] = passes(answer, format, size);
    EXPECT_EQ(found, called) << answer;
    EXPECT_TRUE(before.starts_with(out)) << out;
  }
}

constexpr auto events = CallGuard::Format::events;
constexpr auto document = CallGuard::Format::document;

TEST(CallGuard, CallsOfWhatIsOfferedPass) {
  for (const std::string item :
       {R"({"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"ls\"}"})",
        R"({"type":"function_call","namespace":"mcp__far","name":"add","arguments":"{}"})",
        R"({"type":"custom_tool_call","name":"exec","input":"1"})",
        R"({"type":"tool_search_call","arguments":{"query":"x"}})",
        R"({"type":"function_call","name":"write_stdin","arguments":"{\"session_id\":1}"})",
        R"({"type":"function_call","name":"write_stdin","arguments":"{\"chars\":\"\"}"})",
        R"({"type":"function_call","name":"write_stdin","arguments":""})",
        R"({"type":"message","content":[{"type":"output_text","text":"function_call"}]})"}) {
    expect_passes("event: x\ndata: {\"item\":" + item + "}\n\n: end\r\n\r\ndata: [DONE]\n\n", events);
    expect_passes("{\"output\":[" + item + "]}", document);
  }
  expect_passes(
      "data: {\"content_block\":{\"type\":\"tool_use\",\"name\":\"Bash\",\"input\":{}}}\r\n\r\ndata: x",
      events);
  expect_passes(R"({"content":[{"type":"tool_use","name":"mcp__far__add","input":{}}]})", document);
  expect_passes("no JSON at all", document);
}

TEST(CallGuard, AnyOtherCallCutsTheAnswerBeforeIt) {
  const std::string good = "data: {\"type\":\"response.created\"}\n\n";
  for (const auto& [item, called] : std::initializer_list<std::pair<std::string, std::string>>{
           {R"({"type":"function_call","name":"view_image","arguments":"{}"})", "view_image"},
           {R"({"type":"function_call","arguments":"{}"})", "function"},
           {R"({"type":"function_call","namespace":"clock","name":"sleep"})", "sleep"},
           {R"({"type":"web_search_call","action":{}})", "web_search"},
           {R"({"type":"local_shell_call","action":{}})", "local_shell"},
           {R"({"type":"server_tool_use","name":"web_fetch"})", "web_fetch"},
           {R"({"type":"function_call","name":"write_stdin","arguments":"{\"chars\":\"y\\n\"}"})",
            "write_stdin"},
           {R"({"type":"function_call","name":"write_stdin","arguments":"{\"chars\":7}"})", "write_stdin"},
           {R"({"type":"function_call","name":"write_stdin","arguments":"{chars"})", "write_stdin"},
           {R"({"type":"function\u005fcall","name":"view_image"})", "view_image"}}) {
    expect_cut(good + "data: {\"item\":" + item + "}\n\n", events, called, good);
    expect_cut(good + "data:{\"response\":{\"output\":[" + item + "]}}\r\r", events, called, good);
    expect_cut(
        "\xEF\xBB\xBF"
        "data: {\"item\":" +
            item + "}",
        events, called);
    expect_cut("data: {\"item\":\ndata: " + item + "}\n\n", events, called, "data: {\"item\":\n");
    expect_cut("data: {\"item\":\r\ndata: " + item + "}\r\n\r\n", events, called, "data: {\"item\":\r\n");
    expect_cut("{\"output\":[{\"type\":\"message\"}," + item + "]}", document, called);
  }
  expect_cut(R"(data: {"content_block":{"type":"tool_use","name":"WebFetch"}})"
             "\n\n",
             events, "WebFetch");
  expect_cut(R"({"content":[{"type":"tool_use","name":"WebFetch"}]})", document, "WebFetch");
}

TEST(CallGuard, NothingPassesBehindACall) {
  CallGuard guard(rules, events);
  std::string out;
  EXPECT_FALSE(guard.feed("data: {\"item\":{\"type\":\"x_call\"}}\n", out));
  EXPECT_FALSE(guard.feed("data: {}\n", out));
  EXPECT_FALSE(guard.finish(out));
  EXPECT_EQ(out, "");
}

TEST(CallGuard, AnAnswerThatCannotBeHeldIsCut) {
  for (const auto format : {events, document}) {
    CallGuard guard(rules, format);
    std::string out;
    EXPECT_FALSE(guard.feed("data: " + std::string(CallGuard::held_bytes, 'x'), out));
    EXPECT_EQ(guard.called(), "(unreadable)");
    EXPECT_EQ(out, "");
  }
}

}  // namespace
}  // namespace agentrouter::egress
