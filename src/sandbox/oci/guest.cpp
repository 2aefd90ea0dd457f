#include "sandbox/oci/guest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/file.h"
#include "sandbox/oci/config.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Fd;
using base::Result;

constexpr int runtime_patience_ms = 20'000;

struct StageStart {
  int program;
  int control;
  int null;
  int errors;
  char* const* argv;
  char* const* envp;
  const int* groups;  // CgroupSet::entries
  unsigned group_count;
  int error;
};

// Runs on the parent's memory: system calls only. Whatever capabilities there are stay: as a plain user they are of
// the new user namespace alone.
__attribute__((no_sanitize("address", "undefined", "thread"))) int run_stage(void* argument) {
  auto* start = static_cast<StageStart*>(argument);
  for (unsigned i = 0; i < start->group_count; ++i) {
    if (syscall(SYS_write, start->groups[i], "0", 1) == 1) continue;
    start->error = errno;
    return 127;
  }
  syscall(SYS_setsid);
  const long program = syscall(SYS_fcntl, start->program, F_DUPFD_CLOEXEC, 64);
  const long control = syscall(SYS_fcntl, start->control, F_DUPFD_CLOEXEC, 64);
  const long null = syscall(SYS_fcntl, start->null, F_DUPFD_CLOEXEC, 64);
  const long errors = syscall(SYS_fcntl, start->errors, F_DUPFD_CLOEXEC, 64);
  syscall(SYS_dup3, null, 0, 0);
  syscall(SYS_dup3, null, 1, 0);
  syscall(SYS_dup3, errors, 2, 0);
  syscall(SYS_dup3, control, init::control_fd, 0);
  constexpr int program_fd = init::control_fd + 1;
  syscall(SYS_dup3, program, program_fd, O_CLOEXEC);
  syscall(SYS_close_range, program_fd + 1, ~0U, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  bool worked = syscall(SYS_capget, &header, data) == 0;
  for (auto& half : data) half.inheritable = half.permitted;
  worked = worked && syscall(SYS_capset, &header, data) == 0;
  for (int cap = 0; cap < 64; ++cap) {
    if (data[cap / 32].permitted >> (cap % 32) & 1)
      syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
  }
  reset_signals();
  if (worked) syscall(SYS_execveat, program_fd, "", start->argv, start->envp, AT_EMPTY_PATH);
  start->error = errno;
  return 127;
}

Result<Cloned> clone_stage(int control, int errors, const CgroupSet* cgroups, bool own_map) {
  AGENTROUTER_TRY(const int program, open_init_program());
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot open /dev/null", errno);
  std::string name = "init", word = init::stage_word;
  char* const argv[] = {name.data(), word.data(), nullptr};
  char* const envp[] = {nullptr};
  std::vector<int> groups;
  if (cgroups) {
    for (const auto& entry : cgroups->entries()) groups.push_back(entry.get());
  }
  StageStart start{program,       control, null.get(), errors, argv, envp, groups.data(),
                   static_cast<unsigned>(groups.size()), 0};
  const std::uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | (own_map ? CLONE_NEWUSER : 0);
  auto cloned = clone_borrowing(flags, cgroups ? cgroups->unified() : -1, run_stage, &start);
  if (!cloned)
    return base::fail(cloned.error().code, "cannot make the namespaces: " + cloned.error().message);
  if (start.error == 0) return cloned;
  (void)wait_for_end(cloned->pidfd.get(), 1000);
  return base::fail_errno("cannot start init", start.error);
}

// As a plain user crun shows the sources, and init opens them where it finds them.
ContainerShape shape_of(const CheckedLaunch& launch, PreparedSetup& prepared) {
  auto& setup = *prepared.setup;
  ContainerShape shape;
  if (!setup.own_map) {
    shape.range = UidRange::of_slot(launch.slot);
    return shape;
  }
  for (std::size_t i = 0; i < prepared.sources.size(); ++i)
    shape.sources.emplace_back(setup.host_paths + setup.host_path[i]);
  std::memset(setup.host_paths, 0, sizeof setup.host_paths);
  std::uint32_t used = 0;
  for (std::size_t i = 0; i < prepared.sources.size(); ++i) {
    const auto place = source_place(i);
    setup.host_path[i] = used;
    std::memcpy(setup.host_paths + used, place.c_str(), place.size() + 1);
    used += static_cast<std::uint32_t>(place.size()) + 1;
  }
  return shape;
}

Result<void> send_stage(int control, const init::Setup& setup, const std::string& config) {
  auto stage = std::make_unique<init::Stage>();
  if (config.size() > init::max_config)
    return base::fail(Code::invalid, "cannot launch: paths are too long for the container's configuration");
  stage->version = init::version;
  stage->own_map = setup.own_map;
  stage->host_uid = setup.host_uid;
  stage->host_gid = setup.host_gid;
  stage->config_size = static_cast<std::uint32_t>(config.size());
  std::memcpy(stage->runtime, container_runtime, std::strlen(container_runtime) + 1);
  std::memcpy(stage->config, config.data(), config.size());
  if (::send(control, stage.get(), sizeof *stage, MSG_NOSIGNAL) < 0)
    return base::fail_errno("cannot tell the container's set-up", errno);
  return {};
}

// The last thing that crun has said.
std::string said_by_runtime(int errors) {
  char text[4096];
  const auto size = ::pread(errors, text, sizeof text, 0);
  std::string said(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (const auto line = said.rfind('\n'); line != std::string::npos) said.erase(0, line + 1);
  for (auto& c : said) {
    if (c < ' ' || c > '~') c = '?';
  }
  return said.empty() ? "it ended without a word" : said;
}

// Until init waits for its set-up.
Result<void> await_guest(int control, int errors) {
  pollfd ready{control, POLLIN, 0};
  int rc = 0;
  while ((rc = ::poll(&ready, 1, runtime_patience_ms)) < 0 && errno == EINTR) {
  }
  if (rc == 0) return base::fail(Code::timeout, "cannot start the container: crun does not come to an end");
  const auto message = base::receive_message(control, sizeof(init::Reply));
  if (!message || message->bytes.size() != sizeof(init::Reply))
    return base::fail(Code::unavailable, "cannot start the container: crun: " + said_by_runtime(errors));
  init::Reply reply;
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  reply.stage[sizeof reply.stage - 1] = 0;
  if (reply.type == init::reply_failed)
    return base::fail_errno(std::string("cannot ") + reply.stage, reply.error);
  if (reply.type != init::reply_started)
    return base::fail(Code::internal, "cannot start the container: unexpected answer from init");
  return {};
}

}  // namespace

Result<RunningInit> start_guest(const CheckedLaunch& launch, int attempt, const CgroupSet* cgroups,
                                LimitsMode mode) {
  if (::access(container_runtime, X_OK) != 0) {
    return base::fail(Code::unsupported,
                      std::string("cannot use an image: there is no ") + container_runtime +
                          " (install the package crun)",
                      "runtime_missing");
  }
  AGENTROUTER_TRY(auto prepared, prepare_setup(launch, attempt, mode));
  prepared.setup->guest = 1;
  const auto config = container_config(shape_of(launch, prepared));
  AGENTROUTER_TRY(auto pair, base::make_seqpacket_pair());
  const Fd errors(::memfd_create("agentrouter-crun", MFD_CLOEXEC));
  if (!errors) return base::fail_errno("cannot keep what crun says", errno);
  RunningInit running;
  running.control = std::move(pair.first);
  AGENTROUTER_TRY(running.process,
                  clone_stage(pair.second.get(), errors.get(), cgroups, prepared.setup->own_map != 0));
  pair.second.reset();
  auto sent = send_stage(running.control.get(), *prepared.setup, config);
  if (!sent) return tl::unexpected(sent.error());
  auto started = await_guest(running.control.get(), errors.get());
  if (!started) return tl::unexpected(started.error());
  if (auto done = finish_setup(running, prepared); !done) return tl::unexpected(done.error());
  return running;
}

}  // namespace agentrouter::sandbox
