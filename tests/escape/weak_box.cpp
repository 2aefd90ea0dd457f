// Runs shell commands in a sandbox: the product's own, or one with controls switched off on purpose, for the
// positive controls of the suite.
//
//   weak_box <attempts folder> <none, or weakenings, comma separated> <command>
//   weak_box <attempts folder> <none, or weakenings, comma separated> -
//
// `outbound` instead of `none`: the product's own, with a way out that nobody serves.
// In the second form another program runs in the sandbox already, and the commands come from stdin, each with a zero
// at its end. The commands' stdout and stderr are this program's stdout, with a zero behind the output of each in the
// second form. Ends with 0 once the sandbox is gone, whatever the commands returned; with 1 and a message when the
// sandbox could not be made or removed.

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "base/id.h"
#include "sandbox/box.h"
#include "sandbox/clone.h"
#include "sandbox/weak/weak.h"

namespace {

using namespace agentrouter;

constexpr const char* program = "weak_box";
constexpr const char* as_keeper = "--keeper";
constexpr int patience_ms = 60'000;

struct Switch {
  const char* name;
  sandbox::init::Weakening bit;
};
constexpr Switch switches[] = {
    {"seccomp", sandbox::init::weaken_no_seccomp},
    {"capabilities", sandbox::init::weaken_keep_capabilities},
    {"view", sandbox::init::weaken_host_view},
    {"network", sandbox::init::weaken_host_network},
    {"processes", sandbox::init::weaken_host_processes},
    {"limits", sandbox::init::weaken_no_limits},
    {"descriptor", sandbox::init::weaken_leak_descriptor},
    {"landlock", sandbox::init::weaken_no_landlock},
};

std::uint32_t weakenings(const std::string& names) {
  if (names == "none" || names == "outbound") return 0;
  std::uint32_t bits = 0;
  std::istringstream words(names);
  for (std::string word; std::getline(words, word, ',');) {
    bool known = false;
    for (const auto& one : switches) {
      if (word != one.name) continue;
      bits |= one.bit;
      known = true;
    }
    if (!known) throw base::Failure({base::Code::invalid, "no such control: " + word});
  }
  return bits;
}

bool wait_for(sandbox::Box& box, pid_t pid) {
  for (;;) {
    const auto notice = base::value_or_throw(box.read_notice());
    if (!notice) {
      pollfd ready{box.control_fd(), POLLIN, 0};
      if (::poll(&ready, 1, patience_ms) <= 0) return false;
      continue;
    }
    if (std::holds_alternative<sandbox::Gone>(*notice)) return false;
    const auto* exited = std::get_if<sandbox::Exited>(&*notice);
    if (exited && exited->pid == pid) return true;
  }
}

// The keeper's side: each message is a command, whose output goes to the descriptor that came with it; one without
// is left running.
int keep() {
  auto box = base::value_or_throw(sandbox::Box::adopt());
  const auto socket = box.take_plan_pipe();
  for (;;) {
    const auto order = base::value_or_throw(base::receive_message(socket.get(), 64 << 10));
    if (order.bytes.empty()) break;
    const int output = order.fds.empty() ? -1 : order.fds[0].get();
    sandbox::Spawn spawn;
    spawn.argv = {"/bin/bash", "-c", order.bytes};
    spawn.env = sandbox::base_environment();
    spawn.stdio = {-1, output, output};
    const auto pid = base::value_or_throw(box.spawn(spawn));
    if (output >= 0 && !wait_for(box, pid)) return 1;
    base::value_or_throw(base::send_message(socket.get(), "done"));
  }
  (void)base::value_or_throw(box.destroy());
  return 0;
}

void ask(int socket, const std::string& command, std::span<const int> output) {
  base::value_or_throw(base::send_message(socket, command, output));
  if (base::value_or_throw(base::receive_message(socket, 64)).bytes != "done")
    throw base::Failure({base::Code::unavailable, "the sandbox ended"});
}

void run_all(int socket) {
  const int output = STDOUT_FILENO;
  ask(socket, "exec sleep 3600", {});
  for (std::string command; std::getline(std::cin, command, '\0');) {
    ask(socket, command, std::span(&output, 1));
    (void)base::write_all(output, std::string_view("\0", 1));
  }
}

int run(const std::string& folder, const std::string& names, const std::string& command) {
  const auto attempts = base::value_or_throw(base::open_directory(folder));
  const auto id = "attempt_" + base::new_uuid(base::system_entropy());
  if (::mkdirat(attempts.get(), id.c_str(), 0700) != 0) {
    std::cerr << program << ": cannot make the attempt's folder\n";
    return 1;
  }
  auto pair = base::value_or_throw(base::make_seqpacket_pair());
  sandbox::LocalLauncher strong;
  sandbox::WeakLauncher weak(weakenings(names));
  sandbox::Launcher& launcher = weakenings(names) == 0 ? static_cast<sandbox::Launcher&>(strong) : weak;
  sandbox::LaunchRequest request;
  request.attempt = {attempts.get(), id};
  request.plan = sandbox::curated_plan();
  if (names == "outbound") request.plan.outbound_ports = {22, 80, 443};
  request.plan_pipe = pair.second.get();
  request.keeper_argv = {program, as_keeper};
  request.slot = 59'000;
  const auto launched = base::value_or_throw(launcher.launch(request));
  pair.second.reset();
  const int output = STDOUT_FILENO;
  try {
    command == "-" ? run_all(pair.first.get()) : ask(pair.first.get(), command, std::span(&output, 1));
  } catch (const base::Failure& failure) {
    std::cerr << program << ": " << failure.what() << "\n";
  }
  pair.first.reset();
  const bool ended = sandbox::wait_for_end(launched.keeper.get(), patience_ms);
  if (!ended) {
    (void)sandbox::send_signal(launched.keeper.get(), SIGKILL);
    (void)sandbox::wait_for_end(launched.keeper.get(), patience_ms);
    std::cerr << program << ": the command did not end\n";
  }
  base::value_or_throw(sandbox::release_whole(launcher, request.attempt, sandbox::Remove::all));
  return ended ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2 && std::string(argv[1]) == as_keeper) return keep();
    if (argc == 4) return run(argv[1], argv[2], argv[3]);
    std::cerr << "usage: weak_box <attempts folder> <none or weakenings> <command or ->\n";
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << "\n";
  }
  return 1;
}
