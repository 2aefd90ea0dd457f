#pragma once
// What lies in DATA/images, and how it comes and goes there.
//
//   <64 hex digits>  an image by its digest: `rootfs`, and image.json
//   .new-<uuid>      one that is being unpacked
//   .old-<uuid>      one that is being removed
//
// What has a digest for a name is whole, also after a crash: it gets the name last and loses it first.
//
// Several servers may look here at once, and sandboxes outlive their server. So whoever unpacks holds a lock
// (flock) on the folder, and who works in an image one on its `rootfs` (worker/image_root.h); nothing is
// removed that has one.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/id.h"
#include "workspace/image.h"

namespace agentrouter::apps {

struct KnownImage {
  workspace::ImageReport report;
  std::vector<std::string> sources;  // that it was unpacked from, the last one first
};

class ImageShelf {
 public:
  // Fills an empty folder (borrowed).
  using Unpack = std::function<base::Result<workspace::ImageReport>(int folder)>;
  // Removes a folder below `at` with all that is in it.
  using Remove = std::function<base::Result<void>(int at, const std::string& name)>;

  // Looks at what is there, and removes what is no whole image and not in use. `folder` exists; `entropy`
  // outlives the shelf. Errors: those of open(2).
  [[nodiscard]] static base::Result<ImageShelf> open(const std::filesystem::path& folder,
                                                     base::Entropy& entropy, Remove remove);

  // The name of the image that this source has given, if any.
  [[nodiscard]] std::optional<std::string> find(const std::string& source) const;
  // Unpacks what a source has, and gives its name. After an error nothing of it is left.
  // Errors: those of `unpack`, those of writing.
  [[nodiscard]] base::Result<std::string> add(const std::string& source, const Unpack& unpack);
  // Removes all others that are not in use: those stay for another time.
  void keep_only(const std::set<std::string>& names);

  // Of a name that find() or add() has given.
  [[nodiscard]] const KnownImage& known(const std::string& name) const { return known_.at(name); }
  [[nodiscard]] std::filesystem::path root(const std::string& name) const {
    return folder_ / name / "rootfs";
  }

 private:
  ImageShelf(std::filesystem::path folder, base::Fd fd, base::Entropy& entropy, Remove remove);

  base::Result<void> look();
  struct Fresh {
    std::string name;
    base::Fd folder;  // with a lock on it
  };
  base::Result<Fresh> make_fresh();
  base::Result<std::string> take_in(const std::string& source, const Unpack& unpack, const Fresh& fresh);
  base::Result<KnownImage> name_it(KnownImage image, const std::string& temporary);
  bool is_used(const std::string& name) const;
  void put_away(const std::string& name);
  void tidy(const std::string& name);

  std::filesystem::path folder_;
  base::Fd fd_;
  base::Entropy* entropy_;
  Remove remove_;
  std::map<std::string, KnownImage> known_;
};

}  // namespace agentrouter::apps
