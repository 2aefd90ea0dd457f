#pragma once
// Tells a service manager how this process is (sd_notify): one datagram to the socket that NOTIFY_SOCKET names.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "apps/environment.h"
#include "base/error.h"

namespace agentrouter::apps {

class ServiceNotify {
 public:
  // Says nothing to nobody.
  ServiceNotify() = default;
  // By NOTIFY_SOCKET (a path, or "@" and an abstract name), WATCHDOG_USEC and WATCHDOG_PID.
  // Errors: invalid, naming the variable.
  [[nodiscard]] static base::Result<ServiceNotify> open(const Environment& environment, pid_t self);

  // "READY=1", several assignments by lines. A manager that does not listen is told nothing, and it is no error.
  void say(std::string_view assignments) const;
  // Begins a reload, as of now; "READY=1" ends it.
  void say_reloading() const;
  // Resumes when the manager has looked at everything said before, or after `most`: a process that ends before is
  // not known to it any more. Blocks.
  void barrier(std::chrono::milliseconds most) const;

  [[nodiscard]] bool heard() const { return !address_.empty(); }
  // How often "WATCHDOG=1" is to be said at least; none: nobody waits for it.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  void send(std::string_view text, int fd) const;

  std::string address_;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace agentrouter::apps
