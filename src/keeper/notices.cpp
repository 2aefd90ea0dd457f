#include "keeper/notices.h"

#include <fcntl.h>

#include <boost/asio/redirect_error.hpp>
#include <cerrno>

namespace agentrouter::keeper {
namespace {

int duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) base::throw_errno("cannot watch the sandbox", errno);
  return copy;
}

}  // namespace

Notices::Notices(base::Executor executor, Sandbox& sandbox)
    : sandbox_(sandbox), control_(executor, duplicate(sandbox.control_fd())), changed_(executor) {}

base::Task<void> Notices::watch() {
  while (!gone_) {
    boost::system::error_code error;
    co_await control_.async_wait(Descriptor::wait_read, asio::redirect_error(base::use_task, error));
    if (error) co_return;
    poll();
  }
}

void Notices::poll() {
  while (!gone_) {
    auto notice = sandbox_.read_notice();
    if (!notice || !*notice) break;
    if (const auto* exited = std::get_if<sandbox::Exited>(&**notice)) exits_[exited->pid] = *exited;
    if (const auto* kill = std::get_if<sandbox::MemoryKill>(&**notice)) memory_kills_.insert(kill->pid);
    if (const auto* stop = std::get_if<sandbox::DiskStop>(&**notice)) disk_stop_ = *stop;
    gone_ = std::holds_alternative<sandbox::Gone>(**notice);
  }
  changed_.notify();
}

const sandbox::Exited* Notices::exited(pid_t pid) const {
  const auto found = exits_.find(pid);
  return found == exits_.end() ? nullptr : &found->second;
}

std::string status_text(const sandbox::Exited& exited) {
  return exited.signal != 0 ? "signal " + std::to_string(exited.signal)
                            : "exit " + std::to_string(exited.code);
}

}  // namespace agentrouter::keeper
