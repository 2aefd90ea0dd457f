// The subcommand around unpack(): its limits as an argument, its report.

#include <clocale>

#include "base/fd.h"
#include "base/json.h"
#include "workspace/self_limits.h"
#include "workspace/unpack.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::chrono::seconds unpack_cpu_time{600};

tl::unexpected<base::Error> no_report() {
  return fail(Code::internal, "cannot read what the unpacker reports");
}

Code reported_code(std::string_view text) {
  for (const auto code : {Code::invalid, Code::timeout, Code::exhausted, Code::denied, Code::unavailable}) {
    if (to_string(code) == text) return code;
  }
  return Code::internal;
}

base::Error read_error(const json::object& object, std::string_view message) {
  base::Error error{reported_code(base::get_string(object, "code").value_or("")), std::string(message),
                    std::string(base::get_string(object, "reason").value_or(""))};
  if (const auto* details = base::get_object(object, "details")) error.details = base::to_text(*details);
  return error;
}

Result<UnpackReport> unpack_as_told(std::string_view argument) {
  AGENTROUTER_TRY(const auto limits, parse_unpack_argument(argument));
  end_with_parent(unpack_fd::report_out);
  limit_self(limits.wall_time, unpack_cpu_time);
  // So that names in UTF-8 are read as they are.
  (void)std::setlocale(LC_CTYPE, "C.UTF-8");
  if (auto done = give_up_rights(unpack_fd::folder); !done) return tl::unexpected(done.error());
  return unpack({unpack_fd::archive, unpack_fd::folder}, limits);
}

}  // namespace

std::string to_json(const UnpackReport& report) {
  return base::to_text(
      json::object{{"files", report.files}, {"folders", report.folders}, {"bytes", report.bytes}});
}

std::string unpack_error_json(const base::Error& error) {
  std::string message;
  for (const char c : error.message) message += c >= ' ' && c <= '~' ? c : '?';
  json::object object{{"error", message}, {"code", to_string(error.code)}, {"reason", error.reason}};
  const auto details = base::parse_json(error.details);
  if (details && details->is_object()) object["details"] = *details;
  return base::to_text(object);
}

Result<UnpackReport> parse_unpack_report(std::string_view text) {
  const auto document = base::parse_json(text);
  const auto* object = document ? document->if_object() : nullptr;
  if (object == nullptr) return no_report();
  if (const auto error = base::get_string(*object, "error"))
    return tl::unexpected(read_error(*object, *error));
  const auto files = base::get_int(*object, "files");
  const auto folders = base::get_int(*object, "folders");
  const auto bytes = base::get_int(*object, "bytes");
  if (!files || !folders || !bytes || *files < 0 || *folders < 0 || *bytes < 0) return no_report();
  return UnpackReport{static_cast<std::uint64_t>(*files), static_cast<std::uint64_t>(*folders),
                      static_cast<std::uint64_t>(*bytes)};
}

std::string to_argument(const UnpackLimits& limits) {
  return base::to_text(json::object{{"entries", limits.entries},
                                    {"bytes", limits.bytes},
                                    {"ratio", limits.ratio},
                                    {"ratioFree", limits.ratio_free},
                                    {"depth", limits.depth},
                                    {"pathBytes", limits.path_bytes},
                                    {"wallTimeMs", limits.wall_time.count()},
                                    {"anyLinks", limits.links == LinkRule::any},
                                    {"diskReserve", limits.disk_reserve}});
}

Result<UnpackLimits> parse_unpack_argument(std::string_view text) {
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  const auto* object = document.if_object();
  if (object == nullptr) return fail(Code::invalid, "cannot read the limits");
  UnpackLimits limits;
  const auto number = [&](std::string_view key, auto& into) {
    const auto value = base::get_int(*object, key);
    if (value && *value > 0) into = static_cast<std::remove_reference_t<decltype(into)>>(*value);
    return value && *value >= 0;
  };
  std::uint64_t wall_time = 0;
  const bool all = number("entries", limits.entries) && number("bytes", limits.bytes) &&
                   number("ratio", limits.ratio) && number("ratioFree", limits.ratio_free) &&
                   number("depth", limits.depth) && number("pathBytes", limits.path_bytes) &&
                   number("wallTimeMs", wall_time) && number("diskReserve", limits.disk_reserve);
  const auto any_links = base::get_bool(*object, "anyLinks");
  if (!all || !any_links) return fail(Code::invalid, "cannot read the limits");
  limits.wall_time = std::chrono::milliseconds(wall_time);
  limits.links = *any_links ? LinkRule::any : LinkRule::inside;
  return limits;
}

int run_unpacker(std::string_view limits) {
  const auto report = unpack_as_told(limits);
  const auto text = report ? to_json(*report) : unpack_error_json(report.error());
  return base::write_all(unpack_fd::report_out, text + "\n") && report ? 0 : 1;
}

}  // namespace agentrouter::workspace
