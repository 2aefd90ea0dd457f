#include "sandbox/others.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <latch>
#include <limits>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "sandbox/stats.h"

extern char** environ;

namespace agentrouter::bench {

using base::Fd;
using base::value_or_throw;

namespace {

constexpr int patience_ms = 60'000;

struct Order {
  Other other;
  std::uint32_t count;
  std::uint32_t measure_memory;
};
struct Answer {
  AtOnce result;
  std::uint32_t failed;
};

const char* program_of(Other other) {
  return other == Other::bwrap ? "/usr/bin/bwrap" : other == Other::crun ? "/usr/bin/crun" : "/bin/true";
}

std::vector<std::string> bwrap_command(const std::string& programs, const std::string& workspace) {
  return {"/usr/bin/bwrap",
          "--unshare-all",
          "--die-with-parent",
          "--ro-bind",
          "/usr",
          "/usr",
          "--symlink",
          "usr/bin",
          "/bin",
          "--symlink",
          "usr/lib",
          "/lib",
          "--symlink",
          "usr/lib64",
          "/lib64",
          "--proc",
          "/proc",
          "--dev",
          "/dev",
          "--tmpfs",
          "/tmp",
          "--tmpfs",
          "/home",
          "--bind",
          workspace,
          "/workspace",
          "--ro-bind",
          programs,
          "/opt/bench",
          "/opt/bench/stamp",
          "hold"};
}

std::string mount_entry(const std::string& to, const std::string& type, const std::string& from,
                        const std::string& options) {
  return R"({"destination":")" + to + R"(","type":")" + type + R"(","source":")" + from + R"(","options":[)" +
         options + "]}";
}

// Roughly what the sandbox of ours and bwrap's command have.
std::string crun_bundle(const std::string& programs, const std::string& workspace) {
  const std::string read_only = R"("rbind","ro","nosuid","nodev")";
  std::string mounts = mount_entry("/proc", "proc", "proc", "");
  mounts += "," + mount_entry("/dev", "tmpfs", "tmpfs", R"("nosuid","mode=755","size=65536k")");
  mounts += "," + mount_entry("/dev/pts", "devpts", "devpts",
                              R"("nosuid","noexec","newinstance","ptmxmode=0666","mode=0620")");
  mounts += "," + mount_entry("/dev/shm", "tmpfs", "shm", R"("nosuid","noexec","nodev","mode=1777")");
  for (const char* folder : {"/tmp", "/home"})
    mounts += "," + mount_entry(folder, "tmpfs", "tmpfs", R"("nosuid","nodev")");
  mounts += "," + mount_entry("/usr", "bind", "/usr", read_only) + "," +
            mount_entry("/opt/bench", "bind", programs, read_only);
  mounts += "," + mount_entry("/workspace", "bind", workspace, R"("rbind","rw")");
  std::string namespaces;
  for (const char* kind : {"pid", "network", "ipc", "uts", "mount"})
    namespaces += std::string(namespaces.empty() ? "" : ",") + R"({"type":")" + kind + R"("})";
  return R"({"ociVersion":"1.0.0","process":{"terminal":false,"user":{"uid":1000,"gid":1000},"args":["/opt/bench/stamp","hold"],)"
         R"("env":["PATH=/usr/bin"],"cwd":"/","capabilities":{},"noNewPrivileges":true},"root":{"path":"rootfs","readonly":true},)"
         R"("hostname":"sandbox","mounts":[)" +
         mounts + R"(],"linux":{"namespaces":[)" + namespaces +
         R"(],"maskedPaths":["/proc/kcore","/proc/keys","/proc/timer_list"],"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys"]}})";
}

class Helper {
 public:
  Helper(std::filesystem::path programs, std::filesystem::path scratch)
      : programs_(std::move(programs)), scratch_(std::move(scratch)) {
    std::filesystem::create_directories(scratch_ / "workspace");
    std::filesystem::create_directories(scratch_ / "bundle/rootfs");
    std::ofstream(scratch_ / "bundle/config.json")
        << crun_bundle(programs_.string(), (scratch_ / "workspace").string());
    if (::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0)
      (void)::umount2("/sys/fs/cgroup/unified", MNT_DETACH);
  }

