#pragma once
// Which files of a commit are pointers to LFS objects. Pure; what git lists is hostile. A pointer is a file
// of exactly three lines, as git-lfs writes it: version, oid, size.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "keeper/fetch/git_commands.h"

namespace agentrouter::keeper {

inline constexpr std::size_t lfs_objects_at_most = 10'000;

struct LfsPointer {
  std::string path;
  std::string oid;  // SHA-256, 64 hex digits
  std::uint64_t size = 0;
};

// All lines of the files that hold the three.
[[nodiscard]] Argv find_pointers(const ResolvedRef& at);

// Piece by piece of find_pointers' output.
class PointerList {
 public:
  void feed(std::string_view piece);
  // All that came, once there is no more.
  void finish() { take_file(); }
  [[nodiscard]] const std::vector<LfsPointer>& pointers() const { return pointers_; }

 private:
  void take_line();
  void take_file();

  std::string field_;
  std::vector<std::string> fields_;  // of the line that comes: "<commit>:<path>", its number
  std::string path_;                 // of the file whose lines come
  std::vector<std::string> lines_;
  std::vector<LfsPointer> pointers_;
};

// Writes its stdin to the file.
[[nodiscard]] Argv write_object(const std::string& path);
// Copies an object out of the repository of this machine, which is the workspace.
[[nodiscard]] Argv copy_object(const LfsPointer& pointer);
[[nodiscard]] Argv hash_of_file(const std::string& path);
// Git does not look at these files again: what it would find are not the pointers that it knows.
[[nodiscard]] Argv assume_unchanged(const std::vector<std::string>& paths);

}  // namespace agentrouter::keeper
