#include "apps/agent_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const model::Runtime claude{.kind = model::RuntimeKind::claude_code};

class AgentStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "agents-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Installs a program that says this when it is asked for its version.
  fs::path install(const std::string& says) {
    const auto place = folder_ / "claude_code/2.1.330/node_modules/@anthropic-ai/claude-code-linux-x64";
    fs::create_directories(place);
    std::ofstream(place / "claude") << "#!/bin/sh\necho '" << says << "'\n";
    fs::permissions(place / "claude", fs::perms::owner_all);
    return place;
  }

  fs::path folder_;
};

TEST_F(AgentStoreTest, MissingAgentIsNamedWithTheCommandThatInstallsIt) {
  AgentStore agents(folder_);
  const auto prepared = agents.prepare({.runtime = claude, .model = "claude-opus-5-5", .simulated = true});
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().reason, "agent_missing");
  EXPECT_THAT(prepared.error().message, HasSubstr("agentrouter agents install claude_code"));
}

TEST_F(AgentStoreTest, AnotherVersionIsNotDriven) {
  install("2.1.331 (Claude Code)");
  AgentStore agents(folder_);
  const auto prepared = agents.prepare({.runtime = claude, .model = "claude-opus-5-5", .simulated = true});
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().reason, "agent_version_mismatch");
}

TEST_F(AgentStoreTest, PinnedVersionIsBoundWhereItsProgramStands) {
  const auto place = install("2.1.330 (Claude Code)");
  AgentStore agents(folder_);
  const auto prepared = agents.prepare({.runtime = claude, .model = "claude-sonnet-5"});
  ASSERT_TRUE(prepared) << prepared.error().message;
  ASSERT_EQ(prepared->binds.size(), 1u);
  EXPECT_EQ(prepared->binds[0].from, place);
  EXPECT_EQ(prepared->program.argv.front(), prepared->binds[0].to + "/claude");
  EXPECT_EQ(prepared->program.argv.back(), "claude-sonnet-5");
}

TEST_F(AgentStoreTest, MCPServersOfTheRequestAreGivenWithTheirFolders) {
  install("2.1.330 (Claude Code)");
  AgentStore agents(folder_,
                    {{.server = {.name = "notes", .command = "/opt/mcp/notes/run"}, .mount = "/srv/notes"},
                     {.server = {.name = "other", .command = "other"}},
                     {.server = {.name = "far", .url = "http://127.83.1.1/mcp/far"},
                      .upstream = {"far", "https://far.test/mcp", {{"X-Key", "far-secret"}}}},
                     {.server = {.name = "codex-only", .command = "c"}, .claude_code = false}});
  const auto prepared = agents.prepare({.runtime = claude, .model = "m", .mcp = {"notes"}});
  ASSERT_TRUE(prepared) << prepared.error().message;
  ASSERT_EQ(prepared->binds.size(), 2u);
  EXPECT_EQ(prepared->binds[1].from, "/srv/notes");
  EXPECT_EQ(prepared->binds[1].to, "/opt/mcp/notes");
  ASSERT_EQ(prepared->program.files.size(), 1u);
  EXPECT_THAT(prepared->program.files[0].content, HasSubstr("notes"));
  EXPECT_THAT(prepared->program.files[0].content, ::testing::Not(HasSubstr("other")));
  EXPECT_TRUE(prepared->mcp.empty());
  const auto far = agents.prepare({.runtime = claude, .model = "m", .mcp = {"far"}});
  ASSERT_TRUE(far) << far.error().message;
  EXPECT_THAT(far->program.files.at(0).content, HasSubstr("http://127.83.1.1/mcp/far"));
  EXPECT_THAT(far->program.files.at(0).content, ::testing::Not(HasSubstr("far-secret")));
  EXPECT_EQ(far->mcp.at(0).headers.at(0).value, "far-secret");
  for (const auto* name : {"gone", "codex-only"}) {
    const auto refused = agents.prepare({.runtime = claude, .model = "m", .mcp = {name}});
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().reason, "mcp_server_unknown");
  }
}

}  // namespace
}  // namespace agentrouter::apps
