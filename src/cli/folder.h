#pragma once
// A folder of this machine as a run's workspace: sent to a server that cannot see it, and given the agent's
// changes when a person wants them.

#include <filesystem>

#include "cli/commands.h"

namespace agentrouter::cli {

// `folder` as git would take it, packed and sent; the id of the upload. Says what was left out. Throws Error,
// UsageError for a folder that cannot be packed.
[[nodiscard]] std::string upload_folder(const std::filesystem::path& folder, Context& context);

// Applies the patch in the file `patch` to `folder` with git, which writes nothing outside of it and, unless
// all of it fits, nothing at all. False when it does not fit: git has said why. Throws Error when there is no
// git.
[[nodiscard]] bool apply_patch(const std::filesystem::path& folder, const std::filesystem::path& patch);

// A file name of our own in the folder for temporary files; the file goes with this.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view suffix);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace agentrouter::cli
