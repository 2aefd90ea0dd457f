#include "blobs/fs/fs_blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/file.h"
#include "base/hash.h"

namespace agentrouter::blobs {

namespace {

constexpr std::string_view temporary_folder = ".tmp";
constexpr int deepest_folder = 8;

[[noreturn]] void refuse(const std::string& action, int errno_value) {
  auto error = base::fail_errno(action, errno_value).value();
  const bool full = errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG;
  error.code = base::Code::unavailable;
  error.reason = full ? "storage_full" : "storage_failed";
  throw base::Failure(std::move(error));
}

void or_refuse(const base::Result<void>& done) {
  if (done) return;
  auto error = done.error();
  error.reason = error.code == base::Code::exhausted ? "storage_full" : "storage_failed";
  error.code = base::Code::unavailable;
  throw base::Failure(std::move(error));
}

// Makes each missing folder and fsyncs the one that it was made in, so that a committed blob cannot vanish
// with its folder.
void make_durable_folders(const std::filesystem::path& folder) {
  if (::mkdir(folder.c_str(), 0700) == 0) return or_refuse(base::sync_directory(folder.parent_path()));
  if (errno == EEXIST) return;
  if (errno != ENOENT) refuse("cannot make folder " + folder.string(), errno);
  make_durable_folders(folder.parent_path());
  make_durable_folders(folder);
}

// Removes folders from the leaves up; one that holds a file stays.
void prune(const std::filesystem::path& folder, int depth) {
  if (::rmdir(folder.c_str()) == 0 || (errno != ENOTEMPTY && errno != EEXIST) || depth == 0) return;
  std::error_code error;
  std::vector<std::filesystem::path> inner;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::error_code unknown;
    if (entry.symlink_status(unknown).type() == std::filesystem::file_type::directory) inner.push_back(entry.path());
  }
  for (const auto& one : inner) prune(one, depth - 1);
  ::rmdir(folder.c_str());
}

class FsWriter final : public BlobWriter {
 public:
  FsWriter(std::filesystem::path temporary, std::filesystem::path target)
      : temporary_(std::move(temporary)), target_(std::move(target)) {
    fd_ = base::Fd(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd_) refuse("cannot create " + temporary_.string(), errno);
  }
  ~FsWriter() override {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t wrote = ::write(fd_.get(), bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) refuse("cannot write " + target_.string(), errno);
      hash_.update(bytes.substr(0, static_cast<std::size_t>(wrote)));
      size_ += wrote;
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
  }

  BlobInfo written() const override { return {size_, hash_.hex()}; }

  BlobInfo commit() override {
    if (::fsync(fd_.get()) != 0) refuse("cannot sync " + temporary_.string(), errno);
    make_durable_folders(target_.parent_path());
    if (::rename(temporary_.c_str(), target_.c_str()) != 0)
      refuse("cannot rename to " + target_.string(), errno);
    committed_ = true;
    or_refuse(base::sync_directory(target_.parent_path()));
    return {size_, hash_.hex()};
  }

 private:
  std::filesystem::path temporary_;
  std::filesystem::path target_;
  base::Fd fd_;
  base::Sha256 hash_;
  std::int64_t size_ = 0;
  bool committed_ = false;
};

class FsBlobs final : public BlobStore {
 public:
  explicit FsBlobs(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::unique_ptr<BlobWriter> create(std::string_view key) override {
    if (!is_blob_key(key)) throw base::Failure(bad_blob_key(key));
    return std::make_unique<FsWriter>(folder_ / temporary_folder / std::to_string(next_++), folder_ / key);
  }

  base::Result<Blob> open(std::string_view key, std::string_view) override {
    if (!is_blob_key(key)) return tl::unexpected(bad_blob_key(key));
    const auto path = folder_ / key;
    Blob blob{.fd = base::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW))};
    if (!blob.fd && (errno == ENOENT || errno == ENOTDIR)) {
      return base::fail(base::Code::not_found, "no blob " + std::string(key));
    }
    if (!blob.fd) return base::fail_errno("cannot open " + path.string(), errno);
    struct stat info{};
    if (::fstat(blob.fd.get(), &info) != 0) return base::fail_errno("cannot stat " + path.string(), errno);
    if (!S_ISREG(info.st_mode)) return base::fail(base::Code::not_found, "no blob " + std::string(key));
    blob.size = info.st_size;
    return blob;
  }

  bool exists(std::string_view key) override {
    struct stat info{};
    return is_blob_key(key) && ::lstat((folder_ / key).c_str(), &info) == 0 && S_ISREG(info.st_mode);
  }

  void remove_empty(std::string_view folder) override {
    if (!is_blob_key(folder)) throw base::Failure(bad_blob_key(folder));
    prune(folder_ / folder, deepest_folder);
  }

  void remove(std::string_view key) override {
    if (!is_blob_key(key)) throw base::Failure(bad_blob_key(key));
    const auto path = folder_ / key;
    if (::unlink(path.c_str()) == 0) return or_refuse(base::sync_directory(path.parent_path()));
    if (errno != ENOENT && errno != ENOTDIR) refuse("cannot remove " + path.string(), errno);
  }

 private:
  std::filesystem::path folder_;
  std::atomic<std::uint64_t> next_{1};
};

base::Result<void> sweep(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& left : std::filesystem::directory_iterator(folder, error)) {
    if (::unlink(left.path().c_str()) != 0 && errno != ENOENT) {
      return base::fail_errno("cannot remove " + left.path().string(), errno);
    }
  }
  if (error) return base::fail_errno("cannot read folder " + folder.string(), error.value());
  return {};
}

}  // namespace

base::Result<std::unique_ptr<BlobStore>> open_fs_blobs(const std::filesystem::path& folder) {
  const auto temporary = folder / temporary_folder;
  if (auto made = base::make_directories(temporary); !made) return tl::unexpected(made.error());
  if (auto swept = sweep(temporary); !swept) return tl::unexpected(swept.error());
  return std::make_unique<FsBlobs>(folder);
}

}  // namespace agentrouter::blobs
