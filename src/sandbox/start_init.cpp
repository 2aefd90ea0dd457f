#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <tuple>

#include "sandbox/idmap.h"
#include "sandbox/init_image.h"
#include "sandbox/seccomp.h"
#include "sandbox/start.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Fd;
using base::Result;

constexpr int set_up_patience_ms = 20'000;
// Of a box that was made before: there is another way.
constexpr int claim_patience_ms = 5'000;

// All of them only count inside the sandbox's own user namespace; without these init would lose every
// capability at exec, because its id is not mapped yet.
constexpr int most_favoured = -20;

constexpr int init_caps[] = {
    CAP_CHOWN,     CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,     CAP_FSETID,
    CAP_KILL,      CAP_SETGID,       CAP_SETUID,          CAP_SETPCAP,    CAP_NET_BIND_SERVICE,
    CAP_NET_ADMIN, CAP_SYS_CHROOT,   CAP_SYS_ADMIN,       CAP_SYS_PTRACE, CAP_SYS_RESOURCE};

struct InitStart {
  int program;
  int control;
  int null;
  char* const* argv;
  char* const* envp;
  const int* groups;  // CgroupSet::entries
  unsigned group_count;
  int error;
};

// Runs on the parent's memory: system calls only.
__attribute__((no_sanitize("address", "undefined", "thread"))) int run_init(void* argument) {
  auto* start = static_cast<InitStart*>(argument);
  for (unsigned i = 0; i < start->group_count; ++i) {
    if (syscall(SYS_write, start->groups[i], "0", 1) == 1) continue;
    start->error = errno;
    return 127;
  }
  const long program = syscall(SYS_fcntl, start->program, F_DUPFD_CLOEXEC, 64);
  const long control = syscall(SYS_fcntl, start->control, F_DUPFD_CLOEXEC, 64);
  const long null = syscall(SYS_fcntl, start->null, F_DUPFD_CLOEXEC, 64);
  for (int fd = 0; fd < 3; ++fd) syscall(SYS_dup3, null, fd, 0);
  syscall(SYS_dup3, control, init::control_fd, 0);
  // Everything of the server is closed here, not only at exec: what comes before it may take long.
  constexpr int program_fd = init::control_fd + 1;
  syscall(SYS_dup3, program, program_fd, O_CLOEXEC);
  syscall(SYS_close_range, program_fd + 1, ~0U, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::uint32_t bits = 0;
  for (const int cap : init_caps) bits |= 1u << cap;
  __user_cap_data_struct data[2] = {{bits, bits, bits}, {0, 0, 0}};
  bool worked = syscall(SYS_capset, &header, data) == 0;
  for (const int cap : init_caps) {
    worked = worked && syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0;
  }
  struct {
    void* handler;
    unsigned long flags, restorer, mask;
  } ignored{nullptr, 0, 0, 0};
  for (int signal = 1; signal <= 64; ++signal) syscall(SYS_rt_sigaction, signal, &ignored, nullptr, 8);
  const unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8);
  if (worked) syscall(SYS_execveat, program_fd, "", start->argv, start->envp, AT_EMPTY_PATH);
  start->error = errno;
  return 127;
}

Result<void> put_host_path(init::Setup& setup, unsigned index, int fd, unsigned& used) {
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  char path[4096];
  const auto size = ::readlink(link.c_str(), path, sizeof path - 1);
  if (size < 0) return base::fail_errno("cannot name a source", errno);
  path[size] = 0;
  if (used + size + 1 > init::max_host_paths)
    return base::fail(Code::invalid, "cannot launch: paths are too long");
  setup.host_path[index] = used;
  std::memcpy(setup.host_paths + used, path, static_cast<std::size_t>(size) + 1);
  used += static_cast<unsigned>(size) + 1;
  return {};
}

// What becomes a source, and how root shows it.
struct Wanted {
  enum class As { writable, fixed, mapped, layer } as;
  int fd;
};

