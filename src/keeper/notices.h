#pragma once
// What the sandbox's init says by itself, remembered: who has exited, who was killed for memory, that all is
// gone.

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <set>

#include "base/event.h"
#include "keeper/ports.h"

namespace agentrouter::keeper {

class Notices {
 public:
  // `sandbox` outlives it.
  Notices(base::Executor executor, Sandbox& sandbox);

  // Reads notices as they come; ends when it is cancelled, or when init is gone.
  base::Task<void> watch();
  // Reads what is there now. After calls on the sandbox, which may have set notices aside.
  void poll();

  [[nodiscard]] const sandbox::Exited* exited(pid_t pid) const;
  // It will not be asked about again.
  void forget(pid_t pid) { exits_.erase(pid); }
  [[nodiscard]] bool killed_for_memory(pid_t pid) const { return memory_kills_.contains(pid); }
  // Of this sandbox, as far as init does it itself.
  [[nodiscard]] std::size_t memory_kills() const { return memory_kills_.size(); }
  // Everything was killed because too much was written: what init said last about it.
  [[nodiscard]] const std::optional<sandbox::DiskStop>& disk_stop() const { return disk_stop_; }
  [[nodiscard]] bool gone() const { return gone_; }
  // Notified after each change.
  [[nodiscard]] base::Event& changed() { return changed_; }

 private:
  using Descriptor = asio::posix::basic_stream_descriptor<base::Executor>;

  Sandbox& sandbox_;
  Descriptor control_;
  std::map<pid_t, sandbox::Exited> exits_;
  std::set<pid_t> memory_kills_;
  std::optional<sandbox::DiskStop> disk_stop_;
  bool gone_ = false;
  base::Event changed_;
};

// "exit 3", "signal 9".
[[nodiscard]] std::string status_text(const sandbox::Exited& exited);

}  // namespace agentrouter::keeper
