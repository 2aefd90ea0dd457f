#include "sandbox/box.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/clone.h"
#include "sandbox/init/protocol.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Fd;
using base::Result;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds answer_patience{10'000};

Fd take(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
  return Fd(fd);
}

int left(steady_clock::time_point end) {
  const auto rest = std::chrono::duration_cast<milliseconds>(end - steady_clock::now()).count();
  return rest > 0 ? static_cast<int>(rest) : 0;
}

bool readable(int fd, int timeout_ms) {
  pollfd ready{fd, POLLIN, 0};
  int rc = 0;
  while ((rc = ::poll(&ready, 1, timeout_ms)) < 0 && errno == EINTR) {
  }
  return rc > 0;
}

tl::unexpected<base::Error> gone() {
  return base::fail(Code::unavailable, "cannot reach the sandbox: its init has ended", "sandbox_gone");
}

std::string join(const std::string& cwd, const std::vector<std::string>& argv,
                 const std::vector<std::string>& env) {
  std::string text;
  const auto put = [&](const std::string& part) {
    text += part;
    text += '\0';
  };
  put(cwd);
  for (const auto& part : argv) put(part);
  for (const auto& part : env) put(part);
  return text;
}

bool has_zero(const std::vector<std::string>& strings) {
  for (const auto& text : strings) {
    if (text.find('\0') != std::string::npos) return true;
  }
  return false;
}

// The number after `name` in a file of the kernel's.
std::optional<std::uint64_t> read_number(int fd, std::string_view name) {
  char text[2048];
  const auto size = fd < 0 ? -1 : ::pread(fd, text, sizeof text - 1, 0);
  if (size <= 0) return {};
  text[size] = 0;
  const std::string_view all(text, static_cast<std::size_t>(size));
  auto at = name.empty() ? 0 : all.find(std::string(name) + " ");
  while (at != std::string_view::npos && at != 0 && all[at - 1] != '\n')
    at = all.find(std::string(name) + " ", at + 1);
  if (at == std::string_view::npos) return {};
  const char* begin = text + at + (name.empty() ? 0 : name.size() + 1);
  char* end = nullptr;
  const auto value = std::strtoull(begin, &end, 10);
  if (end == begin) return {};
  return value;
}

// A v2 group says "populated 0"; a v1 group lists its processes.
std::optional<bool> is_empty_group(int fd) {
  char text[256];
  const auto size = fd < 0 ? -1 : ::pread(fd, text, sizeof text, 0);
  if (fd < 0) return {};
  if (size < 0) return errno == ENODEV ? std::optional(true) : std::nullopt;
  if (const auto populated = read_number(fd, "populated")) return *populated == 0;
  return size == 0;
}

std::uint16_t port_of(const Fd& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

Box::Outbound take_ways_out() {
  Box::Outbound out;
  out.names_udp = take(keeper_fd::names_udp);
  out.names_tcp = take(keeper_fd::names_tcp);
  for (int fd = keeper_fd::outbound; fd < keeper_fd::end; ++fd) {
    auto listener = take(fd);
    if (!listener) break;
    const auto port = port_of(listener);
    out.listeners.push_back({port, std::move(listener)});
  }
  return out;
}

DiskStop disk_stop_of(const init::Reply& reply) {
  init::DiskReport report{};
  std::memcpy(&report, reply.stage, sizeof report);
  const auto cause = report.cause == init::disk_inodes    ? DiskStop::Cause::inodes
                     : report.cause == init::disk_depth   ? DiskStop::Cause::depth
                     : report.cause == init::disk_reserve ? DiskStop::Cause::reserve
                                                          : DiskStop::Cause::bytes;
  return {cause,          report.settled != 0, report.bytes,
          report.inodes,  report.most_bytes,   report.most_inodes};
}

}  // namespace

Result<Box> Box::adopt() {
  Box box;
  box.control_ = take(keeper_fd::control);
  box.init_ = take(keeper_fd::init);
  box.attempt_ = take(keeper_fd::attempt);
  box.plan_ = take(keeper_fd::plan);
  box.listener_ = take(keeper_fd::listener);
  box.ids_ = take(keeper_fd::ids);
  box.image_ = take(keeper_fd::image);
  if (!box.control_ || !box.init_ || !box.attempt_ || !box.listener_) {
    return base::fail(Code::invalid, "cannot adopt a sandbox: this process was not started for one");
  }
  box.outbound_ = take_ways_out();
  for (const auto& listener : box.outbound_.listeners) box.outbound_ports_.push_back(listener.port);
  box.cgroup_procs_ = take(keeper_fd::cgroup_procs);
  box.memory_events_ = take(keeper_fd::memory_events);
  box.memory_peak_ = take(keeper_fd::memory_peak);
  ::prctl(PR_SET_NAME, "keeper", 0, 0, 0);
  const rlimit none{0, 0};
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) {
    return base::fail_errno("cannot close the keeper to other processes", errno);
  }
  auto mode = box.ask(init::request_hello, {}, {}, answer_patience);
  if (!mode) return tl::unexpected(mode.error());
  box.limits_ = static_cast<LimitsMode>(*mode & 0xff);
  box.landlock_ = *mode >> 8;
  return box;
}

