#include "workspace/self_limits.h"

#include <sys/resource.h>
#include <unistd.h>

namespace agentrouter::workspace {

namespace {

// A sanitizer's shadow memory alone is larger.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr rlim_t address_space = RLIM_INFINITY;
#elif defined(__has_feature)
constexpr rlim_t address_space =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? RLIM_INFINITY : 2ull << 30;
#else
constexpr rlim_t address_space = 2ull << 30;
#endif
constexpr rlim_t open_files = 1024;  // two folders per level of depth
constexpr rlim_t cpu_seconds = 120;
constexpr unsigned grace_seconds = 30;  // beyond the work's own deadline, for a read that hangs

void lower(int resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return;
  if (value > limit.rlim_max) value = limit.rlim_max;
  limit.rlim_cur = limit.rlim_max = value;
  (void)::setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

}  // namespace

void limit_self(std::chrono::milliseconds wall_time) {
  lower(RLIMIT_AS, address_space);
  lower(RLIMIT_NOFILE, open_files);
  lower(RLIMIT_CPU, cpu_seconds);
  lower(RLIMIT_CORE, 0);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wall_time).count();
  (void)::alarm(static_cast<unsigned>(seconds) + grace_seconds);
}

}  // namespace agentrouter::workspace
