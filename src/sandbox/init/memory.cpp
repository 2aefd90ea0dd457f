#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "sandbox/init/stages.h"

namespace agentrouter::sandbox::init {
namespace {

// Pages that are this process' own.
std::uint64_t own_pages(int pid) {
  char path[40], text[128];
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const auto got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  unsigned long long size = 0, resident = 0, shared = 0;
  if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3) return 0;
  return resident > shared ? resident - shared : 0;
}

}  // namespace

MemoryWatch watch_memory(std::uint64_t limit) {
  MemoryWatch result;
  DIR* all = opendir("/proc");
  if (!all) return result;
  std::uint64_t sum = 0, most = 0;
  int largest = 0;
  while (const dirent* entry = readdir(all)) {
    const int pid = atoi(entry->d_name);
    if (pid <= 1) continue;
    const auto pages = own_pages(pid);
    sum += pages;
    if (pages > most) {
      most = pages;
      largest = pid;
    }
  }
  closedir(all);
  const auto bytes = sum * 4096;
  // The closer to the limit, the sooner the next look; an idle agent costs next to nothing.
  result.next_ms = bytes < limit / 4 ? 500 : bytes < limit / 4 * 3 ? 100 : 20;
  if (bytes > limit && largest != 0 && kill(largest, SIGKILL) == 0) result.killed = largest;
  return result;
}

}  // namespace agentrouter::sandbox::init
