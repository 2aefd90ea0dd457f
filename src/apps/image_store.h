#pragma once
// [images.NAME] of the configuration, and DATA/images: each image unpacked once, by the digest of its
// manifest.
//
//   DATA/images/<64 hex digits>/rootfs      shared by all sandboxes, never written to again
//   DATA/images/<64 hex digits>/image.json  what is known of it, and the sources that it was unpacked from
//
// What has a name is whole, also after a crash (image_shelf.h); what no configuration names and no sandbox
// uses any more is removed when the store is opened next.

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "worker/image_root.h"
#include "workspace/image.h"

namespace agentrouter::apps {

struct ImageConfig {
  std::string name;        // a-z 0-9 . _ -, at most 64
  std::string oci_layout;  // a folder with an OCI layout; or
  std::string archive;     // a tar of one, or of `docker save`
  std::string digest;      // empty: the source holds one image for linux/amd64
};

[[nodiscard]] bool is_image_name(std::string_view name);

// `key` is what follows "images.": "NAME.oci_layout" and the like. Errors: invalid, with what is wanted.
[[nodiscard]] base::Result<void> set_image(std::vector<ImageConfig>& images, std::string_view key, const std::string& text);
// What only the whole table shows; `fallback` is sandbox.image. Errors: invalid.
[[nodiscard]] base::Result<void> finish_images(const std::vector<ImageConfig>& images, const std::string& fallback);
[[nodiscard]] std::string print_images(const std::vector<ImageConfig>& images);

// What a request may name. Errors: invalid, reason image_unknown, details {name, known}.
[[nodiscard]] base::Result<void> check_image(const std::vector<ImageConfig>& images, std::string_view name);

// `agentrouter unpack-image` in a process of its own. `folder` is empty, borrowed; `disk_reserve` bytes of
// its disk stay free. Errors: those of workspace::unpack_image and of opening; internal when the process
// broke down.
[[nodiscard]] base::Result<workspace::ImageReport> unpack_in_a_process(const ImageConfig& image, int folder,
                                                                       std::uint64_t disk_reserve);
[[nodiscard]] base::Result<void> remove_image(int at, const std::string& name);

// How images come and go; tests have others.
struct ImageMeans {
  std::function<base::Result<workspace::ImageReport>(const ImageConfig& image, int folder,
                                                     std::uint64_t disk_reserve)>
      unpack = unpack_in_a_process;
  std::function<base::Result<void>(int at, const std::string& name)> remove = remove_image;
};

class ImageStore {
 public:
  ImageStore() = default;  // of no images
  // Unpacks what is not there yet, and removes what `images` does not name and no sandbox works in. Blocks,
  // for as long as that takes. Errors: those of ImageMeans::unpack and of writing, naming the image.
  enum class Unused { remove, keep };  // keep: another server uses them as well
  struct Rules {
    Unused unused = Unused::remove;
    std::uint64_t disk_reserve = 0;  // bytes of the disk that stay free
  };
  [[nodiscard]] static base::Result<ImageStore> open(const std::filesystem::path& folder,
                                                     const std::vector<ImageConfig>& images,
                                                     base::Entropy& entropy, const Rules& rules,
                                                     const ImageMeans& means = {});

  // Errors: invalid (image_unknown).
  [[nodiscard]] base::Result<worker::ImageRoot> named(std::string_view name) const;

 private:
  std::map<std::string, worker::ImageRoot, std::less<>> images_;
};

}  // namespace agentrouter::apps