// In the order of init::Setup. `lower`: the folder, or an empty one.
std::vector<Wanted> wanted_sources(const CheckedLaunch& launch, int attempt, int lower, init::SetupPart part) {
  std::vector<Wanted> wanted;
  if (part != init::part_common) {
    wanted.push_back({Wanted::As::writable, attempt});
    wanted.push_back({launch.lower >= 0 ? Wanted::As::mapped : Wanted::As::fixed, lower});
    for (const int layer : launch.layers) wanted.push_back({Wanted::As::layer, layer});
  }
  for (std::size_t i = 0; i < launch.binds.size(); ++i) {
    const bool of_run = launch.record->spec.binds[i].of_run != 0;
    if (part == init::part_whole || of_run == (part == init::part_run))
      wanted.push_back({Wanted::As::fixed, launch.binds[i]});
  }
  for (const int image : launch.image) wanted.push_back({Wanted::As::fixed, image});
  return wanted;
}

Result<Fd> mount_source(const Wanted& wanted, UidRange range, LayerMounts& layers) {
  switch (wanted.as) {
    case Wanted::As::mapped:
      return clone_mapped(wanted.fd, range);
    case Wanted::As::layer:
      return layers.clone(wanted.fd);
    case Wanted::As::writable:
      return clone_mount(wanted.fd, Access::read_write);
    case Wanted::As::fixed:
      break;
  }
  return clone_mount(wanted.fd, Access::read_only);
}

// Root makes the mounts; a plain user's init makes them itself, in its own mount namespace.
Result<std::vector<Fd>> open_sources(const CheckedLaunch& launch, int attempt, init::SetupPart part,
                                     init::Setup& setup) {
  std::vector<Fd> sources;
  Fd empty;
  if (part != init::part_common && launch.lower < 0) {
    empty = Fd(::openat(attempt, "lower", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!empty) return base::fail_errno("cannot open the empty lower folder", errno);
  }
  const auto wanted = wanted_sources(launch, attempt, empty ? empty.get() : launch.lower, part);
  const auto range = UidRange::of_slot(launch.slot);
  LayerMounts layers(range);
  unsigned used = 0;
  for (unsigned i = 0; i < wanted.size(); ++i) {
    if (setup.own_map) {
      sources.emplace_back(::fcntl(wanted[i].fd, F_DUPFD_CLOEXEC, 3));
      if (!sources.back()) return base::fail_errno("cannot open a source", errno);
      if (auto done = put_host_path(setup, i, wanted[i].fd, used); !done) return tl::unexpected(done.error());
    } else {
      AGENTROUTER_TRY(auto mount, mount_source(wanted[i], range, layers));
      sources.push_back(std::move(mount));
    }
  }
  return sources;
}

template <std::size_t Size>
Result<std::uint32_t> put_filter(Profile profile, sock_filter (&to)[Size]) {
  auto filter = seccomp_filter(profile);
  if (!filter) return tl::unexpected(filter.error());
  if (filter->size() > Size) return base::fail(Code::internal, "cannot launch: the filter is too long");
  std::memcpy(to, filter->data(), filter->size() * sizeof(sock_filter));
  return static_cast<std::uint32_t>(filter->size());
}

Result<void> fill(init::Setup& setup, const CheckedLaunch& launch, LimitsMode mode, bool root,
                  const Weakened& weakened) {
  AGENTROUTER_TRY(setup.filter_size, put_filter(Profile::agent, setup.filter));
  AGENTROUTER_TRY(setup.collector_filter_size, put_filter(Profile::collector, setup.collector_filter));
  AGENTROUTER_TRY(setup.sealed_filter_size, put_filter(Profile::sealed, setup.sealed_filter));
  setup.spec = launch.record->spec;
  setup.own_map = root ? 0 : 1;
  setup.host_uid = ::geteuid();
  setup.host_gid = ::getegid();
  setup.limits_mode = static_cast<std::uint32_t>(mode);
  setup.address = ::inet_addr(provider_address);
  setup.port = provider_port;
  setup.weakening = weakened.bits;
  return {};
}

Result<void> send_setup(int control, const init::Setup& setup, const std::vector<Fd>& sources) {
  std::array<int, init::max_sources> fds{};
  for (std::size_t i = 0; i < sources.size(); ++i) fds[i] = sources[i].get();
  iovec part{const_cast<init::Setup*>(&setup), sizeof setup};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.data();
  message.msg_controllen = CMSG_SPACE(sizeof(int) * sources.size());
  auto* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * sources.size());
  std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * sources.size());
  if (::sendmsg(control, &message, MSG_NOSIGNAL) < 0)
    return base::fail_errno("cannot tell init its set-up", errno);
  return {};
}

