#pragma once
// What the keeper asks of the sandbox that it holds: sandbox::Box behind an interface, so that an attempt can
// be driven through every ending without a sandbox.

#include <memory>

#include "sandbox/box.h"

namespace agentrouter::keeper {

class Sandbox {
 public:
  virtual ~Sandbox() = default;
  [[nodiscard]] virtual sandbox::LimitsMode limits() const = 0;
  [[nodiscard]] virtual unsigned landlock() const = 0;  // its version; 0: none
  [[nodiscard]] virtual int listener() const = 0;
  virtual void close_listener() = 0;
  // The way out to other hosts, the caller's from now on; empty where there is none.
  [[nodiscard]] virtual sandbox::Box::Outbound take_outbound() { return {}; }
  [[nodiscard]] virtual std::vector<std::uint16_t> outbound_ports() const { return {}; }
  [[nodiscard]] virtual int control_fd() const = 0;
  [[nodiscard]] virtual base::Result<std::optional<sandbox::Notice>> read_notice() = 0;
  [[nodiscard]] virtual base::Result<pid_t> spawn(const sandbox::Spawn& request) = 0;
  [[nodiscard]] virtual base::Result<pid_t> collect(const sandbox::Collect& request) = 0;
  [[nodiscard]] virtual base::Result<pid_t> restore(const sandbox::Restore& request) = 0;
  // Everything inside stands still, and goes on.
  [[nodiscard]] virtual base::Result<void> freeze() = 0;
  [[nodiscard]] virtual base::Result<void> thaw() = 0;
  [[nodiscard]] virtual base::Result<void> kill_all() = 0;
  [[nodiscard]] virtual base::Result<sandbox::DestroyProof> destroy() = 0;
  [[nodiscard]] virtual sandbox::MemoryReport memory() const = 0;
};

// `box` outlives it.
[[nodiscard]] std::unique_ptr<Sandbox> hold(sandbox::Box& box);

}  // namespace agentrouter::keeper
