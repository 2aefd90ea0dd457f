#pragma once
// The layers above a base as if they were one: what this run has changed, over what each of the turns before
// has left in a layer of its own. Has the interface of Folder, with names decided by the topmost layer that
// has something to say, as overlayfs does.

#include "workspace/layer.h"

namespace agentrouter::workspace {

class Stack {
 public:
  Stack() = default;
  // The layers that these name (borrowed, may be O_PATH), topmost first. What is no folder counts as empty.
  [[nodiscard]] static Stack of(const std::vector<int>& layers);
  // The folders "0" (the topmost), "1"... of the folder `fd` (borrowed), up to the first that is missing.
  [[nodiscard]] static Stack numbered(int fd);

  explicit operator bool() const { return !layers_.empty(); }

  // The same, opened anew.
  [[nodiscard]] Stack again() const;
  // The layers of the turns before: without the topmost one.
  [[nodiscard]] Stack earlier() const;
  // What this run has changed. Only of one that is not empty.
  [[nodiscard]] const Folder& top() const { return layers_.front(); }

  // As Folder has them; a deletion is a whiteout although nothing may be below it.
  [[nodiscard]] Node stat(const std::string& name) const;
  [[nodiscard]] std::optional<struct ::stat> attributes(const std::string& path) const;
  [[nodiscard]] base::Result<Stack> open(const std::string& path) const;
  [[nodiscard]] base::Result<base::Fd> open_file(const std::string& path) const;
  [[nodiscard]] base::Result<std::string> read(const std::string& path, Kind kind,
                                               std::uint64_t max_bytes) const;
  [[nodiscard]] base::Result<std::vector<std::string>> names(std::uint64_t max_names) const;
  // Nothing of the base shows: one of the layers is opaque, or deletes what the base has.
  [[nodiscard]] bool is_opaque() const { return closed_; }

 private:
  // False when nothing below it shows.
  bool put(Folder layer);
  [[nodiscard]] base::Result<Stack> enter(const std::string& name) const;
  // The topmost layer that says something of `name`; null when none does.
  [[nodiscard]] const Folder* find(const std::string& name) const;

  std::vector<Folder> layers_;  // topmost first, none below an opaque one
  bool closed_ = false;
};

}  // namespace agentrouter::workspace
