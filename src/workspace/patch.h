#pragma once
// One file's part of a git patch, as `git diff --binary` writes it and `git apply` reads it.

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "workspace/layer.h"

namespace agentrouter::workspace {

// SHA-1 of a git blob, fed piece by piece. The size comes first because git hashes it first.
class BlobHash {
 public:
  explicit BlobHash(std::uint64_t size);
  BlobHash(const BlobHash&) = delete;
  BlobHash& operator=(const BlobHash&) = delete;
  ~BlobHash();
  void update(std::string_view bytes);
  [[nodiscard]] std::string hex();

 private:
  void* context_;
};

// One side of a change. Without `node.is_content()` the file is not there.
struct Side {
  Node node;
  std::string blob;                              // BlobHash of the content; empty when absent
  std::optional<std::string_view> content = {};  // none: too large to show; then the patch is binary
};

// Both sides' content differs, or the mode, or the type. A change of type (file or link) becomes two parts,
// deletion and creation. `after.content` must be there unless the content is the same.
[[nodiscard]] std::string file_patch(const std::string& path, const Side& before, const Side& after);

// A line that `git apply` skips, naming a file that is not shown.
[[nodiscard]] std::string omission(const std::string& path, std::string_view why);

// Whether `git apply` accepts the path at all; it refuses names that some file system takes for `.git`.
[[nodiscard]] bool is_applicable(std::string_view path, Kind kind);

// As git writes paths in patches: C-quoted when a byte is not printable ASCII, a quote or a backslash.
[[nodiscard]] std::string quote_path(std::string_view path);

}  // namespace agentrouter::workspace
