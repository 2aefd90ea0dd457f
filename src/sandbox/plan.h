#pragma once
// What one sandbox is made of, as plain data: what it sees, what it may use, where its one way out listens.
// The default is a curated root (the host's /usr read-only, a synthetic /etc, nothing else of the host); a
// caller adds the agent's own program and files. Nothing in here can weaken a required control.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace agentrouter::sandbox {

// Fixed places inside every sandbox.
inline constexpr const char* workspace_path = "/workspace";
inline constexpr const char* home_path = "/home/agent";
inline constexpr const char* tmp_path = "/tmp";
// The only listener in the sandbox's network namespace: made inside, accepted outside (Box::listener).
inline constexpr const char* provider_address = "127.83.1.1";
inline constexpr std::uint16_t provider_port = 80;
// What programs inside ask for names where hosts may be reached: UDP and TCP, Box::take_outbound.
inline constexpr std::uint16_t names_port = 53;
inline constexpr unsigned max_outbound_ports = 16;
// The agent's ids as it sees them.
inline constexpr unsigned agent_uid = 1000;

enum class Missing { refuse, skip };

// A file or folder of the host, read-only, nosuid, nodev, at `to`. Folders outside /usr and /etc are veiled:
// /proc/self/mountinfo inside does not show where they live on the host.
struct Bind {
  std::filesystem::path from;
  std::string to;
  Missing missing = Missing::refuse;
  bool of_run = false;  // no other run has this source: a box that is made before its run gets it last
};

// A file that exists only in this sandbox, owned by root and read-only, also when it lies in the agent's
// writable home ("/home/agent/.codex/config.toml"): missing folders in between then belong to the agent.
// All files together: at most 16 files, 24 KiB.
struct SyntheticFile {
  std::string path;
  std::string content;
};

enum class WorkspaceMode { read_write, read_only };

struct Limits {
  std::uint64_t memory_bytes = 2ull << 30;  // cgroup: of all processes and tmpfs; rlimit: watched by init
  std::uint32_t pids = 512;
  std::uint32_t cpu_percent = 200;  // of one core; cgroup only
  std::uint32_t open_files = 4096;
  std::uint64_t file_bytes = 8ull << 30;  // RLIMIT_FSIZE, at most disk_bytes
  std::uint64_t tmp_bytes = 512ull << 20;
  std::uint32_t tmp_inodes = 65536;
  std::uint64_t shm_bytes = 256ull << 20;
  // Allocated bytes and inodes of what is written into the workspace and the home, counted by init.
  std::uint64_t disk_bytes = 16ull << 30;
  std::uint64_t disk_inodes = 2'000'000;
  // A sandbox that goes on writing is stopped when its file system has less than this free, each when less than
  // a quarter of it. 0: nothing is kept free.
  std::uint64_t disk_reserve_bytes = 0;
  // The same for its inodes, of all that it has; a file system without a number of them has no reserve.
  std::uint32_t disk_reserve_inode_percent = 0;
  // rlimit only, where what waits in sockets counts for nobody: when less than this of the machine's memory
  // is available, a sandbox with hundreds of sockets loses the process with the most. 0: nothing is kept.
  std::uint64_t memory_reserve_bytes = 0;
};

// Of all sandboxes of an installation together, where there are cgroups. 0: no such limit.
struct MachineLimits {
  std::uint64_t memory_bytes = 0;
  std::uint64_t pids = 0;
  std::uint32_t cpu_percent = 0;  // of one core
};

// `cgroup`: refuse to launch where memory, pids and cpu cannot be limited by cgroups.
enum class LimitsDemand { any, cgroup };

struct Plan {
  std::vector<Bind> binds;
  std::vector<SyntheticFile> files;
  WorkspaceMode workspace = WorkspaceMode::read_write;
  Limits limits;
  MachineLimits machine;
  LimitsDemand demand = LimitsDemand::any;
  // Ports of other hosts that programs inside may connect to: then every IPv4 address is the sandbox's own, and
  // connections to these ports arrive at listeners that are accepted outside. 1 to 65535, each once, at most
  // max_outbound_ports. Empty: no address but 127.0.0.0/8 is reachable. See let_out().
  std::vector<std::uint16_t> outbound_ports = {};
  // In an image: folders of it whose content is not shown. At most 4.
  std::vector<std::string> emptied = {};
};

// /usr, and of /etc what programs need and everybody may read; synthetic passwd, group, hosts, resolv.conf,
// nsswitch.conf. A caller appends to `binds` and `files`.
[[nodiscard]] Plan curated_plan();

// Sets the ports, and resolv.conf and nsswitch.conf so that names are asked for at provider_address.
void let_out(Plan& plan, std::vector<std::uint16_t> ports);

// Where an image takes the place of the host's /usr and /etc: only the files. `shell` is the agent's, of the image.
[[nodiscard]] Plan image_plan(const std::string& shell);

// PATH, HOME, TMPDIR, LANG, USER...: "NAME=value", to which a caller adds what its agent needs.
[[nodiscard]] std::vector<std::string> base_environment();

}  // namespace agentrouter::sandbox
