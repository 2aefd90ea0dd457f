#pragma once
// Init's work in order: ids, mounts, network, confinement, then serving the keeper.

#include "sandbox/init/protocol.h"

namespace agentrouter::sandbox::init {

// uid and gid inside the sandbox that init has: 0 with a range of ids, the agent's own as a plain user.
void take_ids(const Setup& setup);

struct Grounds {
  // Read-only mounts of their own, for the collector. Above the lower folder: "0" is what this run writes,
  // "1"... the kept layers, the newest first.
  int lower = -1;
  int upper = -1;
  int home = -1;
  // What this run writes, of upper and home.
  int written_workspace = -1;
  int written_home = -1;
};
// How many source descriptors a set-up of this part has.
unsigned count_sources(const Setup& setup);
// Builds the root as far as the set-up's part has it and makes it the current folder. `fds` as Setup describes them;
// all are closed once they are used.
void prepare_root(const Setup& setup, const int* fds);
// After part_common: those of part_run.
void open_run_sources(const Setup& setup, const int* fds);
// What is the run's, and the way in: the host's root is gone afterwards.
Grounds enter_root(const Setup& setup);

// With an image, in place of the host's /usr: the image's tree becomes the new root, and the current folder.
void enter_image(const Setup& setup, int image);
void close_image();
// The loader and then the folders of libraries for programs that come as a descriptor: kept above 63, close-on-exec.
void keep_libraries(const int* trees, unsigned count);
// The loader (0) or a folder (1...), or -1.
int library_fd(unsigned index);
// In a child: executes the program behind a descriptor, with its libraries if it has any. Returns with errno.
void execute_program(int program, char** argv, char** envp);
// How many sources an image is.
inline unsigned count_image(const Spec& spec) {
  return !spec.has_image ? 0 : spec.library_count == 0 ? 1 : 2 + spec.library_count;
}
inline constexpr unsigned max_strings = 2048;

// Prepares for a container runtime and becomes it.
[[noreturn]] void stage_container();

// Brings lo up and returns the listener.
int open_network(const Setup& setup);

// The way out to other hosts, if the set-up names ports: makes every IPv4 address local and fills `sockets`
// (room for max_outbound + 2) with the names' datagram socket, their listener, and a listener for each port on
// every address. Returns how many.
unsigned open_outbound(const Setup& setup, int* sockets);
// Others may listen on the same port of another address.
void share_port(int listener);

// The second fence: Landlock, which holds whatever the view and the missing capabilities should let through. One
// for the agent (reads what it is shown, writes its workspace, home, /tmp, /dev/shm and the devices' nodes) and one
// for the collector (reads). Whoever enters one also reaches no process and no abstract socket outside of it, so not
// init. -1 and version 0: the kernel has none, or one that cannot move files between folders.
struct Fences {
  int agent = -1;
  int collector = -1;
  int version = 0;
};
// Before the root is entered, with the new root as the current folder: what many runs have in common.
Fences prepare_fences(const Setup& setup);
// In the new root: the rest.
void finish_fences(const Fences& fences, const Setup& setup, const Grounds& grounds);
// In a child, after no_new_privs: for ever, and for all that it starts. `program`: a descriptor that it may execute, or
// -1. Returns false with errno.
bool enter_fence(int fence, int program);

// Limits of everything inside, then the smallest set of capabilities that serving needs, no_new_privs and
// seccomp: inherited by all that init starts.
void confine(const Setup& setup);

// Before exec in a child: what only the agent, or only the collector, gets. Return false with errno.
bool become_agent(const Setup& setup);
bool become_collector();
// What is narrower for the collector than for everything else, last before exec. Returns false with errno.
bool filter_collector(const Setup& setup);
// The same for everything else than the collector: no filter can be added behind it.
bool seal_agent(const Setup& setup);
// Of a child, whatever it is. Returns false with errno.
bool limit_open_files(const Setup& setup);

// Answers the keeper until the control socket is closed.
[[noreturn]] void serve(const Setup& setup, Grounds grounds, Fences fences);

// rlimit mode: kills the largest process when all together are over `limit`: their own memory, and what they
// share or hold without a name (memfd, System V; segments that nobody has attached go with it). With less
// than `reserve` of the machine's memory available, the process with the most sockets where there are
// hundreds: what waits in them belongs to none. An address-space limit would not do: sanitizers and virtual
// machines reserve terabytes that they never touch.
struct MemoryWatch {
  int killed = 0;     // pid, or 0
  int next_ms = 500;  // when to look again
};
MemoryWatch watch_memory(std::uint64_t limit, std::uint64_t reserve);

}  // namespace agentrouter::sandbox::init
