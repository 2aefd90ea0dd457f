#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace agentrouter::base {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail_errno("cannot open " + path.string(), errno);
  auto text = read_all(fd.get(), max_bytes);
  if (!text) return fail(text.error().code, text.error().message + ": " + path.string());
  return text;
}

Result<void> write_file_durably(const std::filesystem::path& path, std::string_view bytes, unsigned mode) {
  static std::atomic<unsigned> counter{0};
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const auto name = "." + path.filename().string() + "." + std::to_string(::getpid()) + "." +
                    std::to_string(counter.fetch_add(1)) + ".tmp";
  const auto temporary = folder / name;
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return fail_errno("cannot create " + temporary.string(), errno);
  auto done = write_all(fd.get(), bytes);
  if (done && ::fsync(fd.get()) != 0) done = fail_errno("cannot sync " + temporary.string(), errno);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = fail_errno("cannot rename to " + path.string(), errno);
  }
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return sync_directory(folder);
}

Result<void> make_directories(const std::filesystem::path& path) {
  if (path.empty()) return {};
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return fail(Code::conflict, "cannot use " + path.string() + " as a folder: it is a file");
  }
  if (path.has_parent_path() && path.parent_path() != path) {
    if (auto parent = make_directories(path.parent_path()); !parent) return parent;
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("cannot make folder " + path.string(), errno);
  return {};
}

Result<Fd> open_directory(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open folder " + path.string(), errno);
  return fd;
}

Result<void> sync_directory(const std::filesystem::path& path) {
  auto fd = open_directory(path);
  if (!fd) return tl::unexpected(fd.error());
  if (::fsync(fd->get()) != 0) return fail_errno("cannot sync folder " + path.string(), errno);
  return {};
}

std::string path_through_fd(int directory, std::string_view name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + std::string(name);
}

}  // namespace agentrouter::base
