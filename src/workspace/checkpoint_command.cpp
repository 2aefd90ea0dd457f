// The subcommands around write_checkpoint() and restore_checkpoint().

#include <fcntl.h>

#include <cerrno>

#include "base/fd.h"
#include "base/json.h"
#include "workspace/checkpoint.h"
#include "workspace/self_limits.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

Result<json::object> parse_object(std::string_view text) {
  AGENTROUTER_TRY(auto document, base::parse_json(text));
  if (!document.is_object()) return fail(Code::invalid, "cannot read the report: it is no object");
  if (const auto error = base::get_string(document.get_object(), "error")) {
    return fail(Code::unavailable, std::string(*error));
  }
  return std::move(document.get_object());
}

int report(int fd, const std::string& text, bool worked) {
  return base::write_all(fd, text + "\n") && worked ? 0 : 1;
}

Result<void> restore_into(const char* workspace, const char* home) {
  const base::Fd folders[] = {
      base::Fd(::open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      home != nullptr ? base::Fd(::open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : base::Fd()};
  if (!folders[0] || (home != nullptr && !folders[1]))
    return base::fail_errno("cannot open the workspace and the home", errno);
  return restore_checkpoint({restore_fd::archive, folders[0].get(), folders[1].get()});
}

}  // namespace

std::string to_json(const CheckpointReport& report) {
  json::object document{{"bytes", report.bytes}, {"sha256", report.sha256}, {"entries", report.entries}};
  if (report.layer_bytes) document["layerBytes"] = *report.layer_bytes;
  return base::to_text(document);
}

std::string to_json(const base::Error& error) {
  // A name in it may have any bytes.
  std::string message;
  for (const char c : error.message) message += c >= ' ' && c <= '~' ? c : '?';
  message.resize(std::min<std::size_t>(message.size(), 500));
  return base::to_text(json::object{{"error", message}});
}

Result<CheckpointReport> parse_checkpoint_report(std::string_view text) {
  AGENTROUTER_TRY(const auto object, parse_object(text));
  const auto bytes = base::get_int(object, "bytes");
  const auto entries = base::get_int(object, "entries");
  const auto sha256 = base::get_string(object, "sha256");
  if (!bytes || *bytes < 0 || !entries || *entries < 0 || !sha256 || sha256->size() != 64) {
    return fail(Code::invalid, "cannot read the report: a field is missing or of another type");
  }
  CheckpointReport report{static_cast<std::uint64_t>(*bytes), std::string(*sha256),
                          static_cast<std::uint64_t>(*entries)};
  const auto layer_bytes = base::get_int(object, "layerBytes");
  if (layer_bytes && *layer_bytes >= 0) report.layer_bytes = static_cast<std::uint64_t>(*layer_bytes);
  return report;
}

Result<void> parse_restore_report(std::string_view text) {
  if (auto object = parse_object(text); !object) return tl::unexpected(object.error());
  return {};
}

int run_checkpointer(const std::vector<std::string>& left_out) {
  const CheckpointLimits limits;
  limit_self(limits.wall_time);
  const auto written = write_checkpoint({Stack::numbered(checkpoint_fd::upper),
                                         Stack::numbered(checkpoint_fd::home), checkpoint_fd::out},
                                        left_out, limits);
  const auto text = written ? to_json(*written) : to_json(written.error());
  return report(checkpoint_fd::report_out, text, written.has_value());
}

int run_restorer(const char* workspace, const char* home) {
  limit_self(CheckpointLimits{}.wall_time);
  const auto restored = restore_into(workspace, home);
  const auto text = restored ? std::string("{}") : to_json(restored.error());
  return report(restore_fd::report_out, text, restored.has_value());
}

}  // namespace agentrouter::workspace
