#include "apps/service_notify.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "apps/flags.h"
#include "base/fd.h"
#include "base/log.h"

namespace agentrouter::apps {

using base::Code;
using base::Result;

namespace {

constexpr long long longest_watchdog_usec = 86'400ll * 1'000'000;

long long monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
}

}  // namespace

Result<ServiceNotify> ServiceNotify::open(const Environment& environment, pid_t self) {
  ServiceNotify notify;
  const auto address = environment.get("NOTIFY_SOCKET").value_or("");
  if (!address.empty()) {
    if ((address.front() != '/' && address.front() != '@') || address.size() < 2 ||
        address.size() >= sizeof(sockaddr_un::sun_path)) {
      return base::fail(Code::invalid, "NOTIFY_SOCKET is \"" + address + "\": want an absolute path or @NAME, at most 107 bytes");
    }
    notify.address_ = address;
  }
  const auto interval = environment.get("WATCHDOG_USEC");
  const auto pid = environment.get("WATCHDOG_PID");
  if (interval && (!pid || *pid == std::to_string(self))) {
    AGENTROUTER_TRY(const auto number, parse_number(*interval, "WATCHDOG_USEC", 1, longest_watchdog_usec));
    notify.watchdog_ = std::chrono::microseconds(number);
  }
  return notify;
}

void ServiceNotify::say(std::string_view assignments) const {
  if (heard()) send(assignments, -1);
}

void ServiceNotify::say_reloading() const {
  say("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_usec()) + "\nSTATUS=Reading the configuration again");
}

void ServiceNotify::barrier(std::chrono::milliseconds most) const {
  if (!heard()) return;
  auto pipe = base::make_pipe();
  if (!pipe) return;
  send("BARRIER=1", pipe->second.get());
  pipe->second.reset();
  // Closed by who has received it.
  pollfd end{pipe->first.get(), POLLIN, 0};
  while (::poll(&end, 1, static_cast<int>(most.count())) < 0 && errno == EINTR) {
  }
}

void ServiceNotify::send(std::string_view text, int fd) const {
  const base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  auto sent = !socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), size) != 0
                  ? base::fail_errno("cannot reach " + address_, errno)
                  : base::send_message(socket.get(), text, fd < 0 ? std::span<const int>() : std::span(&fd, 1));
  if (!sent)
    base::log(base::LogLevel::debug, "the service manager does not listen", {{"cause", sent.error().message}});
}

}  // namespace agentrouter::apps
