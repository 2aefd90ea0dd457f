#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "sandbox/init/disk.h"
#include "sandbox/init/system.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr unsigned max_children = 256;
constexpr unsigned max_request_fds = 4 + max_outputs;

// What the keeper started and waits for; everything else that ends here is reaped in silence.
struct Children {
  int pids[max_children];
  unsigned count = 0;

  bool full() const { return count == max_children; }
  void add(int pid) { pids[count++] = pid; }
  bool has(int pid) const {
    for (unsigned i = 0; i < count; ++i) {
      if (pids[i] == pid) return true;
    }
    return false;
  }
  bool take(int pid) {
    for (unsigned i = 0; i < count; ++i) {
      if (pids[i] != pid) continue;
      pids[i] = pids[--count];
      return true;
    }
    return false;
  }
};

struct Strings {
  const char* cwd;
  char* argv[max_strings + 1];
  char* envp[max_strings + 1];
};

Children children;
DiskWatch disk;
Strings strings;
char buffer[max_request];

bool parse_strings(const Request& request, char* text, unsigned size) {
  if (request.argc == 0 || request.argc > max_strings || request.envc > max_strings) return false;
  char* const end = text + size;
  const auto next = [&]() -> char* {
    char* const start = text;
    auto* zero = static_cast<char*>(memchr(text, 0, static_cast<size_t>(end - text)));
    if (!zero) return nullptr;
    text = zero + 1;
    return start;
  };
  strings.cwd = next();
  if (!strings.cwd) return false;
  for (unsigned i = 0; i < request.argc; ++i) {
    if (!(strings.argv[i] = next())) return false;
  }
  strings.argv[request.argc] = nullptr;
  for (unsigned i = 0; i < request.envc; ++i) {
    if (!(strings.envp[i] = next())) return false;
  }
  strings.envp[request.envc] = nullptr;
  return text == end;
}

// In the child: `fds` become 0, 1, 2, ...; everything else closes at exec at the latest.
bool place(const int* fds, unsigned count) {
  int moved[max_request_fds];
  for (unsigned i = 0; i < count; ++i) {
    moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
    if (moved[i] < 0) return false;
  }
  for (unsigned i = 0; i < count; ++i) {
    if (dup2(moved[i], static_cast<int>(i)) < 0) return false;
  }
  return true;
}

enum class Rights { agent, collector };

// What was made before the keeper asks for anything.
struct Ready {
  const Grounds& grounds;
  const Fences& fences;
};

struct Start {
  const Setup& setup;
  const Fences& fences;
  Rights rights;
  int program;     // a descriptor, or -1: argv[0] is its path
  const int* fds;  // become 0...
  unsigned count;
};

// Where no group does it, the server goes before what is inside: by its own niceness, and by that of the session
// that the kernel's autogroups schedule as one.
void yield_processors() {
  setpriority(PRIO_PROCESS, 0, 5);
  write_file("/proc/self/autogroup", "5");
}

// No file of the agent's is larger than all that it may write; what a collector makes of it may be.
bool limit_files(const Spec& spec) {
  rlimit size{};
  if (getrlimit(RLIMIT_FSIZE, &size) != 0) return false;
  if (spec.disk_bytes < size.rlim_max) size.rlim_cur = size.rlim_max = spec.disk_bytes;
  return setrlimit(RLIMIT_FSIZE, &size) == 0;
}

