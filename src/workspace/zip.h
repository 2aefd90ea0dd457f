#pragma once
// Zip archives, as every tool writes them: stored and deflated entries, zip64, modes and links of Unix. Read
// by their central directory, so that what is told of an entry and what is there are one thing. Nothing else
// of the format is understood: encryption, other compressions and archives in several parts are errors.

#include <memory>

#include "base/fd.h"
#include "workspace/entry_reader.h"

namespace agentrouter::workspace {

// The bytes begin like a zip archive. At least four are needed.
[[nodiscard]] bool looks_like_zip(std::string_view bytes);

class ZipReader final : public EntryReader {
 public:
  // `fd` is borrowed: a file, which is read anywhere in it.
  explicit ZipReader(int fd);
  ~ZipReader() override;

  // Errors: corrupt (damaged, more than the file can hold, a checksum that is wrong), unsupported (encrypted,
  // another compression, several parts).
  [[nodiscard]] base::Result<std::optional<ArchiveEntry>> next() override;
  [[nodiscard]] base::Result<std::size_t> read(std::span<char> into) override;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::workspace
