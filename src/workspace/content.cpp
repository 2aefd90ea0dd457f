#include "workspace/content.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "workspace/patch.h"

namespace agentrouter::workspace {

namespace {
constexpr std::uint64_t max_piece = 256 * 1024;
constexpr std::uint64_t hashed_bytes = 4ull << 30;
}  // namespace

template <class Layer>
std::optional<Pieces> Pieces::open(const Layer& root, const std::string& path, std::uint64_t expected) {
  auto file = root.open_file(path);
  if (!file) return std::nullopt;
  return Pieces(std::move(*file), std::min<std::uint64_t>(expected + 1, max_piece));
}

std::optional<std::string_view> Pieces::next() {
  std::size_t size = 0;
  while (size < buffer_.size()) {
    const auto got = ::read(file_.get(), buffer_.data() + size, buffer_.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  return std::string_view(buffer_).substr(0, size);
}

template <class Layer>
base::Result<std::string> ContentOf<Layer>::read(const std::string& path, const Node& node,
                                                 std::uint64_t max_bytes) const {
  return root_.read(path, node.kind, max_bytes);
}

template <class Layer>
std::optional<std::string> ContentOf<Layer>::blob(const std::string& path, const Node& node,
                                                  Deadline deadline) const {
  if (node.kind == Kind::link) {
    const auto target = root_.read(path, Kind::link, 0);
    if (!target) return std::nullopt;
    BlobHash hash(target->size());
    hash.update(*target);
    return hash.hex();
  }
  auto pieces = node.size <= hashed_bytes ? Pieces::open(root_, path, node.size) : std::nullopt;
  if (!pieces) return std::nullopt;
  BlobHash hash(node.size);
  std::uint64_t seen = 0;
  for (;;) {
    const auto piece = pieces->next();
    if (!piece || std::chrono::steady_clock::now() > deadline) return std::nullopt;
    if (piece->empty()) break;
    seen += piece->size();
    hash.update(*piece);
  }
  if (seen != node.size) return std::nullopt;
  return hash.hex();
}

template std::optional<Pieces> Pieces::open(const Folder&, const std::string&, std::uint64_t);
template std::optional<Pieces> Pieces::open(const Stack&, const std::string&, std::uint64_t);
template class ContentOf<Folder>;
template class ContentOf<Stack>;

}  // namespace agentrouter::workspace
