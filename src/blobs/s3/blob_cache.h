#pragma once
// Bytes of blobs on this machine, by their digest: what was read from a store that is far away, and what was
// written to it. The least recently used ones go when there are more than `bytes`. Nothing here is durable or
// needed: whatever is missing or damaged is fetched again. Two processes that hand over to each other
// may have a folder open.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/hash.h"

namespace agentrouter::blobs {

// A file that is being filled. It goes with its object, unless the cache keeps it.
class FillingFile {
 public:
  FillingFile(std::filesystem::path path, base::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  FillingFile(const FillingFile&) = delete;
  FillingFile& operator=(const FillingFile&) = delete;
  ~FillingFile();

  // Throws Failure: unavailable with reason storage_full or storage_failed.
  void write(std::string_view bytes);
  // Begins anew. Throws as write() does.
  void clear();
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::string sha256() const { return hash_.hex(); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Its descriptor, at the first byte.
  [[nodiscard]] base::Fd take();

 private:
  friend class BlobCache;
  std::filesystem::path path_;  // empty: it has a name in the cache
  base::Fd fd_;
  base::Sha256 hash_;
  std::int64_t size_ = 0;
};

class BlobCache {
 public:
  // Makes the folder if it is missing; removes files that a dead process was filling. `bytes` 0 keeps
  // nothing. Errors: those of the folder.
  [[nodiscard]] static base::Result<std::unique_ptr<BlobCache>> open(const std::filesystem::path& folder,
                                                                     std::int64_t bytes);
  BlobCache(std::filesystem::path folder, std::int64_t bytes, std::string own)
      : folder_(std::move(folder)), bytes_(bytes), own_(std::move(own)) {}

  // All safe from any thread. Throws Failure as FillingFile::write().
  [[nodiscard]] std::unique_ptr<FillingFile> make();
  // The bytes of that digest, looked at just now and at the first one; no descriptor when they are not here.
  [[nodiscard]] base::Fd find(const std::string& sha256);
  // Keeps what was filled under its digest, if there is room. It may be read on afterwards.
  void keep(FillingFile& file);
  void forget(const std::string& sha256);

 private:
  void make_room(std::int64_t bytes);

  const std::filesystem::path folder_;
  const std::int64_t bytes_;
  const std::string own_;  // of this process's names
  std::mutex mutex_;  // of what makes room and takes it
};

}  // namespace agentrouter::blobs
