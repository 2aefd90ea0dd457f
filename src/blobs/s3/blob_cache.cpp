#include "blobs/s3/blob_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <vector>

#include "base/file.h"

namespace agentrouter::blobs {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view filling_prefix = ".filling-";
constexpr std::size_t digest_digits = 64;

[[noreturn]] void refuse_filling(const std::string& action, int errno_value) {
  auto error = base::fail_errno(action, errno_value).value();
  error.reason = errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG ? "storage_full"
                                                                                        : "storage_failed";
  error.code = base::Code::unavailable;
  throw base::Failure(std::move(error));
}

// ".filling-<pid>-<n>" of a process that is not there any more.
bool is_left_over(const std::string& name) {
  if (!name.starts_with(filling_prefix)) return false;
  int pid = 0;
  const auto* begin = name.data() + filling_prefix.size();
  const auto read = std::from_chars(begin, name.data() + name.size(), pid);
  if (read.ec != std::errc() || pid <= 0) return true;
  return pid != ::getpid() && ::kill(pid, 0) != 0 && errno == ESRCH;
}

std::string digest_of_file(int fd) {
  base::Sha256 hash;
  std::string piece(256u << 10, '\0');
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, piece.data(), piece.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {};
    if (got == 0) return hash.hex();
    hash.update({piece.data(), static_cast<std::size_t>(got)});
    at += got;
  }
}

struct Kept {
  fs::path path;
  std::int64_t bytes = 0;
  timespec used{};
};

bool used_before(const Kept& a, const Kept& b) {
  return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec : a.used.tv_nsec < b.used.tv_nsec;
}

}  // namespace

FillingFile::~FillingFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void FillingFile::write(std::string_view bytes) {
  hash_.update(bytes);
  size_ += static_cast<std::int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) refuse_filling("cannot write " + path_.string(), errno);
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void FillingFile::clear() {
  if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) < 0)
    refuse_filling("cannot begin " + path_.string() + " anew", errno);
  hash_ = base::Sha256();
  size_ = 0;
}

base::Fd FillingFile::take() {
  ::lseek(fd_.get(), 0, SEEK_SET);
  return std::move(fd_);
}

base::Result<std::unique_ptr<BlobCache>> BlobCache::open(const fs::path& folder, std::int64_t bytes) {
  if (auto made = base::make_directories(folder); !made) return tl::unexpected(made.error());
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (is_left_over(entry.path().filename().string())) ::unlink(entry.path().c_str());
  }
  if (error) return base::fail_errno("cannot read folder " + folder.string(), error.value());
  auto cache = std::make_unique<BlobCache>(folder, bytes, std::to_string(::getpid()));
  cache->make_room(0);
  return cache;
}

std::unique_ptr<FillingFile> BlobCache::make() {
  static std::atomic<std::uint64_t> next = 1;  // also of another cache of this process on the same folder
  auto path = folder_ / (std::string(filling_prefix) + own_ + "-" + std::to_string(next++));
  base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) refuse_filling("cannot create " + path.string(), errno);
  return std::make_unique<FillingFile>(std::move(path), std::move(fd));
}

base::Fd BlobCache::find(const std::string& sha256) {
  const auto path = folder_ / sha256;
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fd;
  if (digest_of_file(fd.get()) != sha256) {
    ::unlink(path.c_str());
    return {};
  }
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return fd;
}

void BlobCache::keep(FillingFile& file) {
  if (file.size() > bytes_ || bytes_ == 0) return;
  const auto name = file.sha256();
  const std::lock_guard lock(mutex_);
  make_room(file.size());
  if (::rename(file.path_.c_str(), (folder_ / name).c_str()) == 0) file.path_.clear();
}

void BlobCache::forget(const std::string& sha256) {
  ::unlink((folder_ / sha256).c_str());
}

// Removes the least recently used until there is room for so many more.
void BlobCache::make_room(std::int64_t bytes) {
  std::vector<Kept> kept;
  std::int64_t total = bytes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    struct stat info{};
    if (entry.path().filename().string().size() != digest_digits || ::stat(entry.path().c_str(), &info) != 0)
      continue;
    kept.push_back({entry.path(), info.st_size, info.st_mtim});
    total += info.st_size;
  }
  if (total <= bytes_) return;
  std::ranges::sort(kept, used_before);
  for (const auto& one : kept) {
    if (total <= bytes_) return;
    if (::unlink(one.path.c_str()) == 0) total -= one.bytes;
  }
}

}  // namespace agentrouter::blobs
