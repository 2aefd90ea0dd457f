#include "blobs/blob_store.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/hash.h"

namespace agentrouter::blobs {

bool is_blob_key(std::string_view key) {
  if (key.empty() || key.size() > 1024 || key.find('\0') != std::string_view::npos) return false;
  while (true) {
    const auto slash = key.find('/');
    const auto part = key.substr(0, slash);
    // A leading dot is kept for our own files, and shuts out "." and "..".
    if (part.empty() || part.size() > 255 || part.front() == '.') return false;
    if (slash == std::string_view::npos) return true;
    key.remove_prefix(slash + 1);
  }
}

BlobInfo BlobStore::put(std::string_view key, std::string_view bytes) {
  const auto writer = create(key);
  writer->write(bytes);
  return writer->commit();
}

base::Result<std::optional<std::string>> BlobStore::link(std::string_view, std::string_view, std::string_view) {
  return std::optional<std::string>();
}

base::Error bad_blob_key(std::string_view key) {
  return {base::Code::invalid, "cannot use \"" + std::string(key) + "\" as the key of a blob", "blob_key_invalid"};
}

base::Result<void> copy_into(BlobWriter& writer, int fd, std::int64_t max_bytes) {
  std::array<char, 64 << 10> piece;
  std::int64_t total = 0;
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read the bytes to store", errno);
    if (got == 0) return {};
    total += got;
    if (total > max_bytes) {
      return base::fail(base::Code::exhausted, "cannot store more than " + std::to_string(max_bytes) + " bytes");
    }
    writer.write({piece.data(), static_cast<std::size_t>(got)});
  }
}

base::Result<BlobInfo> BlobStore::put_from(std::string_view key, int fd, std::int64_t max_bytes) {
  const auto writer = create(key);
  if (auto copied = copy_into(*writer, fd, max_bytes); !copied) {
    auto error = copied.error();
    error.message = std::string(key) + ": " + error.message;
    return tl::unexpected(std::move(error));
  }
  return writer->commit();
}

base::Result<void> check_blob(const Blob& blob, std::string_view sha256) {
  if (blob.checked) return {};
  base::Sha256 hash;
  std::string piece(256u << 10, '\0');
  off_t at = 0;
  for (;;) {
    const ssize_t got = ::pread(blob.fd.get(), piece.data(), piece.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      auto error = base::fail_errno("cannot read the bytes of the artifact", errno).value();
      return base::fail(base::Code::unavailable, std::move(error.message), "storage_failed");
    }
    if (got == 0) break;
    hash.update({piece.data(), static_cast<std::size_t>(got)});
    at += got;
  }
  if (at == blob.size && hash.hex() == sha256) return {};
  return base::fail(base::Code::corrupt, "the bytes of the artifact are not what was written", "artifact_damaged");
}

}  // namespace agentrouter::blobs
