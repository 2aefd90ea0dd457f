#include "workspace/archived_layer.h"

#include <gmock/gmock.h>

#include "workspace/checkpoint_test.h"

namespace agentrouter::workspace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind_ = ArchiveEntry::Kind;

class ArchivedLayerTest : public CheckpointTest {
 protected:
  base::Result<ArchivedLayer> read(const CheckpointLimits& limits = {}) {
    const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    return ArchivedLayer::read(in.get(), limits);
  }
  std::string error_of(const std::vector<Planted>& entries, const CheckpointLimits& limits = {}) {
    plant(entries);
    const auto layer = read(limits);
    return layer ? "" : layer.error().message;
  }
};

TEST_F(ArchivedLayerTest, HasTheShapeOfTheLayer) {
  for (const auto* name : {"gone", "hidden/old", "kept"}) write_text(base() / name, "base\n");
  first_turn([] {
    ASSERT_EQ(0, shell("rm gone; rm -r hidden; mkdir hidden; echo n > hidden/new; chmod 750 hidden/new; ln -s a l; "
                       "echo .wh. > .wh.x; echo '*.o' > .gitignore; ln hidden/new again"));
  });
  ASSERT_TRUE(checkpoint());
  const auto layer = read();
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_THAT(*layer->root().names(100), ElementsAre(".gitignore", ".wh.x", "again", "gone", "hidden", "l"));
  EXPECT_EQ(Kind::whiteout, layer->root().stat("gone").kind);
  EXPECT_TRUE(layer->root().open("hidden")->is_opaque());
  EXPECT_EQ("a", *layer->root().read("l", Kind::link, 0));
  EXPECT_EQ("*.o\n", *layer->root().read(".gitignore", Kind::file, 100));
  const auto* file = layer->find("hidden/new");
  ASSERT_NE(nullptr, file);
  EXPECT_EQ(0750u, file->mode);
  EXPECT_TRUE(file->node.executable);
  EXPECT_EQ("8ba3a16384aacc37d01564b28401755ce8053f51", file->blob);  // git hash-object of "n\n"
  EXPECT_EQ(file->file, layer->find("again")->file);
  EXPECT_EQ(nullptr, layer->find("hidden/old"));
}

TEST_F(ArchivedLayerTest, GivesTheContentsThatAreAskedFor) {
  first_turn([] { ASSERT_EQ(0, shell("echo 1 > a; echo 2 > b; : > c; echo 4 > d")); });
  ASSERT_TRUE(checkpoint());
  const auto layer = read();
  ASSERT_TRUE(layer);
  const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
  ArchivedFiles files(in.get());
  std::string text;
  for (const auto* name : {"b", "d", "a", "c", "a", "d"}) {
    EXPECT_TRUE(files.read(layer->find(name)->file, [&](std::string_view piece) {
      text += piece;
      return base::Result<void>();
    }));
    text += "|";
  }
  EXPECT_EQ("2\n|4\n|1\n||1\n|4\n|", text);
  EXPECT_EQ(base::Code::corrupt,
            files.read(99, [](std::string_view) { return base::Result<void>(); }).error().code);
}

TEST_F(ArchivedLayerTest, ImpossibleEntriesAreRefused) {
  EXPECT_THAT(error_of({{Kind_::file, "workspace/../x"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::file, "workspace/a//b"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::file, "workspace/a"}, {Kind_::file, "workspace/a/b"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::hard_link, "workspace/a", "workspace/b"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::hard_link, "workspace/a", "workspace/a"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::hard_link, "workspace/a", "home/b"}}), HasSubstr("impossible"));
  EXPECT_THAT(error_of({{Kind_::file, "workspace/.wh.a/b"}}), HasSubstr("impossible"));
  EXPECT_EQ("", error_of({{Kind_::file, "home/anything"}, {Kind_::file, "workspace/made/between"}}));
}

TEST_F(ArchivedLayerTest, LimitsHoldInEntriesBytesDepthAndTime) {
  const std::vector<Planted> entries{{Kind_::file, "workspace/a/b/c", {}, "12345"},
                                     {Kind_::file, "workspace/d", {}, "6"}};
  CheckpointLimits few, small, flat, late;
  few.entries = 1;
  small.bytes = 5;
  flat.depth = 0;
  late.wall_time = std::chrono::milliseconds(-1);
  EXPECT_THAT(error_of(entries, few), HasSubstr("too many files"));
  EXPECT_THAT(error_of(entries, small), HasSubstr("too large"));
  EXPECT_THAT(error_of(entries, flat), HasSubstr("too deep"));
  EXPECT_THAT(error_of(entries, late), HasSubstr("too long"));
  EXPECT_EQ("", error_of(entries));
}

TEST_F(ArchivedLayerTest, WhatIsNoArchiveIsCorrupt) {
  write_text(archive(), "no archive at all");
  EXPECT_EQ(base::Code::corrupt, read().error().code);
}

}  // namespace
}  // namespace agentrouter::workspace
