#include "apps/image_shelf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/image_store.h"
#include "base/file.h"
#include "base/hash.h"
#include "testing/fixed_entropy.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;
using Unused = ImageStore::Unused;

// Images whose source is a file: its bytes are what the image's only file holds, and what its digest is of.
class ImageShelves : public ::testing::Test {
 protected:
  ImageShelves() {
    means.unpack = [this](const ImageConfig& image, int place, std::uint64_t) {
      return unpack(image, place);
    };
  }

  base::Result<workspace::ImageReport> unpack(const ImageConfig& image, int folder) {
    ++unpacked;
    if (during) during();
    const fs::path place = fs::read_symlink("/proc/self/fd/" + std::to_string(folder));
    fs::create_directory(place / "rootfs");
    AGENTROUTER_TRY(const auto text, base::read_file(image.archive));
    if (text == "broken") return base::fail(base::Code::invalid, "it is broken", "image_unreadable");
    if (auto done = base::write_file_durably(place / "rootfs/file", text); !done)
      return tl::unexpected(done.error());
    return workspace::ImageReport{.digest = "sha256:" + base::Sha256::hex_of(text),
                                  .environment = {"A=" + text},
                                  .shell = "/bin/sh",
                                  .content = {},
                                  .left_out = 0};
  }
  ImageConfig source(const std::string& name, const std::string& text) {
    const auto path = dir / name;
    EXPECT_TRUE(base::write_file_durably(path, text));
    return {.name = name, .oci_layout = {}, .archive = path, .digest = {}};
  }
  base::Result<ImageStore> open(const std::vector<ImageConfig>& images, Unused unused = Unused::remove) {
    return ImageStore::open(folder, images, entropy, {.unused = unused}, means);
  }
  // What opening fails with; empty: it does not.
  std::string refusal(const std::vector<ImageConfig>& images, Unused unused = Unused::remove) {
    const auto store = open(images, unused);
    return store ? "" : store.error().message;
  }
  std::string file_of(const ImageStore& store, const std::string& name) {
    return base::read_file(store.named(name)->root / "file").value_or("nothing");
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path().filename());
    std::ranges::sort(found);
    return found;
  }
  static std::string name_of(const std::string& text) { return base::Sha256::hex_of(text); }

  testing::TempDir dir;
  const fs::path folder = dir / "images";
  testing::FixedEntropy entropy;
  ImageMeans means;
  int unpacked = 0;
  std::function<void()> during;
};

TEST_F(ImageShelves, AnImageIsUnpackedOnceWhateverNamesAndSourcesItHas) {
  const auto one = source("one", "plum"), two = source("two", "plum");
  for (int i = 0; i < 2; ++i) {
    const auto store = open({one, two});
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ(file_of(*store, "one"), "plum");
    EXPECT_EQ(store->named("two")->root, store->named("one")->root);
    EXPECT_EQ(store->named("two")->environment, std::vector<std::string>{"A=plum"});
  }
  EXPECT_EQ(unpacked, 2) << "once for each source";
  EXPECT_THAT(names(), ElementsAre(name_of("plum")));
}

