#include <dirent.h>
#include <fcntl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sandbox/init/stages.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr std::uint64_t page = 4096;
// Files without a name of memory, which no process has mapped, are looked for among so many descriptors.
constexpr unsigned most_descriptors = 50'000;

// The beginning of a file of /proc; "" when there is none.
template <unsigned Size>
const char* read_start(const char* path, char (&text)[Size]) {
  text[0] = 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  const auto got = read(fd, text, Size - 1);
  close(fd);
  text[got > 0 ? got : 0] = 0;
  return text;
}

// Bytes behind a name like "RssShmem:", which the file says in kB.
template <unsigned Size>
std::uint64_t kilobytes_of(const char* path, const char* name, char (&text)[Size]) {
  const char* at = strstr(read_start(path, text), name);
  return at ? strtoull(at + strlen(name), nullptr, 10) * 1024 : 0;
}

// `look` is called with the number of each process but init.
template <class Look>
void each_process(const Look& look) {
  DIR* all = opendir("/proc");
  if (!all) return;
  while (const dirent* entry = readdir(all)) {
    const int pid = atoi(entry->d_name);
    if (pid > 1) look(pid);
  }
  closedir(all);
}

struct Pages {
  std::uint64_t own = 0, shared = 0;
};

// Shared: with files, too.
Pages pages_of(int pid) {
  char path[40], text[128];
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  unsigned long long size = 0, resident = 0, shared = 0;
  if (sscanf(read_start(path, text), "%llu %llu %llu", &size, &resident, &shared) != 3) return {};
  return {resident > shared ? resident - shared : 0, shared};
}

struct Largest {
  int pid = 0;
  std::uint64_t size = 0;
  void see(int other, std::uint64_t its) {
    if (its <= size) return;
    pid = other;
    size = its;
  }
};

// What of a process lies in memory that several may share and that no file system holds.
std::uint64_t shared_memory_of(int pid) {
  char path[40], text[4096];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  return kilobytes_of(path, "\nRssShmem:", text);
}

// The same, each page divided by how many have it.
std::uint64_t part_of_shared_memory(int pid) {
  char path[40], text[4096];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  return kilobytes_of(path, "\nPss_Shmem:", text);
}

bool is_nameless_memory(int folder, const char* name, struct stat& info) {
  char target[32];
  const auto size = readlinkat(folder, name, target, sizeof target);
  constexpr char start[] = "/memfd:";
  if (size < static_cast<ssize_t>(sizeof start - 1) || memcmp(target, start, sizeof start - 1) != 0)
    return false;
  return fstatat(folder, name, &info, 0) == 0;
}

// What memfd_create() files hold that are open, each once as far as neighbours tell.
std::uint64_t nameless_memory() {
  std::uint64_t sum = 0;
  unsigned looked = 0;
  ino_t last = 0;
  each_process([&](int pid) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR* fds = looked < most_descriptors ? opendir(path) : nullptr;
    if (!fds) return;
    while (const dirent* fd = readdir(fds)) {
      struct stat info;
      if (++looked > most_descriptors) break;
      if (!is_nameless_memory(dirfd(fds), fd->d_name, info) || info.st_ino == last) continue;
      last = info.st_ino;
      sum += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
    closedir(fds);
  });
  return sum;
}

// Segments of System V: of this sandbox's namespace. With `remove`, those that nobody has attached go.
std::uint64_t segments(bool remove) {
  shm_info all{};
  const int last = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&all));
  if (last < 0) return 0;
  for (int i = 0; remove && i <= last; ++i) {
    shmid_ds one{};
    const int id = shmctl(i, SHM_STAT, &one);
    if (id >= 0 && one.shm_nattch == 0) shmctl(id, IPC_RMID, nullptr);
  }
  return all.shm_rss * page;
}

// What all have in memory that is no process's own, looked at closely only where the sum may be too much.
std::uint64_t shared_memory(std::uint64_t left, std::uint64_t mapped_at_most) {
  std::uint64_t mapped = 0;
  if (mapped_at_most > left) each_process([&](int pid) { mapped += shared_memory_of(pid); });
  if (mapped > left) {
    mapped = 0;
    each_process([&](int pid) { mapped += part_of_shared_memory(pid); });
  }
  const auto held = nameless_memory() + segments(false);
  return mapped > held ? mapped : held;
}

// All shared memory of the machine, which tells whether a closer look is worth it.
std::uint64_t machine_shared_memory() {
  char text[2048];
  return kilobytes_of("/proc/meminfo", "\nShmem:", text);
}

// 0 where the kernel does not say.
std::uint64_t available_memory() {
  char text[2048];
  return kilobytes_of("/proc/meminfo", "\nMemAvailable:", text);
}

unsigned sockets_of(int pid) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR* fds = opendir(path);
  if (!fds) return 0;
  unsigned count = 0;
  while (const dirent* fd = readdir(fds)) {
    char target[8];
    constexpr char start[] = "socket:";
    const auto size = readlinkat(dirfd(fds), fd->d_name, target, sizeof target);
    if (size >= static_cast<ssize_t>(sizeof start - 1) && memcmp(target, start, sizeof start - 1) == 0)
      ++count;
  }
  closedir(fds);
  return count;
}

// The process with the most sockets, if all together have more than servers and their clients need; else 0.
int holder_of_sockets() {
  constexpr unsigned usual = 256;
  unsigned sum = 0;
  Largest most;
  each_process([&](int pid) {
    const auto count = sockets_of(pid);
    sum += count;
    most.see(pid, count);
  });
  return sum > usual ? most.pid : 0;
}

// Kills for the machine's sake.
void keep_reserve(MemoryWatch& watch, std::uint64_t reserve) {
  const auto available = available_memory();
  if (reserve == 0 || available == 0) return;
  if (available < 4 * reserve && watch.next_ms > 50) watch.next_ms = 50;
  if (available >= reserve || watch.killed != 0) return;
  const int holder = holder_of_sockets();
  if (holder != 0 && kill(holder, SIGKILL) == 0) watch.killed = holder;
  if (holder != 0) watch.next_ms = 20;
}

}  // namespace

MemoryWatch watch_memory(std::uint64_t limit, std::uint64_t reserve) {
  static const std::uint64_t shared_before = machine_shared_memory();
  MemoryWatch result;
  std::uint64_t sum = 0, shared = 0;
  Largest by_own, by_all;
  each_process([&](int pid) {
    const auto pages = pages_of(pid);
    sum += pages.own * page;
    shared += pages.shared * page;
    by_own.see(pid, pages.own);
    by_all.see(pid, pages.own + pages.shared);
  });
  const auto left = limit > sum ? limit - sum : 0;
  const int largest = left > 0 ? by_all.pid : by_own.pid;
  if (left > 0 && machine_shared_memory() > shared_before + left / 4) sum += shared_memory(left, shared);
  // The closer to the limit, the sooner the next look; an idle agent costs next to nothing.
  result.next_ms = sum < limit / 4 ? 500 : sum < limit / 4 * 3 ? 100 : 20;
  if (sum > limit) {
    if (largest != 0 && kill(largest, SIGKILL) == 0) result.killed = largest;
    segments(true);
  }
  keep_reserve(result, reserve);
  return result;
}

}  // namespace agentrouter::sandbox::init
