#include "cli/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/cli.h"
#include "cli/completion.h"

namespace agentrouter::cli {
namespace {

using testing::HasSubstr;

Parsed parsed(std::vector<std::string> arguments) {
  return parse(arguments);
}

TEST(Parse, RunTakesItsFlagsAndJoinsTheWordsOfTheTask) {
  const auto result = parsed({"run",
                              "--runtime",
                              "codex",
                              "--mode=read_only",
                              "--model",
                              "m",
                              "--approve",
                              "manual",
                              "--scope",
                              "action",
                              "--policy",
                              "ci-safe",
                              "--image",
                              "node",
                              "--require-isolation",
                              "vm",
                              "--require",
                              "gpu=false",
                              "--workspace",
                              "/w",
                              "--json",
                              "--sim",
                              "--data",
                              "/d",
                              "fix",
                              "the tests"});
  ASSERT_FALSE(result.stop) << result.text;
  const auto& command = result.command;
  EXPECT_EQ(command.task, "fix the tests");
  EXPECT_EQ(command.mode, "read_only");
  EXPECT_EQ(command.model, "m");
  EXPECT_EQ(command.approve, "manual");
  EXPECT_EQ(command.scope, "action");
  EXPECT_EQ(command.policy, "ci-safe");
  EXPECT_EQ(command.image, "node");
  EXPECT_EQ(command.require_isolation, "vm");
  EXPECT_THAT(command.requirements, testing::ElementsAre("gpu=false"));
  EXPECT_EQ(command.workspace, "/w");
  EXPECT_EQ(command.data, "/d");
  EXPECT_TRUE(command.json);
  EXPECT_TRUE(command.sim);
}

TEST(Parse, ATaskMayBeginWithADashBehindTwoDashes) {
  EXPECT_EQ(parsed({"run", "--", "--fix", "it"}).command.task, "--fix it");
  EXPECT_EQ(parsed({"run", "-"}).command.task, "-");
}

TEST(Parse, ATagIsOneWordAndMayBeRepeated) {
  const auto result = parsed({"run", "--tag", "a=1", "--tag=b=x=y", "--continue", "run_1", "go", "on"});
  ASSERT_FALSE(result.stop) << result.text;
  EXPECT_EQ(result.command.tags, (std::vector<std::string>{"a=1", "b=x=y"}));
  EXPECT_EQ(result.command.continue_run, "run_1");
  EXPECT_EQ(result.command.task, "go on");
}

TEST(Parse, RunsTakeTheirFilters) {
  const auto result =
      parsed({"runs", "--runtime", "codex", "--tag", "a=1", "--query", "two words", "--cursor", "c"});
  ASSERT_FALSE(result.stop) << result.text;
  EXPECT_EQ(result.command.runtime, "codex");
  EXPECT_EQ(result.command.query, "two words");
  EXPECT_EQ(result.command.cursor, "c");
  EXPECT_TRUE(parsed({"runs", "--all"}).command.all);
}

TEST(Parse, EventsTakeFollowAndAfter) {
  const auto result = parsed({"events", "-f", "--after", "7", "run_1"});
  EXPECT_TRUE(result.command.follow);
  EXPECT_EQ(result.command.after, 7);
  EXPECT_EQ(result.command.run_id, "run_1");
}

TEST(Parse, WrongLinesAreUsageAndNameTheHelp) {
  const std::vector<std::vector<std::string>> lines = {{"run"},
                                                       {"run", "--runtime", "gpt", "t"},
                                                       {"run", "--approve", "maybe", "t"},
                                                       {"run", "--nonsense", "t"},
                                                       {"run", "--model"},
                                                       {"run", "--record", "a", "--replay", "b", "t"},
                                                       {"run", "--sim", "--replay", "b", "t"},
                                                       {"run", "--tag", "novalue", "t"},
                                                       {"run", "--tag", "=v", "t"},
                                                       {"runs", "--all", "--limit", "5"},
                                                       {"runs", "--all", "--cursor", "c"},
                                                       {"turns"},
                                                       {"close", "a", "b"},
                                                       {"delete"},
                                                       {"show"},
                                                       {"show", "a", "b"},
                                                       {"runs", "--limit", "0"},
                                                       {"runs", "--limit", "many"},
                                                       {"runs", "--status", "odd"},
                                                       {"events", "run_1", "--after", "-1"},
                                                       {"completion", "tcsh"}};
  for (const auto& line : lines) {
    const auto result = parsed(line);
    EXPECT_TRUE(result.stop) << testing::PrintToString(line);
    EXPECT_EQ(result.exit_code, exit_code::usage);
    EXPECT_THAT(result.text, HasSubstr("Try: agentrouter " + line.front() + " --help"));
  }
}

TEST(Parse, EveryCommandHasHelpWithAnExampleAndJson) {
  for (const auto& info : describe_commands()) {
    const auto result = parsed({info.name, "--help"});
    EXPECT_TRUE(result.stop);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.text, HasSubstr("Example:"));
    EXPECT_THAT(result.text, HasSubstr(info.example));
    if (info.name != "completion") {
      EXPECT_THAT(result.text, HasSubstr("--json"));
    }
  }
}

TEST(RootHelp, ListsClientAndServerCommandsButNoneThatOnlyTheServerStarts) {
  const auto help = root_help();
  for (const auto* name : {"run", "runs", "show", "events", "approve", "deny", "cancel", "artifacts",
                           "download", "completion", "serve", "agents", "doctor", "sim"}) {
    EXPECT_THAT(help, HasSubstr("\n  " + std::string(name) + " ")) << name;
  }
  EXPECT_THAT(help, testing::Not(HasSubstr("keeper")));
  EXPECT_THAT(help, testing::Not(HasSubstr("warden")));
}

TEST(ClientCommands, AreKnownByName) {
  EXPECT_TRUE(is_client_command("run"));
  EXPECT_TRUE(is_client_command("completion"));
  EXPECT_FALSE(is_client_command("serve"));
  EXPECT_FALSE(is_client_command(""));
  EXPECT_FALSE(is_client_command("--help"));
}

TEST(Completion, EveryShellKnowsCommandsFlagsAndTheirValues) {
  for (const auto* shell : {"bash", "zsh", "fish"}) {
    const auto script = completion_script(shell);
    for (const auto* word :
         {"download", "serve", "workspace", "codex claude_code", "auto manual block", "bash zsh fish"}) {
      EXPECT_THAT(script, HasSubstr(word)) << shell;
    }
  }
}

}  // namespace
}  // namespace agentrouter::cli
