#include "sim/openai_tools.h"

#include <gtest/gtest.h>

namespace agentrouter::sim {
namespace {

using Kind = OfferedTool::Kind;

ResponsesRequest offering(std::vector<OfferedTool> tools) {
  ResponsesRequest request;
  request.tools = std::move(tools);
  return request;
}

const OfferedTool exec_command{"exec_command", "", Kind::function};
const OfferedTool shell_command{"shell_command", "", Kind::function};
const OfferedTool apply_patch{"apply_patch", "", Kind::custom};
const OfferedTool code_mode{"exec", "", Kind::custom};

ItemCall choose(const ToolCall& call, std::vector<OfferedTool> tools) {
  return choose_tool(call, offering(std::move(tools))).value();
}

TEST(ChooseTool, CommandTakesTheToolThatIsOffered) {
  const auto exec = choose(Shell{"ls \"x\""}, {exec_command, apply_patch});
  EXPECT_EQ(exec.name, "exec_command");
  EXPECT_EQ(exec.input, R"({"cmd":"ls \"x\"","yield_time_ms":30000})");
  EXPECT_EQ(choose(Shell{"ls"}, {shell_command}).input, R"({"command":"ls"})");
  const auto code = choose(Shell{"ls \"x\""}, {code_mode});
  EXPECT_EQ(code.kind, Kind::custom);
  EXPECT_EQ(code.name, "exec");
  EXPECT_EQ(
      code.input,
      R"(const r = await tools.exec_command({cmd: "ls \"x\"", yield_time_ms: 30000}); text(r.output);)");
}

TEST(ChooseTool, WriteIsAPatchThatAddsTheFile) {
  const auto call = choose(WriteFile{"a.txt", "one\n\ntwo"}, {exec_command, apply_patch});
  EXPECT_EQ(call.kind, Kind::custom);
  EXPECT_EQ(call.input, "*** Begin Patch\n*** Add File: a.txt\n+one\n+\n+two\n*** End Patch\n");
  EXPECT_EQ(choose(WriteFile{"a", "x\n"}, {apply_patch}).input,
            "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\n");
  EXPECT_EQ(choose(WriteFile{"a", ""}, {apply_patch}).input,
            "*** Begin Patch\n*** Add File: a\n*** End Patch\n");
}

TEST(ChooseTool, EditIsAPatchOfWholeLines) {
  EXPECT_EQ(choose(EditFile{"a", "x\ny", "z"}, {apply_patch}).input,
            "*** Begin Patch\n*** Update File: a\n@@\n-x\n-y\n+z\n*** End Patch\n");
}

TEST(ChooseTool, PatchGoesThroughWhatThereIs) {
  const WriteFile write{"a", "x"};
  const std::string patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\n";
  const auto heredoc = json::parse(choose(write, {exec_command}).input);
  EXPECT_EQ(heredoc.at("cmd").as_string(), "apply_patch <<'EOF'\n" + patch + "EOF");
  EXPECT_EQ(choose(write, {{"apply_patch", "", Kind::function}}).input,
            base::to_text(json::object{{"input", patch}}));
  EXPECT_EQ(choose(write, {code_mode}).input,
            R"(text(await tools.apply_patch("*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\n"));)");
}

TEST(ChooseTool, ReadIsCatOfAQuotedPath) {
  EXPECT_EQ(json::parse(choose(ReadFile{"a b"}, {shell_command}).input).at("command"), "cat 'a b'");
}

TEST(ChooseTool, McpUsesTheServersNamespace) {
  const McpTool call{"stub", "add", "{\"a\":1}"};
  const auto listed = choose(call, {{"add", "mcp__stub", Kind::function}});
  EXPECT_EQ(listed.name_space, "mcp__stub");
  EXPECT_EQ(listed.name, "add");
  EXPECT_EQ(listed.input, "{\"a\":1}");
  EXPECT_EQ(choose(call, {{"list_mcp_resources", "", Kind::function}}).name_space, "mcp__stub");
  EXPECT_EQ(choose(call, {{"tool_search", "", Kind::function}}).name_space, "mcp__stub");
  EXPECT_EQ(choose(call, {{"mcp__stub__add", "", Kind::function}}).name, "mcp__stub__add");
  EXPECT_EQ(choose(call, {code_mode}).input, "text(await tools.mcp__stub__add({\"a\":1}));");
  EXPECT_FALSE(choose_tool(call, offering({exec_command})));
}

TEST(ChooseTool, CallSendsAnyToolAsItIsWritten) {
  EXPECT_EQ(choose(NamedTool{"frob", "{}"}, {exec_command}).name, "frob");
  EXPECT_EQ(choose(NamedTool{"spawn", "{}"}, {{"spawn", "team", Kind::function}}).name_space, "team");
  const auto patch = choose(NamedTool{"apply_patch", "\"a\\nb\""}, {apply_patch});
  EXPECT_EQ(patch.kind, Kind::custom);
  EXPECT_EQ(patch.input, "a\nb");
  EXPECT_EQ(choose(NamedTool{"apply_patch", "{}"}, {apply_patch}).input, "{}");
  EXPECT_EQ(choose(NamedTool{"wait_agent", "{}"}, {code_mode}).input, "text(await tools.wait_agent({}));");
}

TEST(ChooseTool, NothingFitsAndTheMessageSaysSo) {
  const auto request = offering({{"view_image", "", Kind::function}, {"get_goal", "", Kind::function}});
  for (const ToolCall& call :
       std::vector<ToolCall>{Shell{"ls"}, WriteFile{"a", "b"}, EditFile{"a", "b", "c"}, ReadFile{"a"}}) {
    EXPECT_FALSE(choose_tool(call, request));
  }
  EXPECT_EQ(no_tool_message(WriteFile{"a", "b"}, request),
            "No tool of this request fits the step 'write'. Offered: view_image, get_goal.");
  EXPECT_EQ(no_tool_message(ReadFile{"a"}, {}),
            "No tool of this request fits the step 'read'. Offered: none.");
}

TEST(ShellWord, IsQuotedWhenNeeded) {
  EXPECT_EQ(shell_word("src/a-b_1.txt"), "src/a-b_1.txt");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("-n"), "'./-n'");
  EXPECT_EQ(shell_word("$(x)"), "'$(x)'");
}

}  // namespace
}  // namespace agentrouter::sim
