#include "cli/folder.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "cli/environment.h"
#include "cli/text.h"
#include "workspace/pack.h"

namespace agentrouter::cli {
namespace {

constexpr std::size_t most_named = 5;

std::string count_of(std::size_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

void tell_left_out(const std::vector<std::string>& paths, Output& output) {
  if (paths.empty()) return;
  output.err << "Left out, because an upload cannot have them: ";
  for (std::size_t i = 0; i < paths.size() && i < most_named; ++i) {
    output.err << (i == 0 ? "" : ", ") << one_line(paths[i]);
  }
  if (paths.size() > most_named) output.err << " and " << paths.size() - most_named << " more";
  output.err << std::endl;
}

// git, in a folder that is not looked for any repository above it: the patch's paths are the folder's.
std::vector<std::string> environment_below(const std::filesystem::path& folder) {
  std::vector<std::string> variables = {"GIT_CEILING_DIRECTORIES=" + folder.parent_path().string()};
  for (auto& variable : read_environment().all) {
    if (!variable.starts_with("GIT_")) variables.push_back(std::move(variable));
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (auto& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

TemporaryFile::TemporaryFile(std::string_view suffix) {
  std::string name = (std::filesystem::temp_directory_path() / "agentrouter-XXXXXX").string();
  name += suffix;
  const base::Fd file(::mkstemps(name.data(), static_cast<int>(suffix.size())));
  if (!file) throw Error("write_failed", "cannot make " + name + ": " + std::strerror(errno));
  path_ = name;
}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

std::string upload_folder(const std::filesystem::path& folder, Context& context) {
  auto& output = context.output;
  const TemporaryFile archive(".tar.zst");
  const base::Fd from(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const base::Fd to(::open(archive.path().c_str(), O_WRONLY | O_CLOEXEC));
  const auto packed = workspace::pack_folder(from.get(), to.get());
  if (!packed) throw UsageError{"cannot send the workspace: " + one_line(packed.error().message)};
  tell_left_out(packed->left_out, output);
  output.err << "Sending " << count_of(packed->files, "file") << ", "
             << human_size(static_cast<std::int64_t>(packed->bytes)) << std::endl;
  return context.client.upload(archive.path(), {.stop = context.leave}).id;
}

bool apply_patch(const std::filesystem::path& folder, const std::filesystem::path& patch) {
  std::vector<std::string> arguments = {"git",         "-C", folder.string(), "apply", "--whitespace=nowarn",
                                        patch.string()};
  auto variables = environment_below(folder);
  pid_t child = -1;
  const int failed =
      ::posix_spawnp(&child, "git", nullptr, nullptr, pointers(arguments).data(), pointers(variables).data());
  if (failed != 0) throw Error("apply_failed", std::string("cannot start git: ") + std::strerror(failed));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace agentrouter::cli
