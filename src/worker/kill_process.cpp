#include <sys/pidfd.h>
#include <unistd.h>

#include <csignal>

#include "base/fd.h"
#include "worker/ports.h"

namespace agentrouter::worker {

void kill_process(pid_t pid) {
  if (pid <= 1 || pid == ::getpid()) return;
  const base::Fd process(::pidfd_open(pid, 0));
  if (process) ::pidfd_send_signal(process.get(), SIGKILL, nullptr, 0);
}

}  // namespace agentrouter::worker
