#pragma once
// What is said between a launcher, a keeper and the sandbox's init: fixed structs over one SEQPACKET socket,
// descriptors beside them. Shared by init, which has no C++ runtime, so plain C types only.
//
//   launcher -> stage  Stage, once, where a container runtime makes the namespaces
//   guest -> launcher  Reply{started}
//   launcher -> init   Setup with the source descriptors: once, or before a run is known and again with it
//   init -> launcher   Reply{prepared} between the two
//   init -> launcher   Reply{ready} with the listener and those of the way out, or Reply{failed}
//   keeper  -> init    Request, text behind it, descriptors beside it
//   init -> keeper     Reply{done} for each Request; Reply{exited}, Reply{memory_kill}, Reply{disk_stop} by
//                      themselves

#include <linux/filter.h>

#include <cstdint>

namespace agentrouter::sandbox::init {

inline constexpr int control_fd = 3;
inline constexpr std::uint32_t version = 6;

inline constexpr unsigned max_binds = 24;
inline constexpr unsigned max_files = 16;
inline constexpr unsigned max_links = 8;
inline constexpr unsigned max_emptied = 4;
inline constexpr unsigned max_layers = 16;
inline constexpr unsigned max_libraries = 4;
inline constexpr unsigned max_sources = max_binds + max_layers + 4 + max_libraries;
inline constexpr unsigned max_text = 32 * 1024;
inline constexpr unsigned max_host_paths = 48 * 1024;
inline constexpr unsigned max_filter = 1024;
inline constexpr unsigned max_sealed_filter = 128;
inline constexpr unsigned max_outputs = 8;
inline constexpr unsigned max_outbound = 16;
inline constexpr unsigned max_request = 64 * 1024;
inline constexpr unsigned max_config = 64 * 1024;

// Offsets are into Spec::text, where every string ends with a zero.
struct BindSpec {
  std::uint32_t to;
  std::uint32_t veiled;
  std::uint32_t is_folder;
  std::uint32_t of_run;  // a source that no other run has
};
struct FileSpec {
  std::uint32_t path;
  std::uint32_t content;
  std::uint32_t size;
};
struct LinkSpec {
  std::uint32_t path;
  std::uint32_t target;
};

// What a caller may choose about a sandbox. The same bytes go from a server to the warden and on to init.
struct Spec {
  std::uint32_t version;
  std::uint32_t read_only_workspace;
  std::uint64_t memory_bytes;
  std::uint64_t file_bytes;
  std::uint64_t tmp_bytes;
  std::uint64_t shm_bytes;
  std::uint32_t tmp_inodes;
  std::uint32_t pids;
  std::uint32_t cpu_percent;
  std::uint32_t open_files;
  std::uint32_t demand_cgroup;
  std::uint32_t bind_count;
  std::uint32_t file_count;
  std::uint32_t link_count;
  std::uint32_t text_size;
  std::uint32_t layer_count;
  std::uint32_t home_layers;  // of them
  std::uint32_t emptied_count;
  BindSpec binds[max_binds];
  FileSpec files[max_files];
  LinkSpec links[max_links];
  std::uint32_t emptied[max_emptied];  // folders of an image in whose place there are empty ones
  char text[max_text];
  std::uint32_t outbound_count;
  std::uint16_t outbound_ports[max_outbound];
  // The root is an image's. Folders of libraries, with their loader before them, for programs that come as a descriptor.
  std::uint32_t has_image;
  std::uint32_t library_count;
  // Of what the agent writes into the workspace and its home, and what the file system keeps free (0: nothing).
  std::uint64_t disk_bytes;
  std::uint64_t disk_inodes;
  std::uint64_t disk_reserve;
  std::uint64_t memory_reserve;  // of the machine
  // Of all sandboxes together, for the launcher. 0: no such limit.
  std::uint64_t machine_memory;
  std::uint64_t machine_pids;
  std::uint32_t machine_cpu;
  std::uint32_t disk_reserve_inode_percent;
};

// Which part of building a sandbox a set-up is for. A box can be made before there is a run for it: then the first
// set-up names only what many runs have in common, and the second is the run's.
enum SetupPart : std::uint32_t { part_whole = 0, part_common = 1, part_run = 2 };

// What only the launcher decides. Source descriptors beside it: the attempt's folder, the lower folder, then
// one per kept layer, the newest first, and one per bind; with an image its root, and then the loader and the folders
// of libraries if there are any. With part_common only those of the binds that are of no run, with part_run all
// others. `own_map` (plain user): they are opened again by the paths in `host_paths`, since a mount can
// only be cloned inside its own namespace, and compared by device and inode; otherwise they are mounts.
struct Setup {
  Spec spec;
  std::uint32_t own_map;
  std::uint32_t host_uid;
  std::uint32_t host_gid;
  std::uint32_t limits_mode;  // LimitsMode
  std::uint32_t address;      // network byte order
  std::uint32_t port;
  std::uint32_t weakening;  // only looked at by the init of the escape suite's positive controls
  std::uint32_t filter_size;
  std::uint32_t host_path[max_sources];
  char host_paths[max_host_paths];
  sock_filter filter[max_filter];
  std::uint32_t collector_filter_size;
  sock_filter collector_filter[max_filter];
  std::uint32_t sealed_filter_size;
  sock_filter sealed_filter[max_sealed_filter];
  std::uint32_t guest;  // somebody else has made the namespaces, and shows the sources at `host_paths`
  std::uint32_t part;   // SetupPart
};

// What init's program needs to have a container runtime start it again, as a guest. Said before Setup, on the same
// socket, which the runtime passes on.
struct Stage {
  std::uint32_t version;
  std::uint32_t own_map;  // make a user namespace's map of host_uid and host_gid first
  std::uint32_t host_uid;
  std::uint32_t host_gid;
  std::uint32_t config_size;
  char runtime[128];
  char config[max_config];  // config.json
};

// argv[1] of init's program: nothing, or one of these.
inline constexpr const char* stage_word = "stage";
inline constexpr const char* guest_word = "guest";

// What the escape suite's positive controls switch off, one class each; the product's init ignores it.
enum Weakening : std::uint32_t {
  weaken_no_seccomp = 1,
  weaken_keep_capabilities = 2,
  weaken_host_view = 4,        // the host's whole tree at /mnt and its /tmp at /tmp
  weaken_host_network = 8,     // no network namespace
  weaken_host_processes = 16,  // the host's /proc
  weaken_no_limits = 32,
  weaken_leak_descriptor = 64,  // the agent finds init's control socket
  weaken_no_landlock = 128,
};

enum RequestType : std::uint32_t {
  request_hello = 1,       // value of the answer: limits_mode, and << 8 the version of Landlock
  request_spawn = 2,       // descriptors: stdin, stdout, stderr; value: pid
  request_collect = 3,     // descriptors: stdin, stdout, stderr, program, outputs; value: pid
  request_signal = 4,      // pid, signal
  request_signal_all = 5,  // signal
  request_kill_all = 6,    // answered when nothing but init is left
  request_restore = 7,     // as request_collect, with the agent's rights and without the layers
};

// Behind it: cwd, argv..., env..., each with a zero at its end.
struct Request {
  std::uint32_t type;
  std::uint32_t id;
  std::uint32_t argc;
  std::uint32_t envc;
  std::uint32_t outputs;
  std::int32_t pid;
  std::int32_t signal;
  std::uint32_t reserved;
};

enum ReplyType : std::uint32_t {
  reply_ready = 1,
  reply_failed = 2,  // stage, error
  reply_done = 3,    // id, value, error, stage
  reply_exited = 4,  // value: pid, error: wait status
  reply_memory_kill = 5,
  reply_started = 16,   // of a guest, before Setup
  reply_prepared = 17,  // after part_common
  reply_disk_stop = 6,  // a DiskReport in `stage`: everything inside is killed; once more when it is dead
};

struct Reply {
  std::uint32_t type;
  std::uint32_t id;
  std::int32_t value;
  std::int32_t error;
  char stage[80];
};

enum DiskCause : std::uint32_t { disk_fits = 0, disk_bytes, disk_inodes, disk_depth, disk_reserve };

struct DiskReport {
  DiskCause cause;
  std::uint32_t settled;  // nothing runs any more: the numbers are final
  std::uint64_t bytes;
  std::uint64_t inodes;
  std::uint64_t most_bytes;
  std::uint64_t most_inodes;
};

}  // namespace agentrouter::sandbox::init
