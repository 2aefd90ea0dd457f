#pragma once
// A folder of what lies above the base, wherever that is: in layers on the disk, or in the archive of a checkpoint.

#include <variant>

#include "workspace/archived_layer.h"
#include "workspace/stack.h"

namespace agentrouter::workspace {

class UpperFolder {
 public:
  UpperFolder() = default;
  explicit UpperFolder(Stack layers) : folder_(std::move(layers)) {}
  explicit UpperFolder(ArchivedFolder folder) : folder_(folder) {}
  explicit operator bool() const;

  [[nodiscard]] Node stat(const std::string& name) const;
  [[nodiscard]] base::Result<UpperFolder> open(const std::string& name) const;
  // A link's target. Errors: those of readlink(2).
  [[nodiscard]] base::Result<std::string> target(const std::string& name) const;
  [[nodiscard]] base::Result<std::vector<std::string>> names(std::uint64_t max_names) const;
  [[nodiscard]] bool is_opaque() const;

  struct Attributes {
    unsigned mode = 0;  // permission bits
    timespec mtime{};
  };
  // Zero for what is not there.
  [[nodiscard]] Attributes attributes(const std::string& name) const;

 private:
  std::variant<Stack, ArchivedFolder> folder_;
};

}  // namespace agentrouter::workspace
