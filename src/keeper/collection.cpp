#include "keeper/collection.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::keeper {
namespace {

base::Result<base::Fd> output_file(int attempt_dir, const char* name) {
  base::Fd fd(::openat(attempt_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail_errno(std::string("cannot make ") + name, errno);
  return fd;
}

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
    if (std::chrono::steady_clock::now() >= deadline) co_return false;
    co_await notices.changed().wait_until(deadline);
  }
  co_return true;
}

}  // namespace

base::Task<base::Result<workspace::CollectReport>> collect_changes(Sandbox& sandbox, Notices& notices,
                                                                   int attempt_dir,
                                                                   std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_CO_TRY(const base::Fd index, output_file(attempt_dir, "index.json"));
  AGENTROUTER_CO_TRY(const base::Fd patch, output_file(attempt_dir, "changes.patch"));
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  AGENTROUTER_CO_TRY(const pid_t pid,
                     sandbox.collect({.program = program.get(),
                                      .argv = {"agentrouter", "collect"},
                                      .env = {},
                                      .outputs = {index.get(), patch.get(), report.second.get()}}));
  report.second.reset();
  const bool ended = co_await wait_for_exit(notices, pid, std::chrono::steady_clock::now() + patience);
  if (!ended) {
    (void)sandbox.kill_all();
    notices.poll();
    co_return base::fail(base::Code::timeout, "cannot collect the changes: it takes too long");
  }
  const std::string text = read_report(report.first.get());
  if (::fsync(index.get()) != 0 || ::fsync(patch.get()) != 0) {
    co_return base::fail_errno("cannot collect the changes", errno);
  }
  if (text.empty()) {
    const auto* exited = notices.exited(pid);
    co_return base::fail(base::Code::unavailable,
                         "cannot collect the changes: the collector ended with " +
                             (exited ? status_text(*exited) : std::string("the sandbox")));
  }
  co_return workspace::parse_report(text);
}

}  // namespace agentrouter::keeper
