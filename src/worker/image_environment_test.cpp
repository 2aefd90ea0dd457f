#include "worker/image_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::worker {
namespace {

using ::testing::ElementsAre;

TEST(ImageEnvironment, LiesBelowOursButForPathAndTaste) {
  agents::AgentProgram program;
  program.env = {"HOME=/home/agent", "PATH=/opt/codex/codex-path:/usr/bin:/bin", "SHELL=/bin/bash", "LANG=C.UTF-8", "OPENAI_API_KEY=dummy"};
  take_environment(program, {.name = "x",
                             .root = {},
                             .digest = {},
                             .environment = {"PATH=/venv/bin:/usr/bin", "HOME=/root", "LANG=de_DE", "OPENAI_API_KEY=theirs", "A=b=c", "EMPTY="},
                             .shell = "/bin/sh"});
  EXPECT_THAT(program.env, ElementsAre("HOME=/home/agent", "PATH=/opt/codex/codex-path:/venv/bin:/usr/bin", "SHELL=/bin/sh",
                                       "LANG=de_DE", "OPENAI_API_KEY=dummy", "A=b=c", "EMPTY="));
}

TEST(ImageEnvironment, AnImageWithoutAnyChangesOnlyTheShell) {
  agents::AgentProgram program;
  program.env = {"PATH=/usr/bin"};
  take_environment(program, {.name = "x", .root = {}, .digest = {}, .environment = {}, .shell = "/bin/bash"});
  EXPECT_THAT(program.env, ElementsAre("PATH=/usr/bin", "SHELL=/bin/bash"));
}

}  // namespace
}  // namespace agentrouter::worker
