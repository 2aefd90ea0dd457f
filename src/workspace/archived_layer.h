#pragma once
// The workspace's layer as a checkpoint holds it, with the shape of a layer on the disk: what is there, what
// is deleted, which folders hide what the base has. Contents stay in the archive, but for links and ignore
// rules; of files their names in git are known.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "workspace/archive.h"
#include "workspace/checkpoint.h"
#include "workspace/layer.h"

namespace agentrouter::workspace {

struct ArchivedEntry {
  Node node;
  unsigned mode = 0;    // permission bits
  timespec mtime{};     // of what it describes
  bool opaque = false;  // a folder that hides what the base has in it
  std::string text;     // target of a link; content of a .gitignore
  std::string blob;     // git's name of a file's content
  std::size_t file = 0;  // the number of its content in the archive, from 0; several names may share one
  std::map<std::string, std::unique_ptr<ArchivedEntry>, std::less<>> inner;  // of a folder
};

// A folder of it, with the interface of Folder. Lives no longer than its layer.
class ArchivedFolder {
 public:
  ArchivedFolder() = default;
  explicit ArchivedFolder(const ArchivedEntry& entry) : entry_(&entry) {}
  explicit operator bool() const { return entry_ != nullptr; }

  [[nodiscard]] Node stat(const std::string& name) const;
  [[nodiscard]] base::Result<ArchivedFolder> open(const std::string& name) const;
  // A link's target; of files only what ignore rules say. Errors: not_found.
  [[nodiscard]] base::Result<std::string> read(const std::string& name, Kind kind,
                                               std::uint64_t max_bytes) const;
  [[nodiscard]] base::Result<std::vector<std::string>> names(std::uint64_t max_names) const;
  [[nodiscard]] bool is_opaque() const { return entry_ != nullptr && entry_->opaque; }
  // Null when there is no such entry.
  [[nodiscard]] const ArchivedEntry* entry(const std::string& name) const;

 private:
  const ArchivedEntry* entry_ = nullptr;
};

class ArchivedLayer {
 public:
  // Nothing changed.
  ArchivedLayer() { root_.node.kind = Kind::folder; }

  // Reads `fd` (borrowed) from its beginning. The archive is hostile.
  // Errors: corrupt, exhausted (a limit), timeout.
  [[nodiscard]] static base::Result<ArchivedLayer> read(int fd, const CheckpointLimits& limits = {});

  [[nodiscard]] ArchivedFolder root() const { return ArchivedFolder(root_); }
  // `path` is relative. Null when there is no such entry.
  [[nodiscard]] const ArchivedEntry* find(std::string_view path) const;

 private:
  class Builder;
  ArchivedEntry root_;
};

// Contents out of the archive. In the order of their numbers, which is that of their paths name by name, all
// of them cost one reading of it; each step back begins anew.
class ArchivedFiles {
 public:
  // `fd` is borrowed.
  explicit ArchivedFiles(int fd) : fd_(fd) {}

  // Gives `take` the bytes of the file with this number. Errors: corrupt, and what `take` returns.
  using Take = std::function<base::Result<void>(std::string_view piece)>;
  [[nodiscard]] base::Result<void> read(std::size_t file, const Take& take);

 private:
  int fd_;
  std::optional<ArchiveReader> archive_;
  std::size_t next_ = 0;
};

}  // namespace agentrouter::workspace