// The descriptors that come with init's answer.
Result<std::vector<Fd>> await_answer(int control, init::ReplyType type, std::size_t wanted, int patience_ms) {
  pollfd ready{control, POLLIN, 0};
  int rc = 0;
  while ((rc = ::poll(&ready, 1, patience_ms)) < 0 && errno == EINTR) {
  }
  if (rc == 0) return base::fail(Code::timeout, "cannot build the sandbox: init does not answer");
  auto message = base::receive_message(control, sizeof(init::Reply));
  if (!message || message->bytes.size() != sizeof(init::Reply)) {
    return base::fail(Code::unavailable, "cannot build the sandbox: init ended early");
  }
  init::Reply reply;
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  reply.stage[sizeof reply.stage - 1] = 0;
  if (reply.type == init::reply_failed)
    return base::fail_errno(std::string("cannot ") + reply.stage, reply.error);
  if (reply.type != type || message->fds.size() != wanted) {
    return base::fail(Code::internal, "cannot build the sandbox: unexpected answer from init");
  }
  return std::move(message->fds);
}

Result<void> write_maps(pid_t pid, UidRange range) {
  std::string lines;
  for (const auto& span : spans_of(range)) {
    lines += std::to_string(span.inside) + " " + std::to_string(span.outside) + " " + std::to_string(span.count) + "\n";
  }
  for (const char* file : {"uid_map", "gid_map"}) {
    Fd fd(::open(("/proc/" + std::to_string(pid) + "/" + file).c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd || ::write(fd.get(), lines.data(), lines.size()) < 0) {
      return base::fail_errno(std::string("cannot make the user namespace: ") + file, errno);
    }
  }
  return {};
}

Result<Cloned> clone_init(int control, std::optional<uid_t> owner, const CgroupSet* cgroups,
                          const Weakened& weakened) {
  auto program = open_init_program(weakened);
  if (!program) return tl::unexpected(program.error());
  Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot open /dev/null", errno);
  char name[] = "init";
  char* const argv[] = {name, nullptr};
  char* const envp[] = {nullptr};
  std::vector<int> groups;
  if (cgroups) {
    for (const auto& entry : cgroups->entries()) groups.push_back(entry.get());
  }
  InitStart start{
      *program, control, null.get(), argv, envp, groups.data(), static_cast<unsigned>(groups.size()), 0};
  std::uint64_t flags =
      CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  if (weakened.bits & init::weaken_host_network) flags &= ~static_cast<std::uint64_t>(CLONE_NEWNET);
  auto cloned = clone_borrowing(flags, cgroups ? cgroups->unified() : -1, run_init, &start, owner);
  if (!cloned)
    return base::fail(cloned.error().code, "cannot make the namespaces: " + cloned.error().message);
  if (start.error != 0) {
    (void)wait_for_end(cloned->pidfd.get(), 1000);
    return base::fail_errno("cannot start init", start.error);
  }
  return cloned;
}

}  // namespace

