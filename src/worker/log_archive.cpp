#include "worker/log_archive.h"

#include <unistd.h>

#include <cerrno>

#include "base/gzip.h"

namespace agentrouter::worker {

LogArchive::LogArchive(blobs::BlobStore& blobs, const AttemptFolder& folder, const char* name,
                       std::string staging)
    : blobs_(blobs), folder_(folder), name_(name), staging_(std::move(staging)) {}

void LogArchive::stage() {
  if (blobs_.is_remote()) return;
  for (const std::uint64_t full = size() / log_piece_bytes; staged_ < full; ++staged_) {
    const std::string key = piece_key(staged_);
    if (!blobs_.exists(key)) blobs_.put(key, base::gzip(read(staged_ * log_piece_bytes, log_piece_bytes)));
  }
}

blobs::BlobInfo LogArchive::join(std::string_view key) {
  const std::uint64_t bytes = size();
  const std::uint64_t full = bytes / log_piece_bytes;
  auto writer = blobs_.create(key);
  for (std::uint64_t piece = 0; piece < full; ++piece) writer->write(member(piece));
  const auto rest = static_cast<std::size_t>(bytes % log_piece_bytes);
  // Also an empty log is a gzip file.
  if (rest != 0 || full == 0) writer->write(base::gzip(read(full * log_piece_bytes, rest)));
  return writer->commit();
}

void LogArchive::clear() {
  if (blobs_.is_remote()) return;
  for (std::uint64_t piece = 0; piece < size() / log_piece_bytes; ++piece) blobs_.remove(piece_key(piece));
}

std::string LogArchive::head(std::size_t bytes) const {
  return read(0, bytes);
}

std::string LogArchive::piece_key(std::uint64_t piece) const {
  return staging_ + "/" + std::to_string(piece) + ".gz";
}

std::string LogArchive::member(std::uint64_t piece) const {
  auto staged = blobs_.is_remote() ? base::fail(base::Code::not_found, "") : blobs_.open(piece_key(piece), {});
  if (staged) {
    return base::value_or_throw(base::read_all(staged->fd.get(), 2 * log_piece_bytes));
  }
  return base::gzip(read(piece * log_piece_bytes, log_piece_bytes));
}

std::string LogArchive::read(std::uint64_t offset, std::size_t size) const {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  if (auto file = folder_.file(name_)) {
    while (got < size) {
      const ssize_t n =
          ::pread(file->get(), bytes.data() + got, size - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) base::throw_errno(std::string("cannot read ") + name_, errno);
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
  }
  bytes.resize(got);
  return bytes;
}

}  // namespace agentrouter::worker
