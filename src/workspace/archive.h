#pragma once
// Tar archives. Those of ours are pax, with times to the nanosecond and names of any bytes, compressed with
// zstd; those of others are read in every dialect of tar, plain or compressed. The only place that knows
// libarchive.

#include <sys/types.h>

#include <memory>

#include "workspace/entry_reader.h"
#include "workspace/sink.h"

struct archive;
struct archive_entry;

namespace agentrouter::workspace {

struct CloseArchive {
  void operator()(::archive* archive) const;
};
struct FreeEntry {
  void operator()(::archive_entry* entry) const;
};

class ArchiveWriter {
 public:
  enum class Compression { zstd, gzip };
  // `sink` outlives it. Equal calls give equal bytes.
  explicit ArchiveWriter(Sink& sink, Compression compression = Compression::zstd);

  // Errors of all three: exhausted (the sink is full), those of writing.
  // A file's `size` bytes follow in any pieces.
  [[nodiscard]] base::Result<void> begin(const ArchiveEntry& entry);
  [[nodiscard]] base::Result<void> write(std::string_view bytes);
  [[nodiscard]] base::Result<void> finish();

 private:
  [[nodiscard]] base::Result<void> checked(long status);
  static ssize_t put(::archive* archive, void* self, const void* bytes, std::size_t size);

  Sink& sink_;
  Compression compression_;
  bool full_ = false;
  std::unique_ptr<::archive, CloseArchive> archive_;
  std::unique_ptr<::archive_entry, FreeEntry> entry_;
};

// `ours`: tar in zstd. `any`: also plain, and in gzip; compressed once at most.
enum class TarKind { ours, any };

class ArchiveReader final : public EntryReader {
 public:
  // `fd` is borrowed and read from where it stands.
  explicit ArchiveReader(int fd, TarKind kind = TarKind::ours);

  [[nodiscard]] base::Result<std::optional<ArchiveEntry>> next() override;
  [[nodiscard]] base::Result<std::size_t> read(std::span<char> into) override;
  // Bytes of the archive, uncompressed, that it has gone through, read or not.
  [[nodiscard]] std::uint64_t passed() const;

 private:
  [[nodiscard]] base::Result<void> open();

  int fd_;
  TarKind kind_;
  bool opened_ = false;
  std::unique_ptr<::archive, CloseArchive> archive_;
};

}  // namespace agentrouter::workspace
