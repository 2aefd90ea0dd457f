#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "sandbox/remove_tree.h"
#include "sandbox/start.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using base::Result;

struct Owner {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

// What a folder is to look like.
struct FolderLook {
  mode_t mode = 0700;
  Owner owner;
  std::optional<timespec> mtime = {};
};

Result<void> make_folder(int at, const char* name, const FolderLook& look) {
  if (::mkdirat(at, name, 0700) != 0 && errno != EEXIST) {
    return base::fail_errno(std::string("cannot make the attempt's folder ") + name, errno);
  }
  Fd folder(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const timespec times[2] = {{0, UTIME_OMIT}, look.mtime.value_or(timespec{0, UTIME_OMIT})};
  if (!folder || ::fchmod(folder.get(), look.mode) != 0 ||
      (look.owner.uid != static_cast<uid_t>(-1) &&
       ::fchown(folder.get(), look.owner.uid, look.owner.gid) != 0) ||
      ::futimens(folder.get(), times) != 0) {
    return base::fail_errno(std::string("cannot prepare the attempt's folder ") + name, errno);
  }
  return {};
}

// The merged root looks as the topmost folder does: as an earlier turn has left it, else as `otherwise`.
FolderLook look_of_root(const CheckedLaunch& launch, const char* part, FolderLook otherwise) {
  struct stat info{};
  const bool home = std::string_view(part) == "home";
  const auto count = home ? launch.record->spec.home_layers : launch.record->spec.layer_count;
  if (count == 0 || ::fstatat(launch.layers.front(), part, &info, AT_SYMLINK_NOFOLLOW) != 0) return otherwise;
  return {info.st_mode & 01777, otherwise.owner, info.st_mtim};
}

}  // namespace

Result<void> make_folders(const CheckedLaunch& launch, int attempt, bool root) {
  const auto range = UidRange::of_slot(launch.slot);
  const Owner agent = root ? Owner{range.agent(), range.agent()} : Owner{};
  const Owner inside = root ? Owner{range.init(), range.init()} : Owner{};
  mode_t mode = 0755;
  struct stat info{};
  if (launch.lower >= 0 && ::fstat(launch.lower, &info) == 0) mode = (info.st_mode & 0777) | 0700;
  // Init has to pass through the box; it is moved elsewhere when its content is kept.
  if (auto made = make_folder(attempt, box_folder, {0711, Owner{}}); !made) return made;
  const Fd box(::openat(attempt, box_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct {
    int at;
    const char* name;
    FolderLook look;
  } const folders[] = {{box.get(), "upper", look_of_root(launch, "upper", {mode, agent})},
                       {box.get(), "home", look_of_root(launch, "home", {0700, agent})},
                       {attempt, "work", {0700, inside}},
                       {attempt, "work-home", {0700, inside}},
                       {attempt, "lower", {0755, Owner{}}}};
  // An overlay that was volatile, of a launch that failed, cannot be mounted on its work folder again.
  for (const char* work : {"work", "work-home"}) {
    if (auto removed = remove_tree(attempt, work); !removed) return removed;
  }
  for (const auto& folder : folders) {
    if (auto made = make_folder(folder.at, folder.name, folder.look); !made) return made;
  }
  if (!root) return {};
  // Init has to pass through it, the keeper to write in it; DATA/attempts keeps everybody else out.
  if (::fchmod(attempt, 0711) != 0 || ::fchown(attempt, range.keeper(), range.keeper()) != 0) {
    return base::fail_errno("cannot give the attempt's folder to its keeper", errno);
  }
  return {};
}

}  // namespace agentrouter::sandbox
