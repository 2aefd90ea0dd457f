#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

// As in linux/landlock.h of the newest version that is used here; the header of the machine may be older.
namespace agentrouter::sandbox::init {
namespace {

struct RulesetAttributes {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scoped;
};
struct __attribute__((packed)) BeneathRule {
  std::uint64_t allowed;
  std::int32_t parent;
};

constexpr int create_ruleset = 444, add_rule = 445, restrict_self = 446;
constexpr unsigned ask_version = 1;
constexpr unsigned rule_path_beneath = 1;

enum Right : std::uint64_t {
  execute_file = 1 << 0,
  write_file = 1 << 1,
  read_file = 1 << 2,
  read_dir = 1 << 3,
  make_char = 1 << 6,
  make_block = 1 << 11,
  refer = 1 << 13,
  truncate_file = 1 << 14,
  ioctl_device = 1 << 15,
};

constexpr std::uint64_t look = execute_file | read_file | read_dir;
constexpr std::uint64_t of_files = execute_file | write_file | read_file | truncate_file | ioctl_device;
constexpr std::uint64_t abstract_sockets_and_signals = 3;

// Every right that a version knows: what is not granted is refused.
std::uint64_t known_rights(int version) {
  if (version >= 5) return (1u << 16) - 1;
  if (version >= 3) return (1u << 15) - 1;
  return (1u << 14) - 1;
}

class Ruleset {
 public:
  explicit Ruleset(int version) : known_(known_rights(version)) {
    const RulesetAttributes wanted{known_, 0, version >= 6 ? abstract_sockets_and_signals : 0};
    const unsigned size = version >= 6 ? sizeof wanted : version >= 4 ? 16 : 8;
    const int fd = static_cast<int>(syscall(create_ruleset, &wanted, size, 0));
    require(fd >= 0, "make the second fence");
    // Out of the way of what a child's descriptors become.
    fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    require(fd_ >= 0, "make the second fence");
    close(fd);
  }

  void allow_at(int place, std::uint64_t rights, const char* name) {
    struct stat info{};
    require(fstat(place, &info) == 0, "fence", name);
    if (!S_ISDIR(info.st_mode)) rights &= of_files;
    const BeneathRule rule{rights & known_, place};
    require(syscall(add_rule, fd_, rule_path_beneath, &rule, 0) == 0, "fence", name);
  }
  void allow(const char* path, std::uint64_t rights) {
    const int place = open(path, O_PATH | O_CLOEXEC);
    require(place >= 0, "fence", path);
    allow_at(place, rights, path);
    close(place);
  }

  [[nodiscard]] int get() const { return fd_; }
  // Whatever can be done with files and folders. Devices are made by nobody.
  [[nodiscard]] std::uint64_t all() const { return known_ & ~(make_char | make_block | ioctl_device); }

 private:
  std::uint64_t known_;
  int fd_ = -1;
};

void allow_view(Ruleset& rules, const Spec& spec) {
  if (spec.has_image) {
    rules.allow("/", look);
  } else {
    rules.allow("/", read_dir);
    for (const char* path : {"/usr", "/etc", "/proc"}) rules.allow(path, look);
  }
  // For our own programs; the agent has no way to them.
  for (unsigned i = 0; library_fd(i) >= 0; ++i) rules.allow_at(library_fd(i), look, "the libraries");
  for (unsigned i = 0; i < spec.bind_count; ++i) rules.allow(text_at(spec, spec.binds[i].to), look);
  for (unsigned i = 0; i < spec.file_count && i < max_files; ++i)
    rules.allow(text_at(spec, spec.files[i].path), look);
  rules.allow("/dev", read_file | read_dir | write_file | truncate_file | ioctl_device);
}

int fence_agent(int version, const Spec& spec) {
  Ruleset rules(version);
  allow_view(rules, spec);
  rules.allow("/workspace", spec.read_only_workspace ? look : rules.all());
  for (const char* path : {"/home/agent", "/tmp", "/dev/shm"}) rules.allow(path, rules.all());
  return rules.get();
}

int fence_collector(int version, const Spec& spec, const Grounds& grounds) {
  Ruleset rules(version);
  allow_view(rules, spec);
  for (const char* path : {"/workspace", "/home/agent", "/tmp"}) rules.allow(path, look);
  for (const int ground : {grounds.lower, grounds.upper, grounds.home})
    rules.allow_at(ground, read_file | read_dir, "the layers");
  return rules.get();
}

}  // namespace

Fences make_fences(const Setup& setup, const Grounds& grounds) {
  Fences fences;
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_no_landlock) return fences;
#endif
  const long version = syscall(create_ruleset, nullptr, 0, ask_version);
  // The first version cannot move a file to another folder.
  if (version < 2) return fences;
  fences.version = static_cast<int>(version);
  fences.agent = fence_agent(fences.version, setup.spec);
  fences.collector = fence_collector(fences.version, setup.spec, grounds);
  return fences;
}

bool enter_fence(int fence, int program) {
  if (fence < 0) return true;
  if (program >= 0) {
    const BeneathRule rule{execute_file | read_file, program};
    // What lies in memory only is outside of every fence anyway.
    if (syscall(add_rule, fence, rule_path_beneath, &rule, 0) != 0 && errno != EBADFD) return false;
  }
  return syscall(restrict_self, fence, 0) == 0;
}

}  // namespace agentrouter::sandbox::init
