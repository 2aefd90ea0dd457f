#include "apps/copied_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 256u << 10;

base::Result<base::Fd> open_file(const fs::path& path) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return base::fail_errno("cannot read " + path.string(), errno);
  if (!S_ISREG(info.st_mode)) return base::fail(base::Code::not_found, path.string() + " is no file");
  return fd;
}

// Calls `take` with every piece.
base::Result<CopiedFile> read_through(int fd, const fs::path& path,
                                      const std::function<base::Result<void>(std::string_view)>& take) {
  base::Sha256 hash;
  CopiedFile file;
  std::string piece(piece_bytes, '\0');
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read " + path.string(), errno);
    if (got == 0) break;
    const std::string_view bytes(piece.data(), static_cast<std::size_t>(got));
    hash.update(bytes);
    file.bytes += got;
    if (auto taken = take(bytes); !taken) return tl::unexpected(taken.error());
  }
  file.sha256 = hash.hex();
  return file;
}

base::Result<void> keep_marks(const fs::path& to, const struct stat& info) {
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (::geteuid() == 0 && ::lchown(to.c_str(), info.st_uid, info.st_gid) != 0)
    return base::fail_errno("cannot give away " + to.string(), errno);
  if (!S_ISLNK(info.st_mode) && ::chmod(to.c_str(), info.st_mode & 07777) != 0)
    return base::fail_errno("cannot set the mode of " + to.string(), errno);
  if (::utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return base::fail_errno("cannot set the time of " + to.string(), errno);
  return {};
}

base::Result<std::vector<std::string>> names_in(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename().string());
  if (error) return base::fail_errno("cannot read " + folder.string(), error.value());
  std::sort(names.begin(), names.end());
  return names;
}

base::Result<struct stat> look_at(const fs::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return base::fail_errno("cannot look at " + path.string(), errno);
  return info;
}

base::Result<void> copy_entry(const fs::path& from, const fs::path& to) {
  AGENTROUTER_TRY(const struct stat info, look_at(from));
  if (S_ISDIR(info.st_mode)) {
    if (::mkdir(to.c_str(), 0700) != 0) return base::fail_errno("cannot make " + to.string(), errno);
    AGENTROUTER_TRY(const auto names, names_in(from));
    for (const auto& name : names) {
      if (auto copied = copy_entry(from / name, to / name); !copied) return copied;
    }
    if (auto synced = base::sync_directory(to); !synced) return synced;
  } else if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    fs::create_symlink(fs::read_symlink(from, error), to, error);
    if (error) return base::fail_errno("cannot make " + to.string(), error.value());
  } else if (S_ISREG(info.st_mode)) {
    AGENTROUTER_TRY(const auto copied, copy_durably(from, to));
    (void)copied;
  } else {
    return base::fail(base::Code::unsupported, "cannot copy " + from.string() + ": neither file, folder nor link");
  }
  return keep_marks(to, info);
}

base::Result<void> digest_entry(const fs::path& path, const std::string& name, base::Sha256& hash,
                                CopiedFile& sum) {
  AGENTROUTER_TRY(const struct stat info, look_at(path));
  const auto field = [&hash](std::string_view text) {
    hash.update(text);
    hash.update({"\0", 1});
  };
  field(name);
  field(std::to_string(info.st_mode));
  if (S_ISDIR(info.st_mode)) {
    AGENTROUTER_TRY(const auto names, names_in(path));
    for (const auto& below : names) {
      if (auto done = digest_entry(path / below, name + "/" + below, hash, sum); !done) return done;
    }
  } else if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    field(fs::read_symlink(path, error).string());
  } else {
    AGENTROUTER_TRY(const CopiedFile file, digest_of(path));
    field(file.sha256);
    sum.bytes += file.bytes;
  }
  return {};
}

}  // namespace

base::Result<CopiedFile> digest_of(const fs::path& path) {
  AGENTROUTER_TRY(const base::Fd fd, open_file(path));
  return read_through(fd.get(), path, [](std::string_view) { return base::Result<void>(); });
}

base::Result<CopiedFile> copy_durably(const fs::path& from, const fs::path& to, unsigned mode) {
  AGENTROUTER_TRY(const base::Fd in, open_file(from));
  fs::path temporary = to;
  temporary += ".part";
  const base::Fd out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!out) return base::fail_errno("cannot make " + temporary.string(), errno);
  auto copied =
      read_through(in.get(), from, [&](std::string_view bytes) { return base::write_all(out.get(), bytes); });
  if (copied && ::fsync(out.get()) != 0) copied = base::fail_errno("cannot sync " + to.string(), errno);
  if (copied && ::rename(temporary.c_str(), to.c_str()) != 0)
    copied = base::fail_errno("cannot rename to " + to.string(), errno);
  if (!copied) {
    ::unlink(temporary.c_str());
    return copied;
  }
  if (auto synced = base::sync_directory(to.parent_path()); !synced) return tl::unexpected(synced.error());
  return copied;
}

base::Result<void> copy_tree(const fs::path& from, const fs::path& to) {
  if (auto copied = copy_entry(from, to); !copied) return copied;
  return base::sync_directory(to.parent_path());
}

base::Result<CopiedFile> digest_of_tree(const fs::path& folder) {
  base::Sha256 hash;
  CopiedFile sum;
  if (auto done = digest_entry(folder, "", hash, sum); !done) return tl::unexpected(done.error());
  sum.sha256 = hash.hex();
  return sum;
}

base::Result<std::vector<std::string>> files_below(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->symlink_status().type() == fs::file_type::regular)
      files.push_back(at->path().lexically_relative(folder).string());
  }
  if (error) return base::fail_errno("cannot read " + folder.string(), error.value());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace agentrouter::apps
