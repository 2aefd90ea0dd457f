#include "cli/server_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::cli {
namespace {

constexpr std::size_t max_file = 64 * 1024;

// Whether the process lives and belongs to us, to root, or to whoever owns the data.
bool is_trusted_process(std::int64_t pid, const std::filesystem::path& file) {
  struct stat process{};
  struct stat owner{};
  if (pid <= 0 || ::stat(("/proc/" + std::to_string(pid)).c_str(), &process) != 0) return false;
  if (::stat(file.c_str(), &owner) != 0) return false;
  return process.st_uid == ::geteuid() || process.st_uid == 0 || process.st_uid == owner.st_uid;
}

}  // namespace

base::Result<ServerFile> read_server_file(const std::filesystem::path& data) {
  const auto path = data / "server.json";
  AGENTROUTER_TRY(const auto text, base::read_file(path, max_file));
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  const auto url = object ? base::get_string(*object, "url") : std::nullopt;
  const auto pid = object ? base::get_int(*object, "pid") : std::nullopt;
  if (!url || !pid) return base::fail(base::Code::corrupt, path.string() + " is not a server's file");
  if (!is_trusted_process(*pid, path)) {
    return base::fail(base::Code::not_found, "the server that wrote " + path.string() + " has ended");
  }
  return ServerFile{.url = std::string(*url),
                    .pid = *pid,
                    .sim = base::get_bool(*object, "sim"),
                    .record = std::string(base::get_string(*object, "record").value_or("")),
                    .replay = std::string(base::get_string(*object, "replay").value_or(""))};
}

base::Result<std::string> read_api_key(const std::filesystem::path& file) {
  AGENTROUTER_TRY(const auto text, base::read_file(file, max_file));
  return std::string(base::trim_js(text));
}

}  // namespace agentrouter::cli
