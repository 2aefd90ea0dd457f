#include "workspace/trees.h"

#include <atomic>
#include <thread>

#include "workspace/archive_test.h"

namespace agentrouter::workspace {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class TreesTest : public ArchiveTest {
 protected:
  TreesTest() { open(); }
  void open(std::uint64_t max_bytes = 1 << 30) {
    trees_.reset();
    auto opened = Trees::open(root / "trees", {.max_bytes = max_bytes}, base::system_entropy());
    trees_ = base::value_or_throw(std::move(opened));
  }
  base::Result<Trees::Held> make_tree(const std::string& name, const std::string& content = "x") {
    return trees_->make(name, [&](int folder) -> base::Result<UnpackReport> {
      ++filled_;
      const base::Fd file(::openat(folder, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      if (auto written = base::write_all(file.get(), content); !written)
        return tl::unexpected(written.error());
      return UnpackReport{1, 0, content.size()};
    });
  }
  // Last used so long ago.
  void age(const std::string& name, int seconds) {
    ASSERT_EQ(0, shell("touch -d '-" + std::to_string(seconds) + " seconds' " +
                       (root / "trees" / name / "info.json").string()));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(root / "trees")) all.push_back(entry.path().filename());
    return all;
  }

  int filled_ = 0;
  std::unique_ptr<Trees> trees_;
};

TEST_F(TreesTest, ATreeIsMadeOnceAndFoundAgainAlsoByTheNextServer) {
  const auto made = make_tree("t1", "hello");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(made->cached);
  EXPECT_EQ("hello", read_text(made->path / "file"));
  EXPECT_EQ(trees_->path_of("t1"), made->path);
  const auto again = make_tree("t1");
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(5u, again->content.bytes);
  open();
  EXPECT_TRUE(trees_->find("t1"));
  EXPECT_EQ(base::Code::not_found, trees_->find("t2").error().code);
  EXPECT_EQ(1, filled_);
}

TEST_F(TreesTest, AnyTreeIsFoundByTheBeginningOfItsName) {
  ASSERT_TRUE(make_tree("git-a-1"));
  EXPECT_EQ(trees_->find_any("git-a-")->name, "git-a-1");
  EXPECT_EQ(trees_->find_any("git-b-").error().code, base::Code::not_found);
}

TEST_F(TreesTest, NamesThatAreNoneLeadNowhere) {
  for (const char* name : {"", ".", "..", "a/b", ".new-x"}) {
    EXPECT_FALSE(trees_->find(name)) << name;
    EXPECT_FALSE(make_tree(name)) << name;
  }
  EXPECT_EQ(0, filled_);
}

TEST_F(TreesTest, WhatCannotBeFilledLeavesNothing) {
  const auto failed = trees_->make("t1", [](int folder) -> base::Result<UnpackReport> {
    EXPECT_EQ(0, ::mkdirat(folder, "half", 0));
    return base::fail(base::Code::invalid, "no good", "archive_refused");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ("archive_refused", failed.error().reason);
  EXPECT_TRUE(names().empty());
}

TEST_F(TreesTest, WhatACrashLeftIsSweptWhenTheyAreOpened) {
  ASSERT_TRUE(make_tree("t1"));
  write_text(root / "trees/.new-1/tree/half", "x");
  write_text(root / "trees/.gone-t2/tree/rest", "x");
  open();
  EXPECT_THAT(names(), ElementsAre("t1"));
}

TEST_F(TreesTest, ThoseNotUsedForTheLongestTimeGoFirst) {
  open(3 * 4096);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(make_tree(name, std::string(3000, 'x')));
  age("a", 10);
  age("b", 30);
  age("c", 20);
  EXPECT_FALSE(trees_->trim({"a", "b", "c"}));  // each has a cost beside its bytes
  EXPECT_TRUE(trees_->trim({}));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "c"));
  age("a", 40);
  ASSERT_TRUE(trees_->find("a"));  // a use
  ASSERT_TRUE(make_tree("d", std::string(3000, 'x')));
  EXPECT_TRUE(trees_->trim({}));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "d"));
}

TEST_F(TreesTest, WhatIsInUseOrHeldStays) {
  open(1);
  auto held = make_tree("held");
  ASSERT_TRUE(make_tree("used"));
  ASSERT_TRUE(make_tree("free"));
  EXPECT_FALSE(trees_->trim({"used"}));
  EXPECT_THAT(names(), UnorderedElementsAre("held", "used"));
  held->hold.reset();
  EXPECT_FALSE(trees_->trim({"used"}));
  EXPECT_THAT(names(), ElementsAre("used"));
  EXPECT_TRUE(trees_->trim({}));
  EXPECT_TRUE(names().empty());
}

TEST_F(TreesTest, SeveralThatAskForOneAtTheSameTimeMakeItOnce) {
  std::vector<std::jthread> askers;
  std::atomic<int> cached = 0;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      const auto tree = make_tree("t1");
      if (tree && tree->cached) ++cached;
    });
  }
  askers.clear();
  EXPECT_EQ(1, filled_);
  EXPECT_EQ(3, cached);
}

}  // namespace
}  // namespace agentrouter::workspace
