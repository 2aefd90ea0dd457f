#pragma once
// Which paths git tracks, read from an index file (gitformat-index, versions 2 to 4) without running git.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::workspace {

class TrackedPaths {
 public:
  // Errors: unsupported (another version, SHA-256 objects, or a split index, which names only a part),
  // corrupt.
  [[nodiscard]] static base::Result<TrackedPaths> parse(std::string_view index);

  // Also true below a submodule, whose files the index does not list.
  [[nodiscard]] bool contains(std::string_view path) const;
  // Whether anything is tracked below `folder`, which ends with "/".
  [[nodiscard]] bool has_below(std::string_view folder) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint32_t offset;
    std::uint32_t size;
  };
  [[nodiscard]] std::string_view name(const Entry& entry) const {
    return std::string_view(names_).substr(entry.offset, entry.size);
  }
  void add(std::string_view path, std::uint32_t mode);
  void sort();

  std::string names_;
  std::vector<Entry> entries_;       // in byte order of their names
  std::vector<std::string> opaque_;  // submodules and folders of a sparse index, each with its "/"
};

}  // namespace agentrouter::workspace