  Answer obey(const Order& order) {
    Answer answer{};
    std::vector<One> all(order.count);
    const double before_kib = order.measure_memory ? available_kib() : 0;
    const double began = now_ms();
    // bwrap dies with the thread that has started it, so it stays until all have begun.
    std::latch started(1), begun(1);
    std::thread other([&] {
      for (std::size_t i = 1; i < all.size(); i += 2) start(order.other, all[i]);
      started.count_down();
      begun.wait();
    });
    for (std::size_t i = 0; i < all.size(); i += 2) start(order.other, all[i]);
    started.wait();
    double last = 0, first = std::numeric_limits<double>::max();
    for (auto& one : all) {
      const double stamp = read_stamp(one);
      if (stamp == 0) answer.failed += 1;
      last = std::max(last, stamp);
      first = std::min(first, stamp);
    }
    answer.result.all_ms = last - began;
    answer.result.first_ms = first - began;
    if (order.measure_memory && answer.failed == 0) {
      for (const auto& one : all) answer.result.pss_kib += pss_kib_of_tree(one.pid) / order.count;
      answer.result.available_kib = (before_kib - available_kib()) / order.count;
    }
    for (auto& one : all) end(one);
    begun.count_down();
    other.join();
    return answer;
  }

 private:
  struct One {
    pid_t pid = -1;
    Fd input, output;
  };

  std::vector<std::string> command(Other other) {
    if (other == Other::bwrap) return bwrap_command(programs_.string(), (scratch_ / "workspace").string());
    if (other == Other::crun) {
      const std::lock_guard lock(mutex_);
      return {"/usr/bin/crun",
              "--cgroup-manager=disabled",
              "run",
              "-b",
              (scratch_ / "bundle").string(),
              "bench-" + std::to_string(::getpid()) + "-" + std::to_string(next_++)};
    }
    return {(programs_ / "stamp").string(), "hold"};
  }

  void start(Other other, One& one) {
    auto input = value_or_throw(base::make_pipe());
    auto output = value_or_throw(base::make_pipe());
    auto words = command(other);
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input.first.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, output.second.get(), 1);
    if (::posix_spawn(&one.pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) one.pid = -1;
    ::posix_spawn_file_actions_destroy(&actions);
    one.input = std::move(input.second);
    one.output = std::move(output.first);
  }

  static double read_stamp(One& one) {
    pollfd readable{one.output.get(), POLLIN, 0};
    timespec time{};
    const bool came =
        ::poll(&readable, 1, patience_ms) == 1 && ::read(one.output.get(), &time, sizeof time) == sizeof time;
    return came ? ms_of(time) : 0;
  }

  static void end(One& one) {
    one.input.reset();
    if (one.pid > 0) ::waitpid(one.pid, nullptr, 0);
  }

  std::filesystem::path programs_, scratch_;
  std::mutex mutex_;
  unsigned next_ = 0;
};

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> found;
  const auto folder = "/proc/" + std::to_string(pid) + "/task";
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator(folder, ignored)) {
    std::istringstream words(base::read_file(task.path() / "children").value_or(""));
    for (pid_t child; words >> child;) found.push_back(child);
  }
  return found;
}

double number_after(const std::string& text, const std::string& name) {
  const auto at = text.find(name);
  return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size());
}

}  // namespace

double pss_kib_of_tree(pid_t pid) {
  double sum =
      number_after(base::read_file("/proc/" + std::to_string(pid) + "/smaps_rollup").value_or(""), "Pss:");
  for (const auto child : children_of(pid)) sum += pss_kib_of_tree(child);
  return sum;
}

double available_kib() {
  return number_after(base::read_file("/proc/meminfo").value_or(""), "MemAvailable:");
}

Others::Others(const std::filesystem::path& folder, const std::filesystem::path& scratch) {
  auto pair = value_or_throw(base::make_seqpacket_pair());
  helper_ = ::fork();
  if (helper_ < 0) base::throw_errno("cannot fork", errno);
  if (helper_ == 0) {
    pair.first.reset();
    Helper helper(folder, scratch);
    for (Order order; ::recv(pair.second.get(), &order, sizeof order, 0) == sizeof order;) {
      const auto answer = helper.obey(order);
      (void)::send(pair.second.get(), &answer, sizeof answer, MSG_NOSIGNAL);
    }
    ::_exit(0);
  }
  socket_ = std::move(pair.first);
}

Others::~Others() {
  socket_.reset();
  ::waitpid(helper_, nullptr, 0);
}

std::string Others::missing(Other other) const {
  if (::access(program_of(other), X_OK) != 0) return "it is not installed";
  if (other == Other::crun && ::geteuid() != 0) return "as a plain user it needs ids of its own";
  return {};
}

AtOnce Others::start(Other other, unsigned count, bool measure_memory) {
  const Order order{other, count, measure_memory ? 1u : 0u};
  Answer answer{};
  if (::send(socket_.get(), &order, sizeof order, MSG_NOSIGNAL) != sizeof order ||
      ::recv(socket_.get(), &answer, sizeof answer, 0) != sizeof answer || answer.failed != 0) {
    throw std::runtime_error(std::string(program_of(other)) + " did not start its program");
  }
  return answer.result;
}

}  // namespace agentrouter::bench