RunningInit::~RunningInit() {
  if (!process.pidfd) return;
  (void)send_signal(process.pidfd.get(), SIGKILL);
  (void)wait_for_end(process.pidfd.get(), 10'000);
}

Result<int> open_init_program(const Weakened& weakened) {
  if (!weakened.init.empty()) {
    static const auto weak = make_program(weakened.init);
    if (!weak) return tl::unexpected(weak.error());
    return weak->get();
  }
  static const auto program = make_program(init_image());
  if (!program) return tl::unexpected(program.error());
  return program->get();
}

std::array<IdSpan, 2> spans_of(UidRange range) {
  constexpr std::uint32_t keeper = 2000;
  return {IdSpan{0, range.base, keeper},
          IdSpan{keeper + 1, range.base + keeper + 1, UidRange::size - keeper - 1}};
}

Result<PreparedSetup> prepare_setup(const CheckedLaunch& launch, int attempt, LimitsMode mode,
                                    const Weakened& weakened, init::SetupPart part) {
  const bool root = ::geteuid() == 0;
  PreparedSetup prepared{std::make_unique<init::Setup>(), {}};
  prepared.setup->part = part;
  if (auto done = fill(*prepared.setup, launch, mode, root, weakened); !done) return tl::unexpected(done.error());
  if (part != init::part_common) {
    if (auto done = make_folders(launch, attempt, root); !done) return tl::unexpected(done.error());
  }
  AGENTROUTER_TRY(prepared.sources, open_sources(launch, attempt, part, *prepared.setup));
  return prepared;
}

Result<void> finish_common(RunningInit& running, const PreparedSetup& prepared) {
  auto sent = send_setup(running.control.get(), *prepared.setup, prepared.sources);
  if (!sent) return sent;
  auto done = await_answer(running.control.get(), init::reply_prepared, 0, set_up_patience_ms);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Result<void> finish_setup(RunningInit& running, const PreparedSetup& prepared) {
  if (auto done = send_setup(running.control.get(), *prepared.setup, prepared.sources); !done) return tl::unexpected(done.error());
  const auto& setup = *prepared.setup;
  const auto ports = setup.weakening & init::weaken_host_network ? 0 : setup.spec.outbound_count;
  const int patience = setup.part == init::part_run ? claim_patience_ms : set_up_patience_ms;
  AGENTROUTER_TRY(auto sockets,
                  await_answer(running.control.get(), init::reply_ready, ports == 0 ? 1 : 3 + ports, patience));
  running.listener = std::move(sockets.front());
  sockets.erase(sockets.begin());
  running.outbound = std::move(sockets);
  return {};
}

Result<RunningInit> begin_init(UidRange range, bool own_map, const CgroupSet* cgroups, const Weakened& weakened) {
  auto pair = base::make_seqpacket_pair();
  if (!pair) return tl::unexpected(pair.error());
  RunningInit running;
  running.control = std::move(pair->first);
  const auto owner = own_map ? std::nullopt : std::optional<uid_t>(range.base + UidRange::size - 1);
  AGENTROUTER_TRY(running.process, clone_init(pair->second.get(), owner, cgroups, weakened));
  if (own_map) return running;
  // It watches what its agent takes, and hundreds of the agent's processes may want its processor. A server
  // that may not say so has it go the same way as them.
  std::ignore = ::setpriority(PRIO_PROCESS, static_cast<id_t>(running.process.pid), most_favoured);
  if (auto done = write_maps(running.process.pid, range); !done) return tl::unexpected(done.error());
  return running;
}

Result<RunningInit> start_init(const CheckedLaunch& launch, int attempt, const CgroupSet* cgroups,
                               LimitsMode mode, const Weakened& weakened) {
  // Prepared while init's program starts.
  AGENTROUTER_TRY(auto running, begin_init(UidRange::of_slot(launch.slot), ::geteuid() != 0, cgroups, weakened));
  AGENTROUTER_TRY(const auto prepared, prepare_setup(launch, attempt, mode, weakened));
  if (auto done = finish_setup(running, prepared); !done) return tl::unexpected(done.error());
  return running;
}

}  // namespace agentrouter::sandbox
