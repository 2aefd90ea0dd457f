#include "keeper/journal_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::keeper {
namespace {

base::Error disk_error(std::string action, int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return {base::Code::exhausted, std::move(action) + ": the disk is full", "storage_full"};
  }
  return base::fail_errno(std::move(action), error).value();
}

class DiskJournalFile final : public JournalFile {
 public:
  explicit DiskJournalFile(base::Fd fd) : fd_(std::move(fd)) {}

  base::Result<std::size_t> write_at(std::uint64_t offset, std::string_view bytes) override {
    for (;;) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n > 0) return static_cast<std::size_t>(n);
      if (n < 0 && errno == EINTR) continue;
      return tl::unexpected(disk_error("cannot write the journal", n == 0 ? ENOSPC : errno));
    }
  }

  base::Result<void> sync_once() override {
    if (::fdatasync(fd_.get()) != 0) return tl::unexpected(disk_error("cannot sync the journal", errno));
    return {};
  }

  base::Result<void> allocate(std::uint64_t size) override {
    if (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) == 0) return {};
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR) return {};
    return tl::unexpected(disk_error("cannot reserve space for the journal", errno));
  }

 private:
  base::Fd fd_;
};

}  // namespace

base::Result<void> JournalFile::sync() {
  if (refused_)
    return base::fail(base::Code::unavailable, "cannot sync the journal: the disk refused before");
  auto done = sync_once();
  if (!done) refused_ = true;
  return done;
}

std::unique_ptr<JournalFile> open_journal_file(base::Fd fd) {
  return std::make_unique<DiskJournalFile>(std::move(fd));
}

}  // namespace agentrouter::keeper
