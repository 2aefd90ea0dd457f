extern "C" {
#include <sys/syscall.h>  // glibc 2.36 forgot to say that these are C functions
}
#include <unistd.h>

#include <csignal>

#include "base/fd.h"
#include "base/file.h"
#include "worker/ports.h"

namespace agentrouter::worker {

void kill_process(pid_t pid) {
  if (pid <= 1 || pid == ::getpid()) return;
  const base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (process) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

bool is_stopped(pid_t pid) {
  const auto stat = base::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  const auto name_end = stat ? stat->rfind(") ") : std::string::npos;
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return false;
  const char state = (*stat)[name_end + 2];
  return state == 'T' || state == 't';
}

}  // namespace agentrouter::worker
