#include "workspace/allow.h"

#include <algorithm>
#include <string>
#include <system_error>

namespace agentrouter::workspace {

namespace fs = std::filesystem;
using base::Code;
using base::fail;

namespace {

// `inner` is `outer` or lies below it. Both are absolute and normal.
bool is_within(const fs::path& inner, const fs::path& outer) {
  const auto [end, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

fs::path real(const fs::path& path) {
  std::error_code error;
  auto resolved = fs::canonical(path, error);
  return error ? fs::path() : resolved;
}

bool within_roots(const fs::path& path, const AllowRules& rules) {
  return std::any_of(rules.roots.begin(), rules.roots.end(), [&](const fs::path& root) {
    const auto resolved = real(root);
    return !resolved.empty() && is_within(path, resolved);
  });
}

// Where the path would lead, for one that cannot be resolved: what exists of it decides, so that the answer
// "not found" is only given to somebody who could have been let in.
fs::path weakly_real(const fs::path& path) {
  std::error_code error;
  auto resolved = fs::weakly_canonical(path, error);
  return error ? fs::path() : resolved;
}

bool shows_data(const fs::path& path, const AllowRules& rules) {
  if (rules.data_directory.empty()) return false;
  const auto data = weakly_real(rules.data_directory);
  return !data.empty() && (is_within(path, data) || is_within(data, path));
}

bool is_kernel_tree(const fs::path& path) {
  return path == path.root_path() || is_within(path, "/proc") || is_within(path, "/sys") ||
         is_within(path, "/dev");
}

tl::unexpected<base::Error> forbidden(std::string_view path, std::string_view why) {
  return fail(Code::invalid, "cannot use " + std::string(path) + " as a workspace: " + std::string(why),
              "workspace_forbidden");
}

}  // namespace

base::Result<fs::path> admit(std::string_view text, const AllowRules& rules) {
  const fs::path path(text);
  if (text.find('\0') != std::string_view::npos) return forbidden("it", "the path holds a NUL byte");
  if (!path.is_absolute()) return forbidden(text, "the path is not absolute");
  const auto resolved = real(path);
  if (!within_roots(resolved.empty() ? weakly_real(path) : resolved, rules)) {
    return forbidden(text, "it is outside the allowed roots");
  }
  std::error_code error;
  if (resolved.empty() || !fs::is_directory(resolved, error)) {
    return fail(Code::invalid, "cannot use " + std::string(text) + " as a workspace: there is no such folder",
                "workspace_not_found");
  }
  if (is_kernel_tree(resolved)) return forbidden(text, "it is not a folder of a user");
  if (shows_data(resolved, rules)) return forbidden(text, "it would show the data directory of the server");
  return resolved;
}

}  // namespace agentrouter::workspace
