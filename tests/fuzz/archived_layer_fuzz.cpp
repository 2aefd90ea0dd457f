// covers: src/workspace/archived_layer.cpp
// Checkpoints from arbitrary bytes, as they are and as the content of a zstd frame: no crash, and what is read of one has the
// shape of a layer.
#include <string_view>

#include "bytes_file.h"
#include "workspace/archived_layer.h"

using namespace agentrouter;

namespace {

void look_through(const workspace::ArchivedFolder& folder, int depth) {
  if (depth > 12) std::abort();
  const auto names = folder.names(1000);
  if (!names) return;
  for (const auto& name : *names) {
    const auto* entry = folder.entry(name);
    if (!entry || name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) std::abort();
    const auto node = folder.stat(name);
    std::ignore = folder.read(name, node.kind, 1 << 16);
    if (node.kind != workspace::Kind::folder) continue;
    const auto inner = folder.open(name);
    if (inner) look_through(*inner, depth + 1);
  }
}

void read_layer(const std::string& bytes) {
  const workspace::CheckpointLimits limits{.bytes = 1 << 20, .entries = 100, .depth = 8, .wall_time = std::chrono::seconds(5)};
  const auto file = file_of(bytes);
  const auto layer = workspace::ArchivedLayer::read(file.get(), limits);
  if (layer) look_through(layer->root(), 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = bytes_of(data, size);
  if (std::string_view(bytes).substr(0, 4) == "\x28\xb5\x2f\xfd") read_layer(bytes);
  read_layer(plain_zstd(bytes));
  return 0;
}