TEST_F(ImageShelves, ASourceThatHasChangedIsUnpackedAgainAndTheOldImageGoes) {
  ASSERT_EQ(refusal({source("one", "plum")}), "");
  ASSERT_EQ(refusal({source("one", "cherry")}, Unused::keep), "");
  EXPECT_EQ(names().size(), 2u) << "another server may use it";
  ASSERT_EQ(refusal({source("one", "cherry")}), "");
  EXPECT_THAT(names(), ElementsAre(name_of("cherry")));
  ASSERT_EQ(refusal({}), "");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(ImageShelves, NothingIsLeftOfAnImageThatCannotBeUsed) {
  EXPECT_EQ(refusal({source("one", "broken")}), "cannot use the image \"one\": it is broken");
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(refusal({{.name = "two", .archive = dir / "missing"}}), HasSubstr("cannot read"));
}

TEST_F(ImageShelves, WhatIsHalfRemovedIsNotUsedAgain) {
  const auto one = source("one", "plum");
  ASSERT_EQ(refusal({one}), "");
  means.remove = [](int at, const std::string& name) -> base::Result<void> {
    (void)remove_image(at, name + "/rootfs");
    return base::fail(base::Code::unavailable, "the machine has no power");
  };
  ASSERT_EQ(refusal({}), "");
  EXPECT_THAT(names(), ElementsAre(StartsWith(".old-")));
  means.remove = remove_image;
  const auto store = open({one});
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(file_of(*store, "one"), "plum");
  EXPECT_EQ(unpacked, 2);
  EXPECT_THAT(names(), ElementsAre(name_of("plum"))) << "the rest is removed by then";
}

TEST_F(ImageShelves, AnImageStaysWhileASandboxWorksInIt) {
  const auto store = open({source("one", "plum")});
  ASSERT_TRUE(store);
  auto sandbox = worker::open_image_root(*store->named("one"));
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  const auto other = source("one", "cherry");
  ASSERT_EQ(refusal({other}), "");
  EXPECT_EQ(names().size(), 2u);
  EXPECT_EQ(file_of(*store, "one"), "plum");
  ASSERT_EQ(refusal({}), "") << "nothing is configured any more";
  EXPECT_EQ(file_of(*store, "one"), "plum");
  sandbox->reset();
  ASSERT_EQ(refusal({other}), "");
  EXPECT_THAT(names(), ElementsAre(name_of("cherry")));
}

TEST_F(ImageShelves, AnImageInUseThatIsNotWholeLosesItsNameAndNothingElse) {
  const auto one = source("one", "plum");
  const auto store = open({one});
  ASSERT_TRUE(store);
  auto sandbox = worker::open_image_root(*store->named("one"));
  ASSERT_TRUE(base::write_file_durably(folder / name_of("plum") / "image.json", "{"));
  ASSERT_EQ(refusal({one}), "");
  EXPECT_THAT(names(), ElementsAre(StartsWith(".old-"), name_of("plum")));
  EXPECT_TRUE(fs::exists("/proc/self/fd/" + std::to_string(sandbox->get()) + "/file"));
  sandbox->reset();
  ASSERT_EQ(refusal({one}), "");
  EXPECT_THAT(names(), ElementsAre(name_of("plum")));
}

TEST_F(ImageShelves, AnotherServerLeavesAloneWhatIsBeingUnpacked) {
  const auto one = source("one", "plum"), two = source("two", "cherry");
  during = [&] {
    during = nullptr;
    fs::create_directory(folder / ".new-left");
    ASSERT_EQ(refusal({two}, Unused::keep), "");
    EXPECT_THAT(names(), ElementsAre(StartsWith(".new-"), name_of("cherry")));
  };
  const auto store = open({one}, Unused::keep);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(file_of(*store, "one"), "plum");
}

TEST_F(ImageShelves, TwoServersMayUnpackTheSameImageAtOnce) {
  const auto one = source("one", "plum"), two = source("two", "plum");
  during = [&] {
    during = nullptr;
    ASSERT_EQ(refusal({two}, Unused::keep), "");
  };
  ASSERT_EQ(refusal({one}), "");
  ASSERT_EQ(refusal({one, two}), "");
  EXPECT_EQ(unpacked, 2) << "both sources are known";
  EXPECT_THAT(names(), ElementsAre(name_of("plum")));
}

TEST_F(ImageShelves, WhatIsNoWholeImageIsRemoved) {
  const auto one = source("one", "plum");
  ASSERT_EQ(refusal({one}), "");
  fs::create_directories(folder / ".new-half/rootfs");
  fs::create_directories(folder / name_of("cherry") / "rootfs");
  fs::copy_file(folder / name_of("plum") / "image.json", folder / name_of("cherry") / "image.json");
  ASSERT_TRUE(base::write_file_durably(folder / "stray", "x"));
  ASSERT_TRUE(base::write_file_durably(folder / name_of("plum") / "image.json", "{"));
  const auto store = open({one});
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(file_of(*store, "one"), "plum");
  EXPECT_EQ(unpacked, 2);
  EXPECT_THAT(names(), ElementsAre(name_of("plum")));
}

}  // namespace
}  // namespace agentrouter::apps
