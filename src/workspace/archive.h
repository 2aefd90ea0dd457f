#pragma once
// A tar archive (pax, with times to the nanosecond and names of any bytes) compressed with zstd. The only
// place that knows libarchive.

#include <sys/types.h>

#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"
#include "workspace/sink.h"

struct archive;
struct archive_entry;

namespace agentrouter::workspace {

struct ArchiveEntry {
  enum class Kind { file, folder, link, hard_link, other };
  Kind kind = Kind::other;
  std::string path;
  std::string target;      // of a link, or the path in the archive that a hard link is another name of
  unsigned mode = 0;       // permission bits
  timespec mtime{};        // of what it describes
  std::uint64_t size = 0;  // of a file
};

struct CloseArchive {
  void operator()(::archive* archive) const;
};
struct FreeEntry {
  void operator()(::archive_entry* entry) const;
};

class ArchiveWriter {
 public:
  // `sink` outlives it. Equal calls give equal bytes.
  explicit ArchiveWriter(Sink& sink);

  // Errors of all three: exhausted (the sink is full), those of writing.
  // A file's `size` bytes follow in any pieces.
  [[nodiscard]] base::Result<void> begin(const ArchiveEntry& entry);
  [[nodiscard]] base::Result<void> write(std::string_view bytes);
  [[nodiscard]] base::Result<void> finish();

 private:
  [[nodiscard]] base::Result<void> checked(long status);
  static ssize_t put(::archive* archive, void* self, const void* bytes, std::size_t size);

  Sink& sink_;
  bool full_ = false;
  std::unique_ptr<::archive, CloseArchive> archive_;
  std::unique_ptr<::archive_entry, FreeEntry> entry_;
};

class ArchiveReader {
 public:
  // `fd` is borrowed and read from where it stands.
  explicit ArchiveReader(int fd);

  // Nothing at the end. Errors of both: corrupt.
  [[nodiscard]] base::Result<std::optional<ArchiveEntry>> next();
  // The next bytes of the file that next() has returned; 0 at its end.
  [[nodiscard]] base::Result<std::size_t> read(std::span<char> into);

 private:
  int fd_;
  bool opened_ = false;
  std::unique_ptr<::archive, CloseArchive> archive_;
};

}  // namespace agentrouter::workspace
