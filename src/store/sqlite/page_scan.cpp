#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/page_checksum.h"

namespace agentrouter::store {
namespace {

constexpr int looks_at_most = 20;

base::Result<base::Fd> open_database(const std::filesystem::path& path, int flags) {
  base::Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open " + path.string(), errno);
  return fd;
}

// As many bytes as there are.
base::Result<std::size_t> read_page(int fd, std::uint64_t at, char* to, std::size_t size) {
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, to + got, size - got, static_cast<off_t>(at + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::fail_errno("cannot read the database", errno);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

base::Result<PageFormat> format_of(int fd) {
  std::array<char, database_head_bytes> head{};
  AGENTROUTER_TRY(const std::size_t got, read_page(fd, 0, head.data(), head.size()));
  if (got == 0) return PageFormat{};  // a database without a page
  auto format = got == head.size() ? page_format({head.data(), head.size()}) : std::nullopt;
  if (!format) return base::fail(base::Code::corrupt, "the file is no database", "store_corrupt");
  return *format;
}

// One that is just being written to is whole a moment later.
base::Result<bool> is_damaged(int fd, std::uint64_t at, std::string& page) {
  for (int look = 0; look < looks_at_most; ++look) {
    AGENTROUTER_TRY(const std::size_t got, read_page(fd, at, page.data(), page.size()));
    if (got < page.size() || is_whole_page(page)) return false;
    sqlite3_sleep(5);
  }
  return true;
}

}  // namespace

base::Result<PageScan> scan_pages(const std::filesystem::path& database, std::size_t at_most) {
  AGENTROUTER_TRY(const base::Fd fd, open_database(database, O_RDONLY));
  AGENTROUTER_TRY(const PageFormat format, format_of(fd.get()));
  PageScan scan;
  scan.has_checksums = format.has_checksums;
  if (format.size == 0) return scan;
  const auto size = static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END));
  scan.pages = size / format.size;
  std::string page(format.size, '\0');
  for (std::uint64_t n = 0; format.has_checksums && n < scan.pages; ++n) {
    AGENTROUTER_TRY(const bool damaged, is_damaged(fd.get(), n * format.size, page));
    if (damaged) scan.damaged.push_back(n + 1);
    if (scan.damaged.size() == at_most) break;
  }
  return scan;
}

base::Result<void> seal_pages(const std::filesystem::path& database) {
  AGENTROUTER_TRY(const base::Fd fd, open_database(database, O_RDWR));
  AGENTROUTER_TRY(const PageFormat format, format_of(fd.get()));
  if (!format.has_checksums) return {};
  const auto size = static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END));
  std::string page(format.size, '\0');
  for (std::uint64_t at = 0; at + format.size <= size; at += format.size) {
    AGENTROUTER_TRY(const std::size_t got, read_page(fd.get(), at, page.data(), page.size()));
    if (got < page.size() || is_whole_page(page)) continue;
    put_page_checksum(page);
    if (::pwrite(fd.get(), page.data(), page.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(page.size()))
      return base::fail_errno("cannot write " + database.string(), errno);
  }
  if (::fsync(fd.get()) != 0) return base::fail_errno("cannot sync " + database.string(), errno);
  return {};
}

}  // namespace agentrouter::store
