#include "worker/run_logs.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/gzip.h"
#include "runs/queries.h"
#include "worker/attempt_folder.h"

namespace agentrouter::worker {
namespace {

using base::Code;
using base::fail;
using base::Result;
using workspace::FileAnswer;
using workspace::FileRequest;
using Answer = Result<std::unique_ptr<FileAnswer>>;

constexpr std::size_t piece_bytes = 64u << 10;
// Unpacked it may be a thousand times as large.
constexpr std::size_t packed_bytes = 4u << 10;

Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  ssize_t got = 0;
  while ((got = ::pread(fd, bytes.data(), size, static_cast<off_t>(offset))) < 0 && errno == EINTR) {
  }
  if (got < 0) return fail(Code::unavailable, "The log cannot be read");
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

// As long as it was when it was opened, so that it has an end.
class GrowingLog final : public FileAnswer {
 public:
  GrowingLog(base::Pool& pool, base::Fd file, std::uint64_t offset, std::uint64_t size)
      : pool_(pool), file_(std::move(file)), offset_(offset), size_(size) {}

  [[nodiscard]] const json::object& head() const override { return head_; }
  [[nodiscard]] base::Task<Result<std::string>> next() override {
    if (offset_ >= size_) co_return std::string();
    auto bytes = co_await pool_.run([this] {
      return read_at(file_.get(), offset_,
                     static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, size_ - offset_)));
    });
    if (bytes) offset_ += bytes->size();
    co_return bytes;
  }

 private:
  json::object head_;
  base::Pool& pool_;
  base::Fd file_;
  std::uint64_t offset_, size_;
};

class KeptLog final : public FileAnswer {
 public:
  KeptLog(base::Pool& pool, blobs::Blob blob, std::uint64_t skip)
      : pool_(pool), blob_(std::move(blob)), skip_(skip) {}

  [[nodiscard]] const json::object& head() const override { return head_; }
  [[nodiscard]] base::Task<Result<std::string>> next() override {
    co_return co_await pool_.run([this] { return unpack(); });
  }

 private:
  Result<std::string> unpack() {
    for (;;) {
      AGENTROUTER_TRY(const auto packed, read_at(blob_.fd.get(), offset_, packed_bytes));
      offset_ += packed.size();
      if (packed.empty() && !gzip_.is_whole()) return fail(Code::unavailable, "The log is cut off");
      auto bytes = gzip_.feed(packed);
      if (!bytes) return fail(Code::unavailable, "The log is damaged");
      const auto skipped = std::min<std::uint64_t>(skip_, bytes->size());
      skip_ -= skipped;
      bytes->erase(0, static_cast<std::size_t>(skipped));
      if (packed.empty() || !bytes->empty()) return bytes;
    }
  }

  json::object head_;
  base::Pool& pool_;
  blobs::Blob blob_;
  base::Gunzip gzip_;
  std::uint64_t offset_ = 0;
  std::uint64_t skip_;
};

std::string_view file_of(const FileRequest& request) {
  return request.path == "stderr" ? "stderr.ndjson" : "stdout.ndjson";
}

Answer open_growing(const LogSource& source, const store::Attempt& attempt, const FileRequest& request) {
  base::Fd file;
  std::uint64_t size = 0;
  if (const auto folder = AttemptFolder::open(source.attempts, attempt.id)) {
    const std::string name(file_of(request));
    if (auto opened = folder->file(name.c_str())) file = std::move(*opened);
    size = file ? folder->size_of(name.c_str()) : 0;
  }
  return std::make_unique<GrowingLog>(source.pool, std::move(file), request.offset, size);
}

Result<blobs::Blob> open_kept(blobs::BlobStore& blobs, const model::Artifact& artifact) {
  auto blob = blobs.open(artifact.r2_key, artifact.sha256);
  if (!blob) return blob;
  if (auto whole = blobs::check_blob(*blob, artifact.sha256); !whole) return tl::unexpected(whole.error());
  return blob;
}

}  // namespace

Result<LogPlace> find_log(store::Reader& reader, const model::RunId& id, std::string_view stream) {
  LogPlace place;
  AGENTROUTER_TRY(const auto run, runs::find_run(reader, id));
  if (!model::is_terminal(run.status)) {
    place.attempt = reader.latest_attempt(id);
    return place;
  }
  for (auto& artifact : reader.artifacts(id))
    if (artifact.kind == std::string(stream) + "_log") place.artifact = std::move(artifact);
  return place;
}

base::Task<Answer> open_log(LogSource source, LogPlace place, FileRequest request) {
  if (place.attempt)
    co_return co_await source.pool.run([&] { return open_growing(source, *place.attempt, request); });
  if (!place.artifact) co_return std::make_unique<GrowingLog>(source.pool, base::Fd(), 0, 0);
  auto blob = co_await source.pool.run([&] { return open_kept(source.blobs, *place.artifact); });
  if (!blob && blob.error().code == Code::not_found)
    co_return fail(Code::not_found, "The log is not there any more", "artifact_not_found");
  if (!blob) co_return tl::unexpected(blob.error());
  co_return std::make_unique<KeptLog>(source.pool, std::move(*blob), request.offset);
}

}  // namespace agentrouter::worker
