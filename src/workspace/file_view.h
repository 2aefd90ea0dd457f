#pragma once
// The workspace of a run as files: as it is now, from the overlay's layers, or as it was at the end, from
// the base tree and a checkpoint. What is in there is hostile, and may change while it is looked at: nothing
// is followed, nothing blocks. `.git` is no part of it, at any depth.

#include <functional>
#include <memory>

#include "workspace/content.h"
#include "workspace/merged.h"
#include "workspace/upper_folder.h"
#include "workspace/walk.h"

namespace agentrouter::workspace {

using MergedFolder = Merged<UpperFolder>;

class FileView {
 public:
  // A borrowed descriptor, and what lies above it. A layer that is no folder counts as empty.
  [[nodiscard]] static FileView live(int base, Stack upper);
  // Errors: those of ArchivedLayer::read(). An archive that is no file counts as empty.
  [[nodiscard]] static base::Result<FileView> kept(int base, int archive);

  [[nodiscard]] MergedFolder root() const;
  // The folder at `path` ("" is the root); none when there is none. Errors: that of open(2).
  [[nodiscard]] base::Result<std::optional<MergedFolder>> folder(std::string_view path) const;
  // What stands at `path`. Errors: that of open(2).
  [[nodiscard]] base::Result<MergedFolder::Found> stat(std::string_view path) const;

  // Gives `take` the bytes of the file at `path`, which stat() has found, from `offset` on, at most `length`
  // of them. Errors: those of reading, unavailable (it is shorter by now), and what `take` returns.
  using Take = std::function<base::Result<void>(std::string_view piece)>;
  [[nodiscard]] base::Result<void> read(const std::string& path, const MergedFolder::Found& found,
                                        std::uint64_t offset, std::uint64_t length, const Take& take) const;

  // The target of the link at `path`. Errors: not_found, those of readlink(2).
  [[nodiscard]] base::Result<std::string> target(const std::string& path) const;

  // Git's name for a file's or a link's content; none when it cannot be read until then.
  [[nodiscard]] std::optional<std::string> blob(const std::string& path, const MergedFolder::Found& found,
                                                Deadline deadline) const;

  // What git would show as changed, as the file index has it, but in the order in which contents are read
  // best. Contents are compared.
  [[nodiscard]] Changes changes(const WalkLimits& limits) const;

 private:
  FileView() = default;

  std::unique_ptr<Folder> base_;
  std::unique_ptr<Stack> upper_;          // of a live one
  std::unique_ptr<ArchivedLayer> layer_;  // of a kept one
  std::unique_ptr<ArchivedFiles> files_;
};

}  // namespace agentrouter::workspace
