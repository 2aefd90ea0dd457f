#include "egress/mcp_message.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

using Kind = McpMessage::Kind;

McpMessage post(std::string_view body) {
  return read_mcp_message("POST", body);
}

TEST(McpMessage, WhatKeepsAConnectionUpAndLooksIsTold) {
  for (const auto* body : {
           R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})",
           R"({"jsonrpc":"2.0","id":1,"method":"server/discover"})",
           R"({"jsonrpc":"2.0","id":2,"method":"ping"})",
           R"({"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"a"}})",
           R"({"jsonrpc":"2.0","id":3,"method":"prompts/list"})",
           R"({"jsonrpc":"2.0","id":3,"method":"resources/list"})",
           R"({"jsonrpc":"2.0","id":3,"method":"resources/templates/list"})",
           R"({"jsonrpc":"2.0","method":"notifications/initialized"})",
           R"({"jsonrpc":"2.0","id":4,"result":{}})",
           R"({"jsonrpc":"2.0","id":4,"result":{"roots":[{"uri":"file:///workspace"}]}})",
           R"({"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"no"}})",
       })
    EXPECT_EQ(post(body).kind, Kind::keeps_up) << body;
  EXPECT_EQ(read_mcp_message("GET", "anything").kind, Kind::keeps_up);
  EXPECT_EQ(read_mcp_message("DELETE", "").kind, Kind::keeps_up);
}

TEST(McpMessage, ACallNamesItsToolAndArguments) {
  const auto call = post(
      R"({"id":"a\"b","method":"tools/call","params":{"name":"add","arguments":{"a":2},"_meta":{"x":1}}})");
  EXPECT_EQ(call.kind, Kind::tool_call);
  EXPECT_EQ(call.tool, "add");
  EXPECT_EQ(base::to_text(call.arguments), R"({"a":2})");
  EXPECT_EQ(call.id, R"("a\"b")");
  EXPECT_TRUE(call.plain);
  const auto bare = post(R"({"id":1,"method":"tools/call","params":{"name":"now","arguments":null}})");
  EXPECT_EQ(base::to_text(bare.arguments), "{}");
  EXPECT_TRUE(bare.plain);
  for (const auto* body :
       {R"({"id":1,"method":"tools/call","params":{"name":"add","task":{"ttl":1}}})",
        R"({"id":1,"method":"tools/call","params":{"arguments":{}}})", R"({"id":1,"method":"tools/call"})"}) {
    EXPECT_EQ(post(body).kind, Kind::tool_call) << body;
    EXPECT_FALSE(post(body).plain) << body;
  }
}

TEST(McpMessage, EverythingElseMayChangeSomething) {
  for (const auto& [body, method] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"id":1,"method":"resources/read","params":{"uri":"x:"}})", "resources/read"},
           {R"({"id":1,"method":"prompts/get"})", "prompts/get"},
           {R"({"id":1,"method":"notifications/initialized"})", "notifications/initialized"},
           {R"({"id":1,"method":"tools/call","params":{"name":"t","arguments":"text"}})", "tools/call"},
           {R"({"id":1,"method":"tools/call","params":{"name":"t","arguments":[1]}})", "tools/call"},
           {R"({"id":1,"method":"TOOLS/LIST"})", "TOOLS/LIST"},
           {R"({"id":1,"method":"tools/list "})", "tools/list "},
           {R"({"id":1,"result":{"action":"accept","content":{}}})", "(response)"},
           {R"({"id":1,"result":"done"})", "(response)"},
           {R"({"id":1})", "(response)"},
           {R"({"id":1,"method":7})", "(response)"},
           {R"([{"id":1,"method":"ping"}])", "(batch)"},
           {R"(["ping"])", "(batch)"},
           {R"("ping")", "(unreadable)"},
           {R"({"id":1,"method":"ping"} {})", "(unreadable)"},
           {"", "(unreadable)"},
           {"id=1&method=ping", "(unreadable)"}}) {
    EXPECT_EQ(post(body).kind, Kind::other) << body;
    EXPECT_EQ(post(body).method, method) << body;
  }
}

// Two readers may take another one of the two.
TEST(McpMessage, ANameThatStandsTwiceInAnObjectCannotBeRead) {
  for (const auto* body : {R"({"id":1,"method":"tools/call","method":"ping"})",
                           R"({"id":1,"\u006dethod":"tools/call","method":"ping"})",
                           R"({"id":1,"method":"tools/call","params":{"name":"rm","name":"add"}})",
                           R"({"id":1,"method":"ping","params":[{"a":{"b":1,"b":2}}]})"})
    EXPECT_EQ(post(body).method, "(unreadable)") << body;
  EXPECT_EQ(
      post(R"({"id":1,"method":"ping","params":{"id":"id","method":"\"method\":"},"x":[{"a":1},{"a":2}]})")
          .method,
      "ping");
}

TEST(McpMessage, AnErrorAnswersTheRequestThatWaits) {
  EXPECT_EQ(mcp_error("7", "no"), R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}})");
  EXPECT_EQ(mcp_error(R"("a")", "no").substr(0, 26), R"({"jsonrpc":"2.0","id":"a",)");
  EXPECT_EQ(mcp_error("", "no").substr(0, 27), R"({"jsonrpc":"2.0","id":null,)");
}

}  // namespace
}  // namespace agentrouter::egress
