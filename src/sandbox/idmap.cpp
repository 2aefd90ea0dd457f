#include "sandbox/idmap.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "sandbox/clone.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using base::Result;

Result<Fd> clone_tree(int folder, unsigned flags) {
  Fd tree(static_cast<int>(
      ::syscall(SYS_open_tree, folder, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags)));
  if (!tree) return base::fail_errno("cannot clone a mount", errno);
  return tree;
}

Result<void> set_attributes(int tree, std::uint64_t attributes, unsigned flags, int user_namespace) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  if (user_namespace >= 0) {
    wanted.attr_set |= MOUNT_ATTR_IDMAP;
    wanted.userns_fd = static_cast<std::uint64_t>(user_namespace);
  }
  if (::syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | flags, &wanted, sizeof wanted) != 0) {
    return base::fail_errno("cannot set a mount's attributes", errno);
  }
  return {};
}

Result<void> write_map(pid_t pid, const char* file, const std::string& lines) {
  const auto path = "/proc/" + std::to_string(pid) + "/" + file;
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open " + path, errno);
  return base::write_all(fd.get(), lines);
}

Result<Fd> make_user_namespace(const std::string& uid_map, const std::string& gid_map) {
  auto process = IdleProcess::start(CLONE_NEWUSER);
  if (!process) return tl::unexpected(process.error());
  if (auto done = write_map(process->pid(), "uid_map", uid_map); !done) return tl::unexpected(done.error());
  if (auto done = write_map(process->pid(), "gid_map", gid_map); !done) return tl::unexpected(done.error());
  const auto path = "/proc/" + std::to_string(process->pid()) + "/ns/user";
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open " + path, errno);
  return fd;
}

}  // namespace

std::string exchange_map(std::uint32_t owner, UidRange range) {
  constexpr std::uint32_t agent = 1000;
  std::string lines;
  const auto line = [&](std::uint32_t from, std::uint32_t to, std::uint32_t count) {
    if (count == 0) return;
    lines +=
        std::to_string(from) + " " + std::to_string(range.base + to) + " " + std::to_string(count) + "\n";
  };
  const auto low = std::min(owner, agent), high = std::max(owner, agent);
  line(0, 0, low);
  if (owner == agent) {
    line(agent, agent, UidRange::size - agent);
  } else if (owner >= UidRange::size) {
    // Beyond the range: it takes the agent's place, and nobody takes its own.
    line(agent + 1, agent + 1, UidRange::size - agent - 1);
    line(owner, agent, 1);
  } else {
    line(low, high, 1);
    line(low + 1, low + 1, high - low - 1);
    line(high, low, 1);
    line(high + 1, high + 1, UidRange::size - high - 1);
  }
  return lines;
}

Result<Fd> clone_mount(int folder, Access access) {
  auto tree = clone_tree(folder, AT_RECURSIVE);
  if (!tree) return tree;
  const std::uint64_t attributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (access == Access::read_only ? MOUNT_ATTR_RDONLY : 0);
  if (auto done = set_attributes(tree->get(), attributes, AT_RECURSIVE, -1); !done) {
    return tl::unexpected(done.error());
  }
  return tree;
}

Result<Fd> clone_mapped(int folder, UidRange range) {
  struct stat info{};
  if (::fstat(folder, &info) != 0) return base::fail_errno("cannot look at the workspace", errno);
  auto tree = clone_tree(folder, 0);
  if (!tree) return tree;
  auto space = make_user_namespace(exchange_map(info.st_uid, range), exchange_map(info.st_gid, range));
  if (!space) return space;
  constexpr std::uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY;
  auto done = set_attributes(tree->get(), attributes, 0, space->get());
  if (!done) {
    return base::fail(base::Code::unsupported,
                      "cannot show the workspace as the agent's own: " + done.error().message);
  }
  return tree;
}

Result<Fd> LayerMounts::clone(int layer) {
  struct stat info{};
  if (::fstatat(layer, "upper", &info, AT_SYMLINK_NOFOLLOW) != 0)
    return base::fail_errno("cannot look at a kept layer", errno);
  const auto offset = info.st_uid - UidRange::first;
  const auto owner = UidRange::of_slot(offset / UidRange::size);
  if (info.st_uid < UidRange::first || offset / UidRange::size >= UidRange::slots ||
      info.st_uid != owner.agent() || info.st_gid != owner.agent())
    return base::fail(base::Code::invalid, "cannot use a kept layer: it is of no attempt");
  if (owner.base == range_.base) return clone_mount(layer, Access::read_only);
  auto tree = clone_tree(layer, 0);
  if (!tree) return tree;
  auto& space = spaces_[owner.base];
  if (!space) {
    const auto map = std::to_string(owner.base) + " " + std::to_string(range_.base) + " " +
                     std::to_string(UidRange::size) + "\n";
    auto made = make_user_namespace(map, map);
    if (!made) return made;
    space = std::move(*made);
  }
  constexpr std::uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY;
  if (auto done = set_attributes(tree->get(), attributes, 0, space.get()); !done)
    return base::fail(base::Code::unsupported, "cannot show a kept layer: " + done.error().message);
  return tree;
}

}  // namespace agentrouter::sandbox
