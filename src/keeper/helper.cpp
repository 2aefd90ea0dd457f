#include "keeper/helper.h"

#include <fcntl.h>
#include <unistd.h>

namespace agentrouter::keeper {
namespace {

// Its writer has ended and it is smaller than a pipe: what is there is there at once.
std::string read_report(int fd) {
  std::string text(4096, '\0');
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return {};
  const ssize_t size = ::read(fd, text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

base::Task<bool> wait_for_exit(Notices& notices, pid_t pid, base::Deadline deadline) {
  while (notices.exited(pid) == nullptr && !notices.gone()) {
    if (base::SteadyClock::now() >= deadline) co_return false;
    co_await notices.changed().wait_until(deadline);
  }
  co_return true;
}

}  // namespace

base::Task<base::Result<std::string>> wait_for_report(Sandbox& sandbox, Notices& notices, Helper helper,
                                                    std::chrono::milliseconds patience) {
  const bool ended =
      co_await wait_for_exit(notices, helper.pid, base::SteadyClock::now() + patience);
  if (!ended) {
    (void)sandbox.kill_all();
    notices.poll();
    co_return base::fail(base::Code::timeout, std::string(helper.what) + ": it takes too long");
  }
  std::string text = read_report(helper.report.get());
  if (!text.empty()) co_return text;
  const auto* exited = notices.exited(helper.pid);
  co_return base::fail(base::Code::unavailable,
                       std::string(helper.what) + ": the process ended with " +
                           (exited ? status_text(*exited) : std::string("the sandbox")));
}

}  // namespace agentrouter::keeper
