#include "sandbox/test_rig.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/clone.h"
#include "sandbox/remove_tree.h"
#include "sandbox/warden.h"

namespace agentrouter::sandbox::rig {
namespace {

using base::Fd;

constexpr const char* separator = "\x1f";
constexpr std::size_t most = 120'000;

// ---- the keeper's side ----

std::string describe(const Ran& ran) {
  return std::to_string(ran.code) + separator + std::to_string(ran.signal) + separator + ran.error +
         separator + ran.output.substr(0, most - 1000);
}

Exited wait_for(Box& box, pid_t pid, std::vector<Exited>& others) {
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (others[i].pid != pid) continue;
    const auto found = others[i];
    others.erase(others.begin() + static_cast<long>(i));
    return found;
  }
  for (;;) {
    auto notice = base::value_or_throw(box.read_notice());
    if (!notice) {
      pollfd ready{box.control_fd(), POLLIN, 0};
      if (::poll(&ready, 1, 60'000) <= 0) return {pid, -2, 0};
      continue;
    }
    if (std::holds_alternative<Gone>(*notice)) return {pid, -3, 0};
    if (const auto* exited = std::get_if<Exited>(&*notice)) {
      if (exited->pid == pid) return *exited;
      others.push_back(*exited);
    }
  }
}

struct Keeper {
  Box box;
  std::vector<Exited> ended;

  Ran finish(base::Result<pid_t> pid, base::FdPair& pipe) {
    Ran ran;
    pipe.second.reset();
    if (!pid) {
      ran.error = pid.error().message;
      return ran;
    }
    auto text = base::read_all(pipe.first.get(), 64u << 20);
    ran.output = text ? *text : text.error().message;
    const auto exited = wait_for(box, *pid, ended);
    ran.code = exited.code;
    ran.signal = exited.signal;
    return ran;
  }

  Ran run(const std::string& script) {
    auto pipe = base::value_or_throw(base::make_pipe());
    Spawn spawn;
    spawn.argv = {"/bin/sh", "-c", script};
    spawn.env = base_environment();
    spawn.stdio = {-1, pipe.second.get(), pipe.second.get()};
    return finish(box.spawn(spawn), pipe);
  }

  Ran collect(const std::string& script) {
    auto pipe = base::value_or_throw(base::make_pipe());
    Fd shell(::open("/bin/sh", O_PATH | O_CLOEXEC));
    Collect collect;
    collect.program = shell.get();
    collect.argv = {"sh", "-c", script};
    collect.env = base_environment();
    collect.outputs = {pipe.second.get()};
    collect.stdio = {-1, pipe.second.get(), pipe.second.get()};
    return finish(box.collect(collect), pipe);
  }

  Ran restore(const std::string& script) {
    auto pipe = base::value_or_throw(base::make_pipe());
    auto file = base::value_or_throw(base::make_pipe());
    (void)base::write_all(file.second.get(), "a file\n");
    file.second.reset();
    Fd shell(::open("/bin/sh", O_PATH | O_CLOEXEC));
    Restore restore;
    restore.program = shell.get();
    restore.argv = {"sh", "-c", "exec >&4 2>&4\n" + script};
    restore.files = {file.first.get(), pipe.second.get()};
    return finish(box.restore(restore), pipe);
  }

  std::string status() {
    const auto text = base::value_or_throw(base::read_file("/proc/self/status"));
    std::string environment = base::read_file("/proc/self/environ").value_or("unreadable");
    return std::to_string(::getuid()) + "\n" + std::to_string(environment.size()) + "\n" +
           std::to_string(::prctl(PR_GET_DUMPABLE)) + "\n" + std::string(to_string(box.limits())) + "\n" +
           text;
  }

  // "CAUSE BYTES INODES" of the first stop that is settled.
  std::string disk_stop() {
    for (;;) {
      pollfd ready{box.control_fd(), POLLIN, 0};
      auto notice = base::value_or_throw(box.read_notice());
      if (!notice && ::poll(&ready, 1, 30'000) <= 0) return "none";
      if (!notice) continue;
      if (std::holds_alternative<Gone>(*notice)) return "gone";
      const auto* stop = std::get_if<DiskStop>(&*notice);
      if (stop == nullptr || !stop->settled) continue;
      return std::string(std::array{"bytes", "inodes", "depth", "reserve"}[static_cast<int>(stop->cause)]) + " " +
             std::to_string(stop->bytes) + " " + std::to_string(stop->inodes);
    }
  }

  std::string obey(const std::string& command, const std::string& argument, int answer_socket) {
    const auto said = [](const auto& result) { return result ? std::string() : result.error().message; };
    if (command == "run") return describe(run(argument));
    if (command == "collect") return describe(collect(argument));
    if (command == "restore") return describe(restore(argument));
    if (command == "start") {
      Spawn spawn;
      spawn.argv = {"/bin/sh", "-c", argument};
      spawn.env = base_environment();
      return said(box.spawn(spawn));
    }
    if (command == "exec") {
      Spawn spawn;
      spawn.argv = {argument};
      return said(box.spawn(spawn));
    }
    if (command == "listener") {
      const int fd = box.listener();
      (void)base::send_message(answer_socket, "listener", std::span(&fd, 1));
      return "sent";
    }
    if (command == "outbound") {
      const auto out = box.take_outbound();
      std::string ports;
      std::vector<int> fds;
      if (out.names_udp) fds = {out.names_udp.get(), out.names_tcp.get()};
      for (const auto& listener : out.listeners) {
        ports += std::to_string(listener.port) + " ";
        fds.push_back(listener.fd.get());
      }
      (void)base::send_message(answer_socket, "=" + ports, fds);
      return "sent";
    }
    if (command == "kill_all") return said(box.kill_all());
    if (command == "freeze") return said(box.freeze());
    if (command == "thaw") return said(box.thaw());
    if (command == "status") return status();
    if (command == "memory") {
      const auto memory = box.memory();
      return std::to_string(memory.kills) + " " + std::to_string(memory.peak_bytes.value_or(0));
    }
    if (command == "notice") {
      pollfd ready{box.control_fd(), POLLIN, 0};
      ::poll(&ready, 1, 20'000);
      auto notice = base::value_or_throw(box.read_notice());
      if (!notice) return "none";
      return std::array{"exited", "memory_kill", "disk_stop", "gone"}[notice->index()];
    }
    if (command == "disk_stop") return disk_stop();
    if (command == "destroy") {
      auto proof = box.destroy();
      if (!proof) return proof.error().message;
      return std::string(proof->init_gone ? "gone" : "left") +
             (proof->cgroup_empty ? (*proof->cgroup_empty ? " empty" : " populated") : " without");
    }
    return "unknown command";
  }
};

void hold_lock(int attempt) {
  const int fd = ::openat(attempt, "attempt.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fd < 0 || ::fcntl(fd, F_OFD_SETLK, &lock) != 0) ::_exit(11);
}

int keeper_main() {
  auto box = Box::adopt();
  if (!box) ::_exit(10);
  Keeper keeper{std::move(*box), {}};
  hold_lock(keeper.box.attempt_dir());
  const auto socket = keeper.box.take_plan_pipe();
  for (;;) {
    auto message = base::receive_message(socket.get(), most);
    if (!message || message->bytes.empty()) ::_exit(0);
    const auto space = message->bytes.find(' ');
    const auto answer =
        keeper.obey(message->bytes.substr(0, space),
                    space == std::string::npos ? "" : message->bytes.substr(space + 1), socket.get());
    if (answer != "sent") (void)base::send_message(socket.get(), "=" + answer);
  }
}

// The whole suite again without root's rights. It may not see where the sources lie, so what it reads of them is opened
// before.
int run_as_user(char** argv) {
  const int list = ::open(AGENTROUTER_SOURCE_DIR "/docs/seccomp.md", O_RDONLY | O_CLOEXEC);
  if (list >= 0) ::dup2(list, seccomp_list_fd);
  if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setresgid(20001, 20001, 20001) != 0 ||
                           ::setresuid(20001, 20001, 20001) != 0)) {
    return 1;
  }
  argv[1] = argv[0];
  ::execv("/proc/self/exe", argv + 1);
  return 1;
}

Ran parse(const std::string& answer) {
  Ran ran;
  const auto first = answer.find(separator), second = answer.find(separator, first + 1);
  const auto third = answer.find(separator, second + 1);
  if (third == std::string::npos) {
    ran.error = "no answer: " + answer;
    return ran;
  }
  ran.code = std::atoi(answer.c_str());
  ran.signal = std::atoi(answer.c_str() + first + 1);
  ran.error = answer.substr(second + 1, third - second - 1);
  ran.output = answer.substr(third + 1);
  return ran;
}

}  // namespace

// ---- the test's side ----

namespace {
Driver chosen = Driver::process;
bool ahead = false;
}  // namespace

bool makes_boxes_ahead() {
  return ahead;
}

Driver driver() {
  return chosen;
}

TemporaryFolder::TemporaryFolder() {
  char name[] = "/tmp/agentrouter-sandbox-XXXXXX";
  path_ = ::mkdtemp(name);
}

TemporaryFolder::~TemporaryFolder() {
  const auto parent = base::open_directory(path_.parent_path());
  auto removed = remove_tree(parent->get(), path_.filename());
  EXPECT_TRUE(removed) << removed.error().message;
}

Rig::Rig() : plan(driver() == Driver::oci ? image_plan("/bin/bash") : curated_plan()) {
  if (driver() == Driver::oci) image = test_image();
  attempts_ = data_.path() / "attempts";
  make_attempt();
}

Rig::Rig(Rig* beside)
    : plan(beside->plan),
      launcher(&beside->the_launcher()),
      slot(beside->slot),
      range(beside->range),
      warm(beside->warm),
      attempts_(beside->attempts_) {
  make_attempt();
}

void Rig::make_attempt() {
  attempt_ = "attempt_" + base::new_uuid(base::system_entropy());
  std::filesystem::create_directories(attempt_path());
  attempts_fd_ = base::value_or_throw(base::open_directory(attempts()));
}

Rig::~Rig() {
  end_keeper();
  auto released = release_whole(the_launcher(), ref(), Remove::all);
  EXPECT_TRUE(released) << released.error().message;
}

bool Rig::is_root() const {
  return ::geteuid() == 0;
}

UidRange Rig::given() const {
  struct stat info{};
  EXPECT_EQ(::stat((attempt_path() / "box" / "home").c_str(), &info), 0);
  EXPECT_GE(info.st_uid, UidRange::first) << "a user of the host's own";
  if (info.st_uid < UidRange::first) return {};
  return UidRange::of_slot((info.st_uid - UidRange::first) / UidRange::size);
}

base::Result<void> Rig::launch() {
  auto pair = base::make_seqpacket_pair();
  keeper_socket_ = std::move(pair->first);
  Fd folder;
  LaunchRequest request;
  request.attempt = ref();
  request.plan = plan;
  if (!lower.empty()) {
    folder = Fd(::open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    request.lower = folder.get();
  }
  Fd root;
  if (!image.empty()) {
    root = Fd(::open(image.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EXPECT_EQ(::flock(root.get(), LOCK_SH), 0);
    request.image = root.get();
  }
  std::vector<Fd> kept;
  for (const auto& layer : layers) kept.emplace_back(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const auto& layer : kept) request.layers.push_back(layer.get());
  request.home_layers = home_layers;
  request.plan_pipe = pair->second.get();
  request.keeper_argv = {"sandbox_test", "--fake-keeper"};
  request.slot = slot;
  request.range = range;
  request.warm = warm;
  const bool prepared = ahead && !launcher && make_ahead();
  auto launched = the_launcher().launch(request);
  if (!launched) return tl::unexpected(launched.error());
  EXPECT_TRUE(launched->warm || !prepared);
  launched_ = std::move(*launched);
  return {};
}

base::Result<void> Rig::make_ahead() {
  LaunchRequest request;
  request.attempt = ref();
  request.plan = plan;
  request.keeper_argv = {"sandbox_test", "--fake-keeper"};
  request.slot = slot;
  request.range = range;
  Fd root;
  if (!image.empty()) {
    root = Fd(::open(image.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    request.image = root.get();
  }
  return local_.prepare(request);
}

std::string Rig::ask(const std::string& command) {
  if (!base::send_message(keeper_socket_.get(), command)) return "keeper gone";
  pollfd ready{keeper_socket_.get(), POLLIN, 0};
  if (::poll(&ready, 1, 90'000) <= 0) return "keeper silent";
  auto message = base::receive_message(keeper_socket_.get(), most);
  if (!message || message->bytes.empty()) {
    return "keeper gone: " + base::read_file(attempt_path() / "keeper.log").value_or("");
  }
  return message->bytes.substr(1);
}

Ran Rig::run(const std::string& script) {
  return parse(ask("run " + script));
}
Ran Rig::collect(const std::string& script) {
  return parse(ask("collect " + script));
}
Ran Rig::restore(const std::string& script) {
  return parse(ask("restore " + script));
}
std::string Rig::start(const std::string& script) {
  return ask("start " + script);
}

Fd Rig::listener() {
  if (!base::send_message(keeper_socket_.get(), "listener")) return {};
  auto message = base::receive_message(keeper_socket_.get(), most);
  if (!message || message->fds.empty()) return {};
  return std::move(message->fds[0]);
}

Box::Outbound Rig::outbound() {
  Box::Outbound out;
  if (!base::send_message(keeper_socket_.get(), "outbound")) return out;
  auto message = base::receive_message(keeper_socket_.get(), most);
  if (!message || message->fds.size() < 2) return out;
  out.names_udp = std::move(message->fds[0]);
  out.names_tcp = std::move(message->fds[1]);
  std::istringstream ports(message->bytes.substr(1));
  std::uint16_t port = 0;
  for (std::size_t i = 2; i < message->fds.size() && ports >> port; ++i)
    out.listeners.push_back({port, std::move(message->fds[i])});
  return out;
}

void Rig::end_keeper() {
  if (!launched_) return;
  (void)send_signal(launched_->keeper.get(), SIGKILL);
  EXPECT_TRUE(wait_for_end(launched_->keeper.get(), 10'000));
}

void Rig::keep_as(const std::filesystem::path& place) {
  EXPECT_EQ(ask("destroy").substr(0, 4), "gone");
  end_keeper();
  std::filesystem::rename(attempt_path() / box_folder, place);
}

std::string own_sleep(int seconds) {
  return std::to_string(seconds) + "." + std::to_string(::getpid());
}

std::vector<int> processes_named(const std::string& text) {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto name = entry.path().filename().string();
    const int pid = std::atoi(name.c_str());
    if (pid <= 0 || pid == ::getpid()) continue;
    const auto line = base::read_file(entry.path() / "cmdline").value_or("");
    if (line.find(text) != std::string::npos) found.push_back(pid);
  }
  return found;
}

}  // namespace agentrouter::sandbox::rig

int main(int argc, char** argv) {
  using namespace agentrouter::sandbox;
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--fake-keeper") return rig::keeper_main();
  if (mode == "--warden") ::_exit(run_warden(warden_fd) ? 0 : 1);
  if (mode == "--as-user") return rig::run_as_user(argv);
  if (mode == "--driver=oci") {
    rig::chosen = Driver::oci;
    argv[1] = argv[0];
    ++argv;
    --argc;
  }
  if (argc > 1 && std::string_view(argv[1]) == "--warm") {
    rig::ahead = true;
    argv[1] = argv[0];
    ++argv;
    --argc;
  }
  (void)::fcntl(rig::seccomp_list_fd, F_SETFD, FD_CLOEXEC);  // it is for this process alone
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
