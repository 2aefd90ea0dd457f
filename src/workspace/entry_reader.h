#pragma once
// What stands in an archive, one entry after the other, whatever its format.

#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"

namespace agentrouter::workspace {

struct ArchiveEntry {
  enum class Kind { file, folder, link, hard_link, other };
  Kind kind = Kind::other;
  std::string path;
  std::string target;      // of a link, or the path in the archive that a hard link is another name of
  unsigned mode = 0;       // permission bits, setuid, setgid and sticky
  timespec mtime{};        // of what it describes
  std::uint64_t size = 0;  // of a file, as the archive says
};

class EntryReader {
 public:
  virtual ~EntryReader() = default;
  // Nothing at the end. Errors of both: corrupt, unsupported.
  [[nodiscard]] virtual base::Result<std::optional<ArchiveEntry>> next() = 0;
  // The next bytes of the file that next() has returned; 0 at its end.
  [[nodiscard]] virtual base::Result<std::size_t> read(std::span<char> into) = 0;
};

}  // namespace agentrouter::workspace
