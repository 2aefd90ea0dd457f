#include "apps/agent_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const model::Runtime claude{.kind = model::RuntimeKind::claude_code};

class AgentStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "agents-XXXXXX";
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
  const auto prepared = agents.prepare(claude, "claude-opus-5-5", true);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().reason, "agent_missing");
  EXPECT_THAT(prepared.error().message, HasSubstr("agentrouter agents install claude_code"));
}

TEST_F(AgentStoreTest, AnotherVersionIsNotDriven) {
  install("2.1.331 (Claude Code)");
  AgentStore agents(folder_);
  const auto prepared = agents.prepare(claude, "claude-opus-5-5", true);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().reason, "agent_version_mismatch");
}

TEST_F(AgentStoreTest, PinnedVersionIsBoundWhereItsProgramStands) {
  const auto place = install("2.1.330 (Claude Code)");
  AgentStore agents(folder_);
  const auto prepared = agents.prepare(claude, "claude-sonnet-5", false);
  ASSERT_TRUE(prepared) << prepared.error().message;
  ASSERT_EQ(prepared->binds.size(), 1u);
  EXPECT_EQ(prepared->binds[0].from, place);
  EXPECT_EQ(prepared->program.argv.front(), prepared->binds[0].to + "/claude");
  EXPECT_EQ(prepared->program.argv.back(), "claude-sonnet-5");
}

}  // namespace
}  // namespace agentrouter::apps
