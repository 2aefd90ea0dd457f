#include "worker/image_root.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include "testing/temp_dir.h"

namespace agentrouter::worker {
namespace {

using ::testing::HasSubstr;

class OpenImageRoot : public ::testing::Test {
 protected:
  OpenImageRoot() : remover(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    image.name = "plum";
    image.root = folder.path();
  }
  bool may_be_removed() const { return ::flock(remover.get(), LOCK_EX | LOCK_NB) == 0; }

  testing::TempDir folder;
  base::Fd remover;
  ImageRoot image;
};

TEST_F(OpenImageRoot, IsInUseUntilTheLastCopyIsClosed) {
  auto one = open_image_root(image), two = open_image_root(image);
  ASSERT_TRUE(one && two);
  base::Fd copy(::fcntl(one->get(), F_DUPFD_CLOEXEC, 3));
  one->reset();
  two->reset();
  EXPECT_FALSE(may_be_removed());
  copy.reset();
  EXPECT_TRUE(may_be_removed());
}

TEST_F(OpenImageRoot, WhatIsBeingRemovedIsNotUsed) {
  ASSERT_TRUE(may_be_removed());
  EXPECT_THAT(open_image_root(image).error().message, HasSubstr("plum: it is being removed"));
  image.root /= "missing";
  EXPECT_EQ(open_image_root(image).error().code, base::Code::not_found);
}

}  // namespace
}  // namespace agentrouter::worker
