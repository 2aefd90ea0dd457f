extern "C" {
#include <sys/syscall.h>  // glibc 2.36 forgot to say that these are C functions
}
#include <unistd.h>

#include <csignal>

#include "base/fd.h"
#include "worker/ports.h"

namespace agentrouter::worker {

void kill_process(pid_t pid) {
  if (pid <= 1 || pid == ::getpid()) return;
  const base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (process) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

}  // namespace agentrouter::worker