[[noreturn]] void run_child(const Start& start, int report) {
  struct {
    int error;
    char stage[60];
  } failed{0, "place the descriptors"};
  const auto give_up = [&](const char* stage) {
    failed.error = errno;
    snprintf(failed.stage, sizeof failed.stage, "%s", stage);
    (void)!write(report, &failed, sizeof failed);
    _exit(127);
  };
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  const int program = start.program >= 0 ? fcntl(start.program, F_DUPFD_CLOEXEC, 64) : -1;
  report = fcntl(report, F_DUPFD_CLOEXEC, 64);
#if AGENTROUTER_WEAK_INIT
  if (start.setup.weakening & weaken_leak_descriptor) fcntl(control_fd, F_DUPFD, 64);
#endif
  if (!place(start.fds, start.count)) give_up("place the descriptors");
  for (int fd = static_cast<int>(start.count); fd < 64; ++fd) close(fd);
  if (chdir(strings.cwd) != 0) give_up("enter the working folder");
  setpriority(PRIO_PROCESS, 0, 0);
  if (start.rights == Rights::agent && start.setup.limits_mode == 0) yield_processors();
  if (program < 0 && !limit_files(start.setup.spec)) give_up("limit the size of files");
  if (!limit_open_files(start.setup)) give_up("limit the open files");
  const bool lowered = start.rights == Rights::collector ? become_collector() : become_agent(start.setup);
  if (!lowered) give_up("drop privileges");
  const auto& fences = start.fences;
  if (!enter_fence(start.rights == Rights::collector ? fences.collector : fences.agent, program))
    give_up("enter the second fence");
  if (!(start.rights == Rights::collector ? filter_collector(start.setup) : seal_agent(start.setup)))
    give_up("install the seccomp filter");
  if (program >= 0) {
    execute_program(program, strings.argv, strings.envp);
  } else {
    execve(strings.argv[0], strings.argv, strings.envp);
  }
  give_up("start the program");
  _exit(127);
}

void start_child(const Request& request, const Start& start) {
  int report[2];
  if (children.full() || pipe2(report, O_CLOEXEC) != 0) {
    return send_reply(reply_done, request.id, -1, children.full() ? EAGAIN : errno, "start a process");
  }
  const int pid = fork();
  if (pid == 0) run_child(start, report[1]);
  const int error = errno;
  close(report[1]);
  struct {
    int error;
    char stage[60];
  } failed{pid < 0 ? error : 0, "start a process"};
  if (pid > 0 && read(report[0], &failed, sizeof failed) == sizeof failed) {
    waitpid(pid, nullptr, 0);
  }
  close(report[0]);
  if (failed.error != 0) return send_reply(reply_done, request.id, -1, failed.error, failed.stage);
  children.add(pid);
  send_reply(reply_done, request.id, pid, 0, "");
}

void start_agent(const Setup& setup, const Fences& fences, const Request& request, const int* fds,
                 unsigned count) {
  if (count != 3) return send_reply(reply_done, request.id, -1, EBADMSG, "read the request");
  start_child(request, {setup, fences, Rights::agent, -1, fds, 3});
}

void start_collector(const Setup& setup, const Ready& ready, const Request& request, const int* fds,
                     unsigned count) {
  const auto& grounds = ready.grounds;
  if (count != 4 + request.outputs || request.outputs > max_outputs) {
    return send_reply(reply_done, request.id, -1, EBADMSG, "read the request");
  }
  int all[6 + max_outputs] = {fds[0], fds[1], fds[2], grounds.lower, grounds.upper, grounds.home};
  for (unsigned i = 0; i < request.outputs; ++i) all[6 + i] = fds[4 + i];
  start_child(request, {setup, ready.fences, Rights::collector, fds[3], all, 6 + request.outputs});
}

void start_restorer(const Setup& setup, const Fences& fences, const Request& request, const int* fds,
                    unsigned count) {
  if (count != 4 + request.outputs || request.outputs > max_outputs) {
    return send_reply(reply_done, request.id, -1, EBADMSG, "read the request");
  }
  int all[3 + max_outputs] = {fds[0], fds[1], fds[2]};
  for (unsigned i = 0; i < request.outputs; ++i) all[3 + i] = fds[4 + i];
  start_child(request, {setup, fences, Rights::agent, fds[3], all, 3 + request.outputs});
}

struct State {
  std::uint32_t emptying = 0;  // id of the kill_all that is under way
  std::uint64_t memory_look = 0;  // when the next one is due, ms
  bool restored = false;  // what is there now is not yet forgiven
  bool writing = false;   // an agent may be writing
  DiskCause stopping = disk_fits;
};

std::uint64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

void look_at_memory(State& state, const Spec& spec) {
  const auto now = now_ms();
  if (now < state.memory_look) return;
  const auto seen = watch_memory(spec.memory_bytes, spec.memory_reserve);
  state.memory_look = now + static_cast<std::uint64_t>(seen.next_ms);
  if (seen.killed) send_reply(reply_memory_kill, 0, seen.killed, 0, "");
}

