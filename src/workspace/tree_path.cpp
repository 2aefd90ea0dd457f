#include "workspace/tree_path.h"

#include "base/json.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t shown_bytes = 200;

// A name may have any bytes.
std::string shown(std::string_view text) {
  std::string plain;
  for (const char c : text.substr(0, shown_bytes)) plain += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > shown_bytes ? plain + "..." : plain;
}

}  // namespace

tl::unexpected<base::Error> refused(std::string_view entry, std::string_view why) {
  const auto name = shown(entry);
  return fail(Code::invalid, "cannot unpack \"" + name + "\": " + std::string(why), "archive_refused",
              base::to_text(json::object{{"entry", name}}));
}

tl::unexpected<base::Error> over_limit(std::string_view entry, std::string_view limit, std::uint64_t most,
                                       std::string_view why) {
  const auto name = shown(entry);
  json::object details;
  if (!entry.empty()) details["entry"] = name;
  details["limit"] = limit;
  details["most"] = most;
  return fail(Code::invalid,
              "cannot unpack " + (entry.empty() ? "the archive" : "\"" + name + "\"") + ": " +
                  std::string(why) + " (at most " + std::to_string(most) + ")",
              "archive_limit", base::to_text(details));
}

Result<std::vector<std::string>> parts_of(std::string_view path, const UnpackLimits& limits) {
  if (path.empty()) return refused(path, "an entry has no name");
  if (path.front() == '/') return refused(path, "the path is absolute: pack relative paths");
  if (path.size() > limits.path_bytes)
    return over_limit(path, "path_bytes", limits.path_bytes, "the path is too long");
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return refused(path, "the path holds \"..\": pack paths below one folder");
    if (part.find('\0') != std::string_view::npos) return refused(path, "the path holds a NUL byte");
    if (part.size() > UnpackLimits::name_bytes)
      return over_limit(path, "path_bytes", UnpackLimits::name_bytes, "a part of the path is too long");
    parts.emplace_back(part);
  }
  if (parts.size() > limits.depth)
    return over_limit(path, "depth", limits.depth, "the path has too many parts");
  return parts;
}

bool stays_inside(std::size_t folder_depth, std::string_view target) {
  if (target.empty() || target.front() == '/') return false;
  std::size_t depth = folder_depth;
  for (std::size_t at = 0; at <= target.size();) {
    const auto end = std::min(target.find('/', at), target.size());
    const auto part = target.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      ++depth;
    } else if (depth-- == 0) {
      return false;
    }
  }
  return true;
}

}  // namespace agentrouter::workspace
