#include "scripted_agent/command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::scripted_agent {

Command::Command(const std::string& text, const std::string& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  output_ = ends[0];
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::signal(SIGPIPE, SIG_DFL);
    const int nothing = ::open("/dev/null", O_RDONLY);
    const bool ready = ::dup2(nothing, STDIN_FILENO) >= 0 && ::dup2(ends[1], STDOUT_FILENO) >= 0 &&
                       ::dup2(ends[1], STDERR_FILENO) >= 0 && ::chdir(directory.c_str()) == 0;
    if (ready) ::execl("/bin/sh", "sh", "-c", text.c_str(), nullptr);
    ::_exit(126);
  }
  if (pid_ > 0) ::setpgid(pid_, pid_);
  ::close(ends[1]);
}

Command::~Command() {
  if (pid_ > 0 && !reaped_) {
    ::kill(-pid_, SIGKILL);
    (void)wait();
  }
  if (output_ >= 0) ::close(output_);
}

std::string Command::read() {
  char bytes[65536];
  for (;;) {
    const auto count = ::read(output_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    return count > 0 ? std::string(bytes, static_cast<std::size_t>(count)) : std::string();
  }
}

int Command::wait() {
  if (pid_ < 0) return 126;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace agentrouter::scripted_agent
