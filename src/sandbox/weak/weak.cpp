#include "sandbox/weak/weak.h"

#include <utility>

#include "sandbox/start.h"

asm(".section .rodata\n"
    ".balign 16\n"
    "agentrouter_weak_init_begin:\n"
    ".incbin \"" AGENTROUTER_WEAK_INIT_IMAGE
    "\"\n"
    "agentrouter_weak_init_end:\n"
    ".previous\n");

extern "C" {
extern const char agentrouter_weak_init_begin[];
extern const char agentrouter_weak_init_end[];
}

namespace agentrouter::sandbox {

base::Result<Launched> WeakLauncher::launch(const LaunchRequest& request) {
  auto encoded = encode(request);
  if (!encoded) return tl::unexpected(encoded.error());
  auto checked = check(*reinterpret_cast<const LaunchRecord*>(encoded->bytes.data()), encoded->fds);
  if (!checked) return tl::unexpected(checked.error());
  Weakened weakened;
  weakened.bits = weakenings_;
  weakened.init = {agentrouter_weak_init_begin,
                   static_cast<std::size_t>(agentrouter_weak_init_end - agentrouter_weak_init_begin)};
  auto pair = launch_checked(*checked, weakened);
  if (!pair) return tl::unexpected(pair.error());
  return Launched{std::move(pair->keeper.pidfd), pair->keeper.pid, pair->limits};
}

base::Result<void> WeakLauncher::release(const AttemptRef& attempt, Remove what) {
  return release_attempt(attempt, what);
}

base::Result<SweepReport> WeakLauncher::sweep(int attempts) {
  return sweep_attempts(attempts);
}

}  // namespace agentrouter::sandbox
