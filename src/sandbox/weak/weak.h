#pragma once
// A sandbox with a control switched off on purpose: the positive controls of the escape suite, which must be
// caught by the same cases that the product's sandbox passes. It needs an init of its own that only this
// library carries; the product does not link it, and its init ignores the request.

#include "sandbox/init/protocol.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

// `weakenings`: init::Weakening, or-ed.
class WeakLauncher final : public Launcher {
 public:
  explicit WeakLauncher(std::uint32_t weakenings) : weakenings_(weakenings) {}

  [[nodiscard]] base::Result<Launched> launch(const LaunchRequest& request) override;
  [[nodiscard]] base::Result<void> release(const AttemptRef& attempt, Remove what) override;
  [[nodiscard]] base::Result<SweepReport> sweep(int attempts) override;

 private:
  std::uint32_t weakenings_;
};

}  // namespace agentrouter::sandbox
