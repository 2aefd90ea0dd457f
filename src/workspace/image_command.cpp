// The subcommand around unpack_image(), and its report.

#include <clocale>

#include "base/fd.h"
#include "base/json.h"
#include "workspace/image.h"
#include "workspace/self_limits.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::chrono::seconds image_cpu_time{1800};

Result<ImageReport> unpack_image_as_told(std::string_view digest, std::string_view argument) {
  if (!digest.empty() && !is_image_digest(digest)) return fail(Code::invalid, "cannot read the digest");
  ImageLimits limits;
  AGENTROUTER_TRY(limits.files, parse_unpack_argument(argument));
  end_with_parent(unpack_fd::report_out);
  limit_self(limits.files.wall_time, image_cpu_time);
  (void)std::setlocale(LC_CTYPE, "C.UTF-8");
  if (auto done = give_up_rights(unpack_fd::folder, unpack_fd::archive); !done) return tl::unexpected(done.error());
  return unpack_image({unpack_fd::archive, unpack_fd::folder}, digest, limits);
}

}  // namespace

std::string to_json(const ImageReport& report) {
  json::array environment;
  for (const auto& one : report.environment) environment.emplace_back(one);
  return base::to_text(json::object{{"digest", report.digest},
                                    {"environment", std::move(environment)},
                                    {"shell", report.shell},
                                    {"files", report.content.files},
                                    {"folders", report.content.folders},
                                    {"bytes", report.content.bytes},
                                    {"leftOut", report.left_out}});
}

Result<ImageReport> parse_image_report(std::string_view text) {
  AGENTROUTER_TRY(const auto content, parse_unpack_report(text));
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  const auto& object = document.as_object();
  const auto digest = base::get_string(object, "digest");
  const auto shell = base::get_string(object, "shell");
  const auto left_out = base::get_int(object, "leftOut");
  const auto* environment = base::get_array(object, "environment");
  if (!digest || !is_image_digest(*digest) || !shell || !left_out || *left_out < 0 || environment == nullptr)
    return fail(Code::internal, "cannot read what is known of an image");
  ImageReport report{.digest = std::string(*digest), .environment = {}, .shell = std::string(*shell), .content = content,
                     .left_out = static_cast<std::uint64_t>(*left_out)};
  for (const auto& one : *environment) {
    const auto* name_and_value = one.if_string();
    if (name_and_value == nullptr) return fail(Code::internal, "cannot read what is known of an image");
    report.environment.emplace_back(*name_and_value);
  }
  return report;
}

int run_image_unpacker(std::string_view digest, std::string_view limits) {
  const auto report = unpack_image_as_told(digest, limits);
  const auto text = report ? to_json(*report) : unpack_error_json(report.error());
  return base::write_all(unpack_fd::report_out, text + "\n") && report ? 0 : 1;
}

}  // namespace agentrouter::workspace
