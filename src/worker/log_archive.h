#pragma once
// The agent's logs as artifacts. A log is cut at fixed borders of 256 KiB; each piece is a gzip member of its
// own, put beside the blobs while the agent still runs (unless they are far away: then the file in the attempt's folder
// is all there is until the end), and all members one after another are the artifact.
// The bytes depend on nothing but the log, so that archiving again after a crash gives the same artifact.

#include <string>

#include "blobs/blob_store.h"
#include "worker/attempt_folder.h"

namespace agentrouter::worker {

inline constexpr std::uint64_t log_piece_bytes = 256u << 10;

class LogArchive {
 public:
  // `name` in the folder ("stdout.ndjson"); `staging` is the key prefix of its pieces. Both references
  // outlive it.
  LogArchive(blobs::BlobStore& blobs, const AttemptFolder& folder, const char* name, std::string staging);

  // Stores the pieces that are full and not stored yet. Blocks. Throws as blobs do.
  void stage();
  // Writes the whole log under `key`; a log that is not there is an empty one. Blocks.
  [[nodiscard]] blobs::BlobInfo join(std::string_view key);
  // Removes the pieces. Blocks.
  void clear();
  // The first bytes of the log.
  [[nodiscard]] std::string head(std::size_t bytes) const;
  [[nodiscard]] std::uint64_t size() const { return folder_.size_of(name_); }

 private:
  [[nodiscard]] std::string piece_key(std::uint64_t piece) const;
  [[nodiscard]] std::string read(std::uint64_t offset, std::size_t size) const;
  [[nodiscard]] std::string member(std::uint64_t piece) const;

  blobs::BlobStore& blobs_;
  const AttemptFolder& folder_;
  const char* name_;
  std::string staging_;
  std::uint64_t staged_ = 0;
};

}  // namespace agentrouter::worker
