#include "keeper/boundary_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

namespace agentrouter::keeper {
namespace {

constexpr std::size_t piece_bytes = 256u << 10;
constexpr int depth_at_most = 48;
constexpr int wall_for_cpu = 20;  // a machine that is busy with others is no reason to look at less

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

Folder open_folder(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  Folder folder(fd ? ::fdopendir(fd.get()) : nullptr);
  if (folder) (void)fd.release();
  return folder;
}

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Somebody listens there. A name that is too long for an address cannot be connected to by it.
bool answers(int folder, const char* name) {
  const std::string path = "/proc/self/fd/" + std::to_string(folder) + "/" + name;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return true;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    const base::Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket && (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
                   errno == EAGAIN))
      return true;
  }
  return false;
}

}  // namespace

std::string text_of(const std::string& path, std::size_t most) {
  const base::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  std::string text;
  while (fd && text.size() < most) {
    char piece[4096];
    const ssize_t size = ::read(fd.get(), piece, sizeof piece);
    if (size <= 0) break;
    text.append(piece, static_cast<std::size_t>(size));
  }
  return text;
}

FileSearch::FileSearch(const base::Redactor& secrets, const LookLimits& limits, BoundaryReport& report)
    : secrets_(secrets),
      limits_(limits),
      report_(report),
      end_(std::chrono::steady_clock::now() + wall_for_cpu * limits.time),
      cpu_end_(cpu_time() + limits.time) {}

bool FileSearch::may_go_on() {
  if (entries_ >= limits_.entries || bytes_ >= limits_.bytes || cpu_time() >= cpu_end_ ||
      std::chrono::steady_clock::now() >= end_)
    complete_ = false;
  return complete_;
}

std::optional<std::string> FileSearch::search(const std::string& path, const std::string& shown,
                                              const std::set<std::string>& skip) {
  waiting_.push_back({path, shown, 0});
  while (!waiting_.empty() && complete_) {
    const Place place = std::move(waiting_.back());
    waiting_.pop_back();
    if (enter(place, skip)) return found_;
  }
  waiting_.clear();
  return std::nullopt;
}

bool FileSearch::enter(const Place& place, const std::set<std::string>& skip) {
  const auto folder = open_folder(place.path);
  if (!folder) return false;
  while (const dirent* entry = may_go_on() ? ::readdir(folder.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const Place next{place.path + "/" + entry->d_name, (place.shown == "/" ? "" : place.shown) + "/" + entry->d_name,
                     place.depth + 1};
    if (skip.contains(next.shown)) continue;
    ++entries_;
    if (look_at(::dirfd(folder.get()), entry->d_name, next)) return true;
  }
  return false;
}

bool FileSearch::look_at(int folder, const char* name, const Place& place) {
  struct stat info{};
  if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return false;
  // A name that is a secret is not shown.
  found_ = secrets_.occurs_in(name) ? place.shown.substr(0, place.shown.rfind('/')) + "/..." : place.shown;
  if (found_ != place.shown) return true;
  if (S_ISDIR(info.st_mode)) {
    cut_ = cut_ || place.depth >= depth_at_most;
    if (place.depth < depth_at_most) waiting_.push_back(place);
    return false;
  }
  if (S_ISLNK(info.st_mode)) {
    char target[4096];
    const ssize_t size = ::readlinkat(folder, name, target, sizeof target);
    return size > 0 && secrets_.occurs_in({target, static_cast<std::size_t>(size)});
  }
  if (S_ISSOCK(info.st_mode)) {
    socket_ = asks_sockets_ && answers(folder, name);
    return socket_;
  }
  return S_ISREG(info.st_mode) && info.st_size > 0 && file_holds(folder, name, static_cast<std::uint64_t>(info.st_size));
}

bool FileSearch::file_holds(int folder, const char* name, std::uint64_t size) {
  const base::Fd fd(::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!fd) return false;
  ++report_.files;
  const bool only_head = size > limits_.file_bytes && limits_.head_bytes > 0;
  const std::uint64_t most = only_head ? limits_.head_bytes : limits_.file_bytes;
  buffer_.resize(piece_bytes);
  // The end of each piece is looked at again with the next one, line ends included.
  const std::size_t again = std::min(2 * secrets_.longest(), piece_bytes / 2);
  std::size_t kept = 0;
  for (std::uint64_t at = 0; at < most;) {
    const auto room = std::min<std::uint64_t>(piece_bytes - kept, most - at);
    const ssize_t got = ::read(fd.get(), buffer_.data() + kept, room);
    if (got <= 0) return false;
    at += static_cast<std::uint64_t>(got);
    bytes_ += static_cast<std::uint64_t>(got);
    report_.bytes += static_cast<std::uint64_t>(got);
    const std::size_t all = kept + static_cast<std::size_t>(got);
    if (secrets_.occurs_in(std::string_view(buffer_).substr(0, all))) return true;
    kept = std::min(again, all);
    std::memmove(buffer_.data(), buffer_.data() + all - kept, kept);
    if (!may_go_on()) return false;
  }
  cut_ = cut_ || (size > most && !only_head);
  return false;
}

}  // namespace agentrouter::keeper
