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
  write_to_file = 1 << 1,
  read_file = 1 << 2,
  read_dir = 1 << 3,
  make_char = 1 << 6,
  make_block = 1 << 11,
  refer = 1 << 13,
  truncate_file = 1 << 14,
  ioctl_device = 1 << 15,
};

constexpr std::uint64_t look = execute_file | read_file | read_dir;
constexpr std::uint64_t of_files = execute_file | write_to_file | read_file | truncate_file | ioctl_device;
constexpr std::uint64_t abstract_sockets_and_signals = 3;

// Every right that a version knows: what is not granted is refused.
std::uint64_t known_rights(int version) {
  if (version >= 5) return (1u << 16) - 1;
  if (version >= 3) return (1u << 15) - 1;
  return (1u << 14) - 1;
}

// Every right that is asked for is refused but where a rule allows it.
int make_ruleset(int version) {
  const RulesetAttributes wanted{known_rights(version), 0, version >= 6 ? abstract_sockets_and_signals : 0};
  const unsigned size = version >= 6 ? sizeof wanted : version >= 4 ? 16 : 8;
  const int fd = static_cast<int>(syscall(create_ruleset, &wanted, size, 0));
  require(fd >= 0, "make the second fence");
  // Out of the way of what a child's descriptors become.
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);
  require(high >= 0, "make the second fence");
  close(fd);
  return high;
}

// Rules of several rulesets at once, each with rights of its own.
class Rules {
 public:
  explicit Rules(const Fences& fences) : fences_(fences), known_(known_rights(fences.version)) {}

  void allow_at(int place, std::uint64_t agent, std::uint64_t collector, const char* name) const {
    struct stat info{};
    require(fstat(place, &info) == 0, "fence", name);
    const auto most = known_ & (S_ISDIR(info.st_mode) ? known_ : of_files);
    add(fences_.agent, place, agent & most, name);
    add(fences_.collector, place, collector & most, name);
  }
  // `path` from the root, which is the current folder.
  void allow(const char* path, std::uint64_t agent, std::uint64_t collector) const {
    const int place = open(path[1] == 0 ? "." : path + 1, O_PATH | O_CLOEXEC);
    require(place >= 0, "fence", path);
    allow_at(place, agent, collector, path);
    close(place);
  }
  void allow(const char* path, std::uint64_t both) const { allow(path, both, both); }

  // Whatever can be done with files and folders. Devices are made by nobody.
  [[nodiscard]] std::uint64_t all() const { return known_ & ~(make_char | make_block | ioctl_device); }

 private:
  static void add(int fence, int place, std::uint64_t rights, const char* name) {
    const BeneathRule rule{rights, place};
    if (rights != 0) require(syscall(add_rule, fence, rule_path_beneath, &rule, 0) == 0, "fence", name);
  }
  const Fences& fences_;
  std::uint64_t known_;
};

bool is_below(const char* path, const char* folder) {
  const auto size = strlen(folder);
  return strncmp(path, folder, size) == 0 && path[size] == '/';
}

// Rules of the folders above count, too.
void allow_look(const Rules& rules, const Spec& spec, const char* path) {
  if (spec.has_image || is_below(path, "/usr") || is_below(path, "/etc") || is_below(path, "/home/agent")) return;
  rules.allow(path, look);
}

void allow_binds(const Rules& rules, const Spec& spec, bool of_run) {
  for (unsigned i = 0; i < spec.bind_count; ++i) {
    if ((spec.binds[i].of_run != 0) == of_run) allow_look(rules, spec, text_at(spec, spec.binds[i].to));
  }
}

}  // namespace

Fences prepare_fences(const Setup& setup) {
  Fences fences;
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_no_landlock) return fences;
#endif
  const long version = syscall(create_ruleset, nullptr, 0, ask_version);
  // The first version cannot move a file to another folder.
  if (version < 2) return fences;
  fences.version = static_cast<int>(version);
  fences.agent = make_ruleset(fences.version);
  fences.collector = make_ruleset(fences.version);
  const Rules rules(fences);
  if (setup.spec.has_image) {
    rules.allow("/", look);
  } else {
    rules.allow("/", read_dir);
    for (const char* path : {"/usr", "/etc", "/proc"}) rules.allow(path, look);
  }
  // For our own programs; the agent has no way to them.
  for (unsigned i = 0; library_fd(i) >= 0; ++i) rules.allow_at(library_fd(i), look, look, "the libraries");
  allow_binds(rules, setup.spec, false);
  rules.allow("/dev", read_file | read_dir | write_to_file | truncate_file | ioctl_device);
  rules.allow("/tmp", rules.all(), look);
  rules.allow("/dev/shm", rules.all(), 0);
  return fences;
}

void finish_fences(const Fences& fences, const Setup& setup, const Grounds& grounds) {
  if (fences.version == 0) return;
  const auto& spec = setup.spec;
  const Rules rules(fences);
  allow_binds(rules, spec, true);
  for (unsigned i = 0; i < spec.file_count && i < max_files; ++i)
    allow_look(rules, spec, text_at(spec, spec.files[i].path));
#if AGENTROUTER_WEAK_INIT
  // Something else is there by now.
  if (setup.weakening & weaken_host_view) rules.allow("/tmp", rules.all(), look);
  if (setup.weakening & weaken_host_processes) rules.allow("/proc", look);
#endif
  rules.allow("/workspace", spec.read_only_workspace ? look : rules.all(), look);
  rules.allow("/home/agent", rules.all(), look);
  for (const int ground : {grounds.lower, grounds.upper, grounds.home})
    rules.allow_at(ground, 0, read_file | read_dir, "the layers");
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