// How long to wait for something to happen, in ms; -1: until it does.
int patience(const State& state, bool watching) {
  if (state.emptying || state.stopping) return 5;
  const auto now = now_ms();
  const int memory = !watching ? -1 : state.memory_look > now ? static_cast<int>(state.memory_look - now) : 0;
  if (!state.writing) return memory;
  return memory < 0 || memory > disk.next_ms() ? disk.next_ms() : memory;
}

void stop_for_disk(State& state, DiskCause cause) {
  disk.report(cause, false);
  state.stopping = cause;
  state.writing = false;
  kill(-1, SIGKILL);
}

// Nothing but init is left.
void settle_disk(State& state) {
  if (state.stopping) disk.report(state.stopping, true);
  state.stopping = disk_fits;
  if (!state.emptying || !state.writing) return;
  if (const auto cause = disk.last_look()) disk.report(cause, true);
  state.writing = false;
}

void answer(const Setup& setup, const Ready& ready, State& state) {
  int fds[max_request_fds];
  unsigned count = 0;
  const int got = receive(buffer, sizeof buffer, fds, max_request_fds, &count);
  if (got < static_cast<int>(sizeof(Request))) _exit(0);
  Request request;
  memcpy(&request, buffer, sizeof request);
  const bool starts =
      request.type == request_spawn || request.type == request_collect || request.type == request_restore;
  if (starts &&
      !parse_strings(request, buffer + sizeof request, static_cast<unsigned>(got) - sizeof request)) {
    send_reply(reply_done, request.id, -1, EBADMSG, "read the request");
  } else if (request.type == request_spawn) {
    if (state.restored) disk.forgive();
    state.restored = false;
    state.writing = true;
    start_agent(setup, ready.fences, request, fds, count);
  } else if (request.type == request_collect) {
    start_collector(setup, ready, request, fds, count);
  } else if (request.type == request_restore) {
    state.restored = true;
    start_restorer(setup, ready.fences, request, fds, count);
  } else if (request.type == request_hello) {
    const auto version = static_cast<std::uint32_t>(ready.fences.version);
    send_reply(reply_done, request.id, static_cast<std::int32_t>(setup.limits_mode | version << 8), 0, "");
  } else if (request.type == request_signal) {
    const bool worked = children.has(request.pid) && kill(request.pid, request.signal) == 0;
    send_reply(reply_done, request.id, 0, worked ? 0 : ESRCH, "signal the process");
  } else if (request.type == request_signal_all) {
    const bool worked = kill(-1, request.signal) == 0 || errno == ESRCH;
    send_reply(reply_done, request.id, 0, worked ? 0 : errno, "signal all processes");
  } else if (request.type == request_kill_all) {
    state.emptying = request.id;
  } else {
    send_reply(reply_done, request.id, -1, ENOSYS, "read the request");
  }
  for (unsigned i = 0; i < count; ++i) close(fds[i]);
}

// Returns whether anything but init is left.
bool reap() {
  int status = 0;
  for (;;) {
    const int pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) return true;
    if (pid < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (children.take(pid)) send_reply(reply_exited, 0, pid, status, "");
  }
}

}  // namespace

void serve(const Setup& setup, Grounds grounds, Fences fences) {
  const Ready ready_parts{grounds, fences};
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  require(sigprocmask(SIG_BLOCK, &wanted, nullptr) == 0, "wait for children");
  const int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  require(signals >= 0, "wait for children");
  State state;
  disk.start(setup.spec, grounds);
  for (;;) {
    pollfd ready[2] = {{control_fd, POLLIN, 0}, {signals, POLLIN, 0}};
    const bool watching = setup.limits_mode == 0 && children.count > 0;
    if (poll(ready, 2, patience(state, watching)) < 0 && errno != EINTR) _exit(1);
    if (ready[1].revents) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {
      }
    }
    const bool occupied = reap();
    if ((state.emptying || state.stopping) && occupied) kill(-1, SIGKILL);
    if (!occupied) settle_disk(state);
    if (state.emptying && !occupied) {
      send_reply(reply_done, state.emptying, 0, 0, "");
      state.emptying = 0;
    }
    if (watching) look_at_memory(state, setup.spec);
    if (state.writing && occupied) {
      if (const auto cause = disk.look()) stop_for_disk(state, cause);
    }
    if (ready[0].revents & POLLIN) {
      answer(setup, ready_parts, state);
    } else if (ready[0].revents) {
      _exit(0);
    }
  }
}

}  // namespace agentrouter::sandbox::init
