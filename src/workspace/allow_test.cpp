#include "workspace/allow.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace agentrouter::workspace {
namespace {

namespace fs = std::filesystem;

class Admit : public testing::Test {
 protected:
  Admit() {
    char name[] = "/tmp/agentrouter-allow-XXXXXX";
    top = fs::canonical(::mkdtemp(name));
    for (const auto* folder : {"root/project/sub", "root/data/attempts", "elsewhere", "rootling"}) {
      fs::create_directories(top / folder);
    }
    std::ofstream(top / "root/file") << "x";
    rules.roots = {top / "root", top / "missing-root"};
    rules.data_directory = top / "root/data";
  }
  ~Admit() override { fs::remove_all(top); }

  std::string reason(const fs::path& path) const {
    const auto result = admit(path.string(), rules);
    if (result) return "admitted";
    EXPECT_EQ(base::Code::invalid, result.error().code);
    return result.error().reason;
  }

  fs::path top;
  AllowRules rules;
};

TEST_F(Admit, FolderUnderARootByItsRealPath) {
  EXPECT_EQ(top / "root/project", admit((top / "root/project/sub/..").string(), rules).value());
  fs::create_directory_symlink(top / "root/project", top / "alias");
  EXPECT_EQ(top / "root/project", admit((top / "alias").string(), rules).value());
}

TEST_F(Admit, OutsideTheRootsIsForbiddenWhetherItExistsOrNot) {
  EXPECT_EQ("workspace_forbidden", reason(top / "elsewhere"));
  EXPECT_EQ("workspace_forbidden", reason(top / "nowhere"));
  EXPECT_EQ("workspace_forbidden", reason(top / "rootling"));
  EXPECT_EQ("workspace_forbidden", reason(top / "root/../elsewhere"));
  EXPECT_EQ("workspace_forbidden", reason("/etc"));
}

TEST_F(Admit, LinkThatLeadsOutIsForbidden) {
  fs::create_directory_symlink(top / "elsewhere", top / "root/link");
  EXPECT_EQ("workspace_forbidden", reason(top / "root/link"));
  fs::create_directory_symlink(top / "nowhere", top / "root/dangling");
  EXPECT_EQ("workspace_not_found", reason(top / "root/dangling/x"));
}

TEST_F(Admit, MissingOrNoFolderIsNotFound) {
  EXPECT_EQ("workspace_not_found", reason(top / "root/missing"));
  EXPECT_EQ("workspace_not_found", reason(top / "root/file"));
}

TEST_F(Admit, NothingThatShowsTheDataDirectory) {
  EXPECT_EQ("workspace_forbidden", reason(top / "root/data"));
  EXPECT_EQ("workspace_forbidden", reason(top / "root/data/attempts"));
  EXPECT_EQ("workspace_forbidden", reason(top / "root"));
  rules.data_directory = top / "root/data/not-made-yet";
  EXPECT_EQ("workspace_forbidden", reason(top / "root"));
  EXPECT_EQ("admitted", reason(top / "root/project"));
}

TEST_F(Admit, RelativePathsAndRootsOfTheSystemAreForbidden) {
  EXPECT_EQ("workspace_forbidden", reason("project"));
  EXPECT_EQ("workspace_forbidden", reason(""));
  rules.roots = {"/"};
  rules.data_directory.clear();
  EXPECT_EQ("workspace_forbidden", reason("/"));
  EXPECT_EQ("workspace_forbidden", reason("/proc/self"));
  EXPECT_EQ("workspace_forbidden", reason("/sys"));
  EXPECT_EQ("workspace_forbidden", reason("/dev"));
  EXPECT_EQ("admitted", reason(top / "elsewhere"));
  EXPECT_FALSE(admit(std::string_view("/tmp\0x", 6), rules));
}

TEST_F(Admit, WithoutRootsNothingIsAllowed) {
  rules.roots.clear();
  EXPECT_EQ("workspace_forbidden", reason(top / "root/project"));
}

}  // namespace
}  // namespace agentrouter::workspace
