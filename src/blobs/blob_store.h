#pragma once
// Artifact bytes by key, as a port. A blob is written once, whole: it is there under its key, durably, after
// commit(), and nothing of it is there before. Writing a key again replaces the blob at once.
//
// All calls block: use them on a base::Pool. Safe from any thread. A key is the artifact's r2Key: a relative
// path of parts that are not empty and do not begin with a dot.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::blobs {

struct BlobInfo {
  std::int64_t size = 0;
  std::string sha256;  // 64 lower-case hex digits
};

// One blob on its way. Destroyed before commit(), it leaves nothing.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // Throws Failure: unavailable with reason storage_full or storage_failed.
  virtual void write(std::string_view bytes) = 0;
  // Makes the blob appear, durably. Call once, last. Throws as write() does; then nothing has appeared.
  virtual BlobInfo commit() = 0;
};

struct Blob {
  base::Fd fd;  // at the first byte; reads what was there at open(), even if replaced or removed meanwhile
  std::int64_t size = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Throws Failure: invalid with reason blob_key_invalid, unavailable as BlobWriter::write() does.
  [[nodiscard]] virtual std::unique_ptr<BlobWriter> create(std::string_view key) = 0;
  // Errors: not_found, invalid (blob_key_invalid).
  [[nodiscard]] virtual base::Result<Blob> open(std::string_view key) = 0;
  [[nodiscard]] virtual bool exists(std::string_view key) = 0;
  // Removing what is not there is fine. Throws Failure(unavailable).
  virtual void remove(std::string_view key) = 0;
  // Removes the folders without blobs at and below `folder`, which is written like a key. Nobody writes there
  // meanwhile. What cannot be removed stays.
  virtual void remove_empty(std::string_view folder) = 0;

  // create(), write(), commit().
  BlobInfo put(std::string_view key, std::string_view bytes);
  // The same with everything that `fd` gives until its end, in pieces of 64 KiB. Errors: exhausted when that
  // is more than `max_bytes` (nothing is then stored), those of read(2).
  base::Result<BlobInfo> put_from(std::string_view key, int fd, std::int64_t max_bytes);
};

[[nodiscard]] bool is_blob_key(std::string_view key);

// Reads all of it and compares; its descriptor stays where it stands. Blocks. Errors: corrupt (artifact_damaged),
// unavailable (storage_failed: the disk cannot read it).
[[nodiscard]] base::Result<void> check_blob(const Blob& blob, std::string_view sha256);

}  // namespace agentrouter::blobs
