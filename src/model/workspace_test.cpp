#include "model/workspace.h"

#include <gtest/gtest.h>

namespace agentrouter::model {
namespace {

Workspace again(const Workspace& workspace) {
  return base::value_or_throw(Workspace::from_json_text(base::to_text(workspace.to_json())));
}

TEST(Workspace, EveryKindIsReadAsItWasWritten) {
  EXPECT_EQ(again({}), Workspace{});
  Workspace path{.kind = WorkspaceKind::path, .path = "/srv/repo"};
  EXPECT_EQ(again(path), path);
  Workspace upload{.kind = WorkspaceKind::upload, .upload_id = "upload_1", .tree = "t1"};
  EXPECT_EQ(again(upload), upload);
  Workspace git{.kind = WorkspaceKind::git,
                .git = {"https://example.test/a.git", "main", 3, "lib", true, true},
                .from_run = RunId("run_1"),
                .tree = "t2",
                .commit = std::string(40, 'a')};
  EXPECT_EQ(again(git), git);
}

TEST(Workspace, WhatIsNotKnownIsLeftOutOfItsForm) {
  EXPECT_EQ(base::to_text(Workspace{}.to_json()), R"({"kind":"scratch"})");
  Workspace git{.kind = WorkspaceKind::git};
  git.git.url = "https://example.test/a.git";
  EXPECT_EQ(base::to_text(git.to_json()), R"({"kind":"git","git":{"url":"https://example.test/a.git"}})");
  Workspace from{.kind = WorkspaceKind::upload, .upload_id = "upload_1", .tree = "t"};
  from.from_run = RunId("run_1");
  EXPECT_EQ(base::to_text(from.to_json()),
            R"({"kind":"upload","upload":{"id":"upload_1"},"fromRun":{"runId":"run_1"},"tree":"t"})");
}

TEST(Workspace, WhatIsNoneIsCorrupt) {
  for (const char* text : {"", "[]", "{}", R"({"kind":"floppy"})", R"({"kind":1})"})
    EXPECT_EQ(Workspace::from_json_text(text).error().code, base::Code::corrupt) << text;
}

}  // namespace
}  // namespace agentrouter::model
