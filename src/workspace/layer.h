#pragma once
// One layer of a workspace, read without trusting anything in it: no link is followed, no mount crossed,
// nothing blocks, and only regular files are ever opened for their bytes.

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::workspace {

enum class Kind { absent, file, link, folder, whiteout, other };

struct Node {
  Kind kind = Kind::absent;
  std::uint64_t size = 0;
  bool executable = false;

  // What git can record: the rest counts as not there.
  [[nodiscard]] bool is_content() const { return kind == Kind::file || kind == Kind::link; }
};

[[nodiscard]] Kind kind_of(const struct ::stat& info);

// An open folder of a layer, or none: then everything in it is absent.
class Folder {
 public:
  Folder() = default;
  // Opens the folder that `fd` (borrowed, may be O_PATH) names; none when it is no folder.
  [[nodiscard]] static Folder root(int fd);

  explicit operator bool() const { return static_cast<bool>(fd_); }

  // `path` is relative and has no "..". In a name of more than one part no link is followed either.
  [[nodiscard]] Node stat(const std::string& name) const;
  // All that the kernel says about it; of the folder itself when `name` is empty.
  [[nodiscard]] std::optional<struct ::stat> attributes(const std::string& name) const;
  // None when it is absent or no folder. Errors: that of open(2) for a folder that cannot be read.
  [[nodiscard]] base::Result<Folder> open(const std::string& path) const;
  // A regular file; its size may have changed since stat(). Errors: not_found, denied.
  [[nodiscard]] base::Result<base::Fd> open_file(const std::string& path) const;
  // Content of a file (at most `max_bytes`) or target of a link. Errors: not_found, denied, exhausted.
  [[nodiscard]] base::Result<std::string> read(const std::string& path, Kind kind,
                                               std::uint64_t max_bytes) const;

  // Names in byte order, without "." and "..". Errors: exhausted (over `max_names`), that of readdir(3).
  [[nodiscard]] base::Result<std::vector<std::string>> names(std::uint64_t max_names) const;
  // overlayfs hides what the layer below has here.
  [[nodiscard]] bool is_opaque() const;

 private:
  explicit Folder(base::Fd fd) : fd_(std::move(fd)) {}
  base::Fd fd_;
};

}  // namespace agentrouter::workspace
