#pragma once
// Where one side of a change has its content: layers on the disk, or the archive of an earlier state.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "workspace/layer.h"
#include "workspace/stack.h"

namespace agentrouter::workspace {

using Deadline = std::chrono::steady_clock::time_point;

// Reads a file piece by piece. Nothing is kept, so the size does not matter, only the time.
class Pieces {
 public:
  // `root`: a Folder or a Stack.
  template <class Layer>
  [[nodiscard]] static std::optional<Pieces> open(const Layer& root, const std::string& path,
                                                  std::uint64_t expected);
  // Empty at the end; nothing when it cannot be read.
  [[nodiscard]] std::optional<std::string_view> next();

 private:
  Pieces(base::Fd file, std::size_t piece) : file_(std::move(file)), buffer_(piece, '\0') {}
  base::Fd file_;
  std::string buffer_;
};

class ContentSource {
 public:
  virtual ~ContentSource() = default;

  // A file's content (at most `max_bytes`) or a link's target. Errors: as Folder::read().
  [[nodiscard]] virtual base::Result<std::string> read(const std::string& path, const Node& node,
                                                       std::uint64_t max_bytes) const = 0;
  // Git's name for the content, whatever its size. None when it cannot be read, is not of the size that
  // `node` says, or is not read at the deadline.
  [[nodiscard]] virtual std::optional<std::string> blob(const std::string& path, const Node& node,
                                                        Deadline deadline) const = 0;
};

// `Layer`: a Folder or a Stack.
template <class Layer>
class ContentOf final : public ContentSource {
 public:
  // `root` outlives it.
  explicit ContentOf(const Layer& root) : root_(root) {}
  [[nodiscard]] base::Result<std::string> read(const std::string& path, const Node& node,
                                               std::uint64_t max_bytes) const override;
  [[nodiscard]] std::optional<std::string> blob(const std::string& path, const Node& node,
                                                Deadline deadline) const override;

 private:
  const Layer& root_;
};

using LayerContent = ContentOf<Folder>;
using StackContent = ContentOf<Stack>;

}  // namespace agentrouter::workspace