void Box::keep_notice(std::string_view bytes) {
  init::Reply reply;
  if (bytes.size() != sizeof reply) return;
  std::memcpy(&reply, bytes.data(), sizeof reply);
  if (reply.type == init::reply_exited) {
    const int status = reply.error;
    Exited exited{reply.value, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                  WIFSIGNALED(status) ? WTERMSIG(status) : 0};
    notices_.emplace_back(exited);
  } else if (reply.type == init::reply_memory_kill) {
    notices_.emplace_back(MemoryKill{reply.value});
  } else if (reply.type == init::reply_disk_stop) {
    notices_.emplace_back(disk_stop_of(reply));
  }
}

Result<std::optional<Notice>> Box::read_notice() {
  while (notices_.empty() && !gone_ && readable(control_.get(), 0)) {
    auto message = base::receive_message(control_.get(), sizeof(init::Reply));
    if (!message || message->bytes.empty()) {
      gone_ = true;
    } else {
      keep_notice(message->bytes);
    }
  }
  if (!notices_.empty()) {
    Notice first = notices_.front();
    notices_.pop_front();
    return first;
  }
  if (gone_) return Notice{Gone{}};
  return std::optional<Notice>{};
}

Result<std::uint32_t> Box::ask(std::uint32_t type, std::string_view payload, std::span<const int> fds,
                               milliseconds patience) {
  if (gone_) return gone();
  init::Request request{};
  if (payload.size() >= sizeof request) {
    std::memcpy(&request, payload.data(), sizeof request);
    payload.remove_prefix(sizeof request);
  }
  request.type = type;
  request.id = next_id_++;
  if (next_id_ == 0) next_id_ = 1;
  std::string bytes(reinterpret_cast<const char*>(&request), sizeof request);
  bytes += payload;
  if (bytes.size() > init::max_request) {
    return base::fail(Code::exhausted, "cannot start a program: arguments and environment are over 64 KiB");
  }
  if (auto sent = base::send_message(control_.get(), bytes, fds); !sent) {
    gone_ = true;
    return gone();
  }
  const auto end = steady_clock::now() + patience;
  while (readable(control_.get(), left(end))) {
    auto message = base::receive_message(control_.get(), sizeof(init::Reply));
    init::Reply reply;
    if (!message || message->bytes.size() != sizeof reply) {
      gone_ = true;
      return gone();
    }
    std::memcpy(&reply, message->bytes.data(), sizeof reply);
    if (reply.type != init::reply_done) {
      keep_notice(message->bytes);
      continue;
    }
    if (reply.id != request.id) continue;  // of a question that was given up
    reply.stage[sizeof reply.stage - 1] = 0;
    if (reply.error != 0) return base::fail_errno(std::string("cannot ") + reply.stage, reply.error);
    return static_cast<std::uint32_t>(reply.value);
  }
  return base::fail(Code::timeout, "cannot reach the sandbox: init does not answer");
}

namespace {

std::string start_request(const std::string& cwd, const std::vector<std::string>& argv,
                          const std::vector<std::string>& env, std::size_t outputs) {
  init::Request request{};
  request.argc = static_cast<std::uint32_t>(argv.size());
  request.envc = static_cast<std::uint32_t>(env.size());
  request.outputs = static_cast<std::uint32_t>(outputs);
  return std::string(reinterpret_cast<const char*>(&request), sizeof request) + join(cwd, argv, env);
}

Result<std::vector<int>> fill_stdio(const std::array<int, 3>& stdio, Fd& null) {
  std::vector<int> fds;
  for (const int fd : stdio) {
    if (fd < 0 && !null) null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (fd < 0 && !null) return base::fail_errno("cannot open /dev/null", errno);
    fds.push_back(fd < 0 ? null.get() : fd);
  }
  return fds;
}

Result<void> check_strings(const std::string& cwd, const std::vector<std::string>& argv,
                           const std::vector<std::string>& env) {
  if (argv.empty() || has_zero(argv) || has_zero(env) || has_zero({cwd})) {
    return base::fail(Code::invalid, "cannot start a program: bad arguments");
  }
  return {};
}

}  // namespace

