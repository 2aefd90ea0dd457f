#pragma once
// Artifact bytes by key, as a port. A blob is written once, whole: it is there under its key, durably, after
// commit(), and nothing of it is there before.
//
// A key names one blob at a time in a store of one machine (`fs`): writing it again replaces the blob at once. In a
// store that machines share (`s3`) it names one for each digest, so that nobody can replace what somebody else's
// records name: who reads says which one by the digest that the records hold.
//
// All calls block: use them on a base::Pool. Safe from any thread. A key is the artifact's r2Key: a relative
// path of parts that are not empty and do not begin with a dot.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
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
  // Of what was written so far.
  [[nodiscard]] virtual BlobInfo written() const = 0;
  // Makes the blob appear, durably. Call once, last. Throws as write() does; then nothing has appeared, or all of it.
  virtual BlobInfo commit() = 0;
};

struct Blob {
  base::Fd fd;  // at the first byte; reads what was there at open(), even if replaced or removed meanwhile
  std::int64_t size = 0;
  bool checked = false;  // all of its bytes were just compared with the digest
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Throws Failure: invalid with reason blob_key_invalid, unavailable as BlobWriter::write() does.
  [[nodiscard]] virtual std::unique_ptr<BlobWriter> create(std::string_view key) = 0;
  // `sha256` is what the records say of the blob. A store on this machine finds it by its key alone, and has it
  // compared by check_blob().
  // Errors: not_found, invalid (blob_key_invalid), unavailable (storage_failed, storage_full: it may be there, and
  // cannot be read now), corrupt (artifact_damaged: the store gives other bytes).
  [[nodiscard]] virtual base::Result<Blob> open(std::string_view key, std::string_view sha256) = 0;
  // Throws Failure(unavailable).
  [[nodiscard]] virtual bool exists(std::string_view key) = 0;
  // Whether that blob is there. Throws Failure(unavailable).
  [[nodiscard]] virtual bool holds(std::string_view key, std::string_view) { return exists(key); }
  // Removing what is not there is fine. Throws Failure(unavailable); it may be repeated then.
  virtual void remove(std::string_view key) = 0;
  // Removes the folders without blobs at and below `folder`, which is written like a key. Nobody writes there
  // meanwhile. What cannot be removed stays.
  virtual void remove_empty(std::string_view folder) = 0;

  // Each call is a journey: what only saves time is not put here.
  [[nodiscard]] virtual bool is_remote() const { return false; }
  // A URL by which a client may fetch the blob from the store itself for some time, if the store is set up to give any.
  // Errors: as open().
  [[nodiscard]] virtual base::Result<std::optional<std::string>> link(std::string_view key, std::string_view sha256,
                                                                      std::string_view content_type);
  // Removes what processes that died have left, of all machines. Takes long, and may be done by several at once; ends
  // early when `stopped` becomes true. Throws Failure(unavailable).
  virtual void sweep(const std::atomic<bool>& stopped) { (void)stopped; }
  // Calls that wait for a store elsewhere end soon, with unavailable. Safe from any thread.
  virtual void stop() {}

  // create(), write(), commit().
  BlobInfo put(std::string_view key, std::string_view bytes);
  // The same with everything that `fd` gives until its end, in pieces of 64 KiB. Errors: exhausted when that
  // is more than `max_bytes` (nothing is then stored), those of read(2).
  base::Result<BlobInfo> put_from(std::string_view key, int fd, std::int64_t max_bytes);
};

// The rest of put_from(): everything that `fd` gives, written, not committed. Errors: those of put_from().
[[nodiscard]] base::Result<void> copy_into(BlobWriter& writer, int fd, std::int64_t max_bytes);

[[nodiscard]] bool is_blob_key(std::string_view key);
[[nodiscard]] base::Error bad_blob_key(std::string_view key);

// Reads all of it and compares, unless that was just done; its descriptor stays where it stands. Blocks. Errors: corrupt
// (artifact_damaged), unavailable (storage_failed: the disk cannot read it).
[[nodiscard]] base::Result<void> check_blob(const Blob& blob, std::string_view sha256);

}  // namespace agentrouter::blobs
