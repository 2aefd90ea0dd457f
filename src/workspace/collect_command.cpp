// The subcommand around collect(): its report, its limits on itself, its exit status.

#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "workspace/collector.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

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
constexpr unsigned grace_seconds = 30;  // beyond the collector's own deadline, for a read that hangs

void lower(int resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return;
  if (value > limit.rlim_max) value = limit.rlim_max;
  limit.rlim_cur = limit.rlim_max = value;
  (void)::setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

void limit_self(const CollectLimits& limits) {
  lower(RLIMIT_AS, address_space);
  lower(RLIMIT_NOFILE, open_files);
  lower(RLIMIT_CPU, cpu_seconds);
  lower(RLIMIT_CORE, 0);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limits.wall_time).count();
  (void)::alarm(static_cast<unsigned>(seconds) + grace_seconds);
}

std::optional<std::uint64_t> get_size(const json::object& object, std::string_view key) {
  const auto value = base::get_int(object, key);
  if (!value || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

template <class Part>
bool read_part(const json::object& report, std::string_view key, Part& part) {
  const auto* object = base::get_object(report, key);
  if (!object) return false;
  const auto bytes = get_size(*object, "bytes");
  const auto sha256 = base::get_string(*object, "sha256");
  const auto truncated = base::get_bool(*object, "truncated");
  if (!bytes || !sha256 || sha256->size() != 64 || !truncated) return false;
  part.bytes = *bytes;
  part.sha256 = *sha256;
  part.truncated = *truncated;
  return true;
}

}  // namespace

std::string to_json(const CollectReport& report) {
  const auto& [index, patch] = report;
  return base::to_text(json::object{
      {"index",
       {{"bytes", index.bytes},
        {"sha256", index.sha256},
        {"files", index.files},
        {"truncated", index.truncated}}},
      {"patch", {{"bytes", patch.bytes}, {"sha256", patch.sha256}, {"truncated", patch.truncated}}}});
}

Result<CollectReport> parse_report(std::string_view text) {
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  CollectReport report;
  const auto* object = document.if_object();
  const auto* index = object ? base::get_object(*object, "index") : nullptr;
  const auto files = index ? get_size(*index, "files") : std::nullopt;
  if (!files || !read_part(*object, "index", report.index) || !read_part(*object, "patch", report.patch)) {
    return fail(Code::invalid, "cannot read the collector's report: a field is missing or of another type");
  }
  report.index.files = *files;
  return report;
}

int run_collector() {
  const CollectLimits limits;
  limit_self(limits);
  const CollectFds fds{collect_fd::lower, collect_fd::upper, collect_fd::index_out, collect_fd::patch_out};
  const auto report = collect(fds, limits);
  auto written = report ? base::write_all(collect_fd::report_out, to_json(*report) + "\n")
                        : Result<void>(tl::unexpected(report.error()));
  if (written) return 0;
  base::log(base::LogLevel::error, "collector failed", {{"error", written.error().message}});
  return 1;
}

}  // namespace agentrouter::workspace
