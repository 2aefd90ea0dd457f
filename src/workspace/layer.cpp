#include "workspace/layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "workspace/beneath.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

Node describe(const struct stat& info) {
  Node node;
  node.size = info.st_size < 0 ? 0 : static_cast<std::uint64_t>(info.st_size);
  node.executable = S_ISREG(info.st_mode) && (info.st_mode & S_IXUSR) != 0;
  if (S_ISREG(info.st_mode)) {
    node.kind = Kind::file;
  } else if (S_ISLNK(info.st_mode)) {
    node.kind = Kind::link;
  } else if (S_ISDIR(info.st_mode)) {
    node.kind = Kind::folder;
  } else if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) {
    node.kind = Kind::whiteout;
  } else {
    node.kind = Kind::other;
  }
  return node;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::pair<std::string, std::string> split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {std::string(), path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<std::string> read_link(int folder, const std::string& name) {
  std::string target(4096, '\0');
  const auto got = ::readlinkat(folder, name.c_str(), target.data(), target.size());
  if (got < 0) return fail_errno("cannot read link " + name, errno);
  target.resize(static_cast<std::size_t>(got));
  return target;
}

}  // namespace

Folder Folder::root(int fd) {
  if (fd < 0) return {};
  return Folder(Fd(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

Node Folder::stat(const std::string& name) const {
  struct stat info;
  if (!fd_ || ::fstatat(fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
    return {};
  return describe(info);
}

std::optional<struct ::stat> Folder::attributes(const std::string& name) const {
  struct stat info;
  if (!fd_ || ::fstatat(fd_.get(), name.empty() ? "." : name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  return info;
}

Kind kind_of(const struct ::stat& info) {
  return describe(info).kind;
}

Result<Folder> Folder::open(const std::string& path) const {
  if (!fd_) return Folder();
  Fd fd = open_beneath(fd_.get(), path, O_RDONLY | O_DIRECTORY, Mounts::refuse);
  if (!fd && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
    return fail_errno("cannot open folder " + path, errno);
  }
  return Folder(std::move(fd));
}

Result<Fd> Folder::open_file(const std::string& path) const {
  if (!fd_) return fail(Code::not_found, "there is no " + path);
  // Asked before it is opened: opening a device can already have an effect.
  Fd seen = open_beneath(fd_.get(), path, O_PATH, Mounts::refuse);
  struct stat info;
  if (!seen || ::fstat(seen.get(), &info) != 0) return fail_errno("cannot open " + path, errno);
  if (!S_ISREG(info.st_mode)) return fail(Code::not_found, path + " is not a file");
  Fd fd = open_beneath(fd_.get(), path, O_RDONLY, Mounts::refuse);
  if (!fd || ::fstat(fd.get(), &info) != 0) return fail_errno("cannot open " + path, errno);
  if (!S_ISREG(info.st_mode)) return fail(Code::not_found, path + " is not a file");
  return fd;
}

Result<std::string> Folder::read(const std::string& path, Kind kind, std::uint64_t max_bytes) const {
  if (kind == Kind::link) {
    const auto [parent, name] = split(path);
    if (parent.empty()) return read_link(fd_.get(), name);
    AGENTROUTER_TRY(const auto folder, open(parent));
    return read_link(folder.fd_.get(), name);
  }
  AGENTROUTER_TRY(const auto file, open_file(path));
  return base::read_all(file.get(), max_bytes);
}

Result<std::vector<std::string>> Folder::names(std::uint64_t max_names) const {
  std::vector<std::string> names;
  if (!fd_) return names;
  Fd copy(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return fail_errno("cannot list a folder", errno);
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(copy.get()));
  if (!dir) return fail_errno("cannot list a folder", errno);
  (void)copy.release();
  for (;;) {
    errno = 0;
    const auto* entry = ::readdir(dir.get());
    if (!entry && errno != 0) return fail_errno("cannot list a folder", errno);
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() >= max_names) return fail(Code::exhausted, "a folder has too many entries");
    names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Folder::is_opaque() const {
  std::array<char, 8> value{};
  const auto got = fd_ ? ::fgetxattr(fd_.get(), "user.overlay.opaque", value.data(), value.size()) : -1;
  return got == 1 && value[0] == 'y';
}

}  // namespace agentrouter::workspace