Result<pid_t> Box::spawn(const Spawn& request) {
  if (auto good = check_strings(request.cwd, request.argv, request.env); !good)
    return tl::unexpected(good.error());
  Fd null;
  auto fds = fill_stdio(request.stdio, null);
  if (!fds) return tl::unexpected(fds.error());
  auto pid = ask(init::request_spawn, start_request(request.cwd, request.argv, request.env, 0), *fds,
                 answer_patience);
  if (!pid) return tl::unexpected(pid.error());
  return static_cast<pid_t>(*pid);
}

Result<pid_t> Box::collect(const Collect& request) {
  if (auto good = check_strings("/", request.argv, request.env); !good) return tl::unexpected(good.error());
  if (request.program < 0 || request.outputs.size() > init::max_outputs) {
    return base::fail(Code::invalid, "cannot collect: bad descriptors");
  }
  Fd null;
  auto fds = fill_stdio(request.stdio, null);
  if (!fds) return tl::unexpected(fds.error());
  fds->push_back(request.program);
  fds->insert(fds->end(), request.outputs.begin(), request.outputs.end());
  const auto text = start_request("/", request.argv, request.env, request.outputs.size());
  auto pid = ask(init::request_collect, text, *fds, answer_patience);
  if (!pid) return tl::unexpected(pid.error());
  return static_cast<pid_t>(*pid);
}

Result<pid_t> Box::restore(const Restore& request) {
  if (auto good = check_strings("/", request.argv, request.env); !good) return tl::unexpected(good.error());
  if (request.program < 0 || request.files.size() > init::max_outputs) {
    return base::fail(Code::invalid, "cannot restore: bad descriptors");
  }
  Fd null;
  auto fds = fill_stdio({-1, -1, -1}, null);
  if (!fds) return tl::unexpected(fds.error());
  fds->push_back(request.program);
  fds->insert(fds->end(), request.files.begin(), request.files.end());
  const auto text = start_request("/", request.argv, request.env, request.files.size());
  auto pid = ask(init::request_restore, text, *fds, answer_patience);
  if (!pid) return tl::unexpected(pid.error());
  return static_cast<pid_t>(*pid);
}

namespace {
std::string signal_request(pid_t pid, int signal) {
  init::Request request{};
  request.pid = pid;
  request.signal = signal;
  return {reinterpret_cast<const char*>(&request), sizeof request};
}
}  // namespace

Result<void> Box::signal(pid_t pid, int signal) {
  auto done = ask(init::request_signal, signal_request(pid, signal), {}, answer_patience);
  if (done) return {};
  if (done.error().code == Code::unavailable && !gone_) done.error().code = Code::not_found;
  return tl::unexpected(done.error());
}

Result<void> Box::freeze() {
  auto done = ask(init::request_signal_all, signal_request(-1, SIGSTOP), {}, answer_patience);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Result<void> Box::thaw() {
  auto done = ask(init::request_signal_all, signal_request(-1, SIGCONT), {}, answer_patience);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Result<void> Box::kill_all(milliseconds patience) {
  auto done = ask(init::request_kill_all, {}, {}, patience);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Result<DestroyProof> Box::destroy(milliseconds patience) {
  const auto end = steady_clock::now() + patience;
  // As root the keeper may not signal init, which then ends by itself at the end of its control socket.
  (void)send_signal(init_.get(), SIGKILL);
  ::shutdown(control_.get(), SHUT_RDWR);
  listener_.reset();
  outbound_ = {};
  DestroyProof proof;
  // A pid namespace's init ends only after everything in it has.
  proof.init_gone = wait_for_end(init_.get(), left(end));
  gone_ = gone_ || proof.init_gone;
  if (!proof.init_gone) return base::fail(Code::timeout, "cannot end the sandbox: its init still runs");
  proof.cgroup_empty = is_empty_group(cgroup_procs_.get());
  while (proof.cgroup_empty == false && left(end) > 0) {
    ::poll(nullptr, 0, 1);
    proof.cgroup_empty = is_empty_group(cgroup_procs_.get());
  }
  if (proof.cgroup_empty == false)
    return base::fail(Code::timeout, "cannot end the sandbox: its cgroup is not empty");
  return proof;
}

MemoryReport Box::memory() const {
  MemoryReport report;
  report.kills = read_number(memory_events_.get(), "oom_kill").value_or(0);
  report.peak_bytes = read_number(memory_peak_.get(), "");
  return report;
}

Result<Fd> open_this_program() {
  Fd program(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  if (!program) return base::fail_errno("cannot open this program", errno);
  return program;
}

}  // namespace agentrouter::sandbox
