// The subcommand around collect(): its report, its limits on itself, its exit status.

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "workspace/collector.h"
#include "workspace/self_limits.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

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

json::object patch_json(const CollectReport::Patch& patch) {
  return {{"bytes", patch.bytes}, {"sha256", patch.sha256}, {"truncated", patch.truncated}};
}

}  // namespace

std::string to_json(const CollectReport& report) {
  const auto& index = report.index;
  json::object document{{"index",
                         {{"bytes", index.bytes},
                          {"sha256", index.sha256},
                          {"files", index.files},
                          {"truncated", index.truncated}}},
                        {"patch", patch_json(report.patch)}};
  if (report.turn_patch) document["turnPatch"] = patch_json(*report.turn_patch);
  return base::to_text(document);
}

Result<CollectReport> parse_report(std::string_view text) {
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  CollectReport report;
  const auto* object = document.if_object();
  const auto* index = object ? base::get_object(*object, "index") : nullptr;
  const auto files = index ? get_size(*index, "files") : std::nullopt;
  const bool of_turn = object && object->contains("turnPatch");
  if (of_turn) report.turn_patch.emplace();
  if (!files || !read_part(*object, "index", report.index) || !read_part(*object, "patch", report.patch) ||
      (of_turn && !read_part(*object, "turnPatch", *report.turn_patch))) {
    return fail(Code::invalid, "cannot read the collector's report: a field is missing or of another type");
  }
  report.index.files = *files;
  return report;
}

CollectWhat collect_what(std::string_view word) {
  if (word == "turn") return CollectWhat::all_and_turn;
  return word == "kept-turn" ? CollectWhat::all_and_kept_turn : CollectWhat::all;
}

int run_collector(CollectWhat what) {
  const CollectLimits limits;
  limit_self(limits.wall_time);
  CollectFds fds{collect_fd::lower, Stack::numbered(collect_fd::upper), collect_fd::index_out,
                 collect_fd::patch_out};
  if (what != CollectWhat::all) fds.turn_patch_out = collect_fd::turn_patch_out;
  if (what == CollectWhat::all_and_turn) {
    fds.earlier = collect_fd::earlier;
    fds.scratch = collect_fd::scratch;
  }
  const auto report = collect(fds, limits);
  auto written = report ? base::write_all(collect_fd::report_out, to_json(*report) + "\n")
                        : Result<void>(tl::unexpected(report.error()));
  if (written) return 0;
  base::log(base::LogLevel::error, "collector failed", {{"error", written.error().message}});
  return 1;
}

}  // namespace agentrouter::workspace
