#include "apps/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

class ImageSettings : public ::testing::Test {
 protected:
  std::string set(std::string_view key, const std::string& text) {
    const auto done = set_image(images, key, text);
    return done ? "" : done.error().message;
  }
  std::vector<ImageConfig> images;
};

TEST_F(ImageSettings, AreReadAndPrinted) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(set("build.oci_layout", "/srv/build"), "");
  EXPECT_EQ(set("build.digest", digest), "");
  EXPECT_EQ(set("v1.2.archive", "/srv/x.tar"), "");
  EXPECT_TRUE(finish_images(images, "build"));
  EXPECT_EQ(print_images(images), "\n[images.build]\noci_layout = \"/srv/build\"\ndigest = \"" + digest +
                                      "\"\n\n[images.\"v1.2\"]\narchive = \"/srv/x.tar\"\n");
}

TEST_F(ImageSettings, SayWhatIsWanted) {
  EXPECT_THAT(set("build", "x"), HasSubstr("no usable name"));
  EXPECT_THAT(set("Upper.archive", "/x"), HasSubstr("no usable name"));
  EXPECT_THAT(set(".x.archive", "/x"), HasSubstr("no usable name"));
  EXPECT_THAT(set("a.archive", "x"), HasSubstr("absolute path"));
  EXPECT_THAT(set("a.digest", "latest"), HasSubstr("sha256:"));
  EXPECT_THAT(set("a.registry", "x"), HasSubstr("oci_layout, archive or digest"));
  images = {{.name = "a"}};
  EXPECT_THAT(finish_images(images, "").error().message, HasSubstr("either oci_layout or archive"));
  images = {{.name = "a", .oci_layout = "/a", .archive = "/b"}};
  EXPECT_THAT(finish_images(images, "").error().message, HasSubstr("either oci_layout or archive"));
  images = {{.name = "a", .oci_layout = "/a"}};
  EXPECT_THAT(finish_images(images, "b").error().message, HasSubstr("there is no [images.b]"));
}

TEST_F(ImageSettings, AnUnknownNameIsToldWithTheKnownOnes) {
  images = {{.name = "a", .oci_layout = "/a"}, {.name = "b", .oci_layout = "/b"}};
  EXPECT_TRUE(check_image(images, "b"));
  const auto refused = check_image(images, "c");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "image_unknown");
  EXPECT_EQ(refused.error().details, R"({"name":"c","known":["a","b"]})");
  EXPECT_EQ(ImageStore().named("a").error().reason, "image_unknown");
}

}  // namespace
}  // namespace agentrouter::apps
