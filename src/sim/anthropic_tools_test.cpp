#include "sim/anthropic_tools.h"

#include <gtest/gtest.h>

namespace agentrouter::sim {
namespace {

MessagesRequest offering(std::vector<std::string> tools) {
  MessagesRequest request;
  request.tools = std::move(tools);
  request.directory = "/workspace";
  return request;
}

std::string input_of(const ToolCall& call) {
  const auto use =
      choose_tool_use(call, offering({"Bash", "Edit", "Read", "Write", "mcp__stub__add"})).value();
  EXPECT_EQ(use.part, ToolUse::Part::script);
  return use.name + " " + base::to_text(use.input);
}

TEST(ChooseToolUse, CommandIsBashWithTheLongestTimeout) {
  EXPECT_EQ(input_of(Shell{"ls \"x\""}),
            R"(Bash {"command":"ls \"x\"","timeout":600000,"description":"Run a command of the script"})");
}

TEST(ChooseToolUse, PathsAreAbsoluteWhenTheDirectoryIsKnown) {
  EXPECT_EQ(input_of(ReadFile{"a b"}), R"(Read {"file_path":"/workspace/a b"})");
  EXPECT_EQ(input_of(ReadFile{"/etc/x"}), R"(Read {"file_path":"/etc/x"})");
  auto request = offering({"Read"});
  request.directory = "";
  EXPECT_EQ(choose_tool_use(ReadFile{"a"}, request)->input.at("file_path"), "a");
  request.directory = "/";
  EXPECT_EQ(choose_tool_use(ReadFile{"a"}, request)->input.at("file_path"), "/a");
}

TEST(ChooseToolUse, WriteEndsTheLastLine) {
  EXPECT_EQ(input_of(WriteFile{"a", "one\ntwo"}),
            R"(Write {"file_path":"/workspace/a","content":"one\ntwo\n"})");
  EXPECT_EQ(input_of(WriteFile{"a", "x\n"}), R"(Write {"file_path":"/workspace/a","content":"x\n"})");
  EXPECT_EQ(input_of(WriteFile{"a", ""}), R"(Write {"file_path":"/workspace/a","content":""})");
}

TEST(ChooseToolUse, EditReplacesOneTextByAnother) {
  EXPECT_EQ(input_of(EditFile{"a", "x\ny", ""}),
            R"(Edit {"file_path":"/workspace/a","old_string":"x\ny","new_string":""})");
}

TEST(ChooseToolUse, McpToolIsNamedByItsServer) {
  const McpTool call{"stub", "add", "{\"a\":1}"};
  EXPECT_EQ(input_of(call), R"(mcp__stub__add {"a":1})");
  EXPECT_EQ(choose_tool_use(call, offering({"ToolSearch"}))->name, "mcp__stub__add");
  EXPECT_FALSE(choose_tool_use(call, offering({"Bash"})));
  EXPECT_FALSE(choose_tool_use(McpTool{"stub", "add", "[1]"}, offering({"mcp__stub__add"})));
}

TEST(ChooseToolUse, CallSendsAnyToolAsItIsWritten) {
  EXPECT_EQ(input_of(NamedTool{"WebSearch", "{\"query\":\"x\"}"}), R"(WebSearch {"query":"x"})");
  EXPECT_FALSE(choose_tool_use(NamedTool{"WebSearch", "\"x\""}, offering({"WebSearch"})));
}

TEST(ChooseToolUse, NothingFitsWithoutTheTool) {
  for (const ToolCall& call :
       std::vector<ToolCall>{Shell{"ls"}, WriteFile{"a", "b"}, EditFile{"a", "b", "c"}, ReadFile{"a"}}) {
    EXPECT_FALSE(choose_tool_use(call, offering({"Agent"})));
  }
}

TEST(ChooseToolUse, ReadingFirstIsNoStepOfTheScript) {
  const auto use = read_first("/workspace/a");
  EXPECT_EQ(use.part, ToolUse::Part::preparing);
  EXPECT_EQ(use.name + base::to_text(use.input), R"(Read{"file_path":"/workspace/a"})");
}

}  // namespace
}  // namespace agentrouter::sim
