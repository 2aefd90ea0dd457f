// covers: src/workspace/archived_layer.cpp
// Checkpoints from arbitrary bytes, as they are and as the content of a zstd frame: no crash, and what is read of one has the
// shape of a layer, is found by its path, and has its content in the archive.
#include <string_view>

#include "bytes_file.h"
#include "workspace/archived_layer.h"

using namespace agentrouter;

namespace {

struct Found {
  std::vector<std::string> paths;
  std::vector<std::size_t> files;
};

void look_through(const workspace::ArchivedFolder& folder, const std::string& at, int depth, Found& found) {
  if (depth > 12) std::abort();
  const auto names = folder.names(1000);
  if (!names) return;
  for (const auto& name : *names) {
    const auto* entry = folder.entry(name);
    if (!entry || name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) std::abort();
    const auto node = folder.stat(name);
    found.paths.push_back(at + name);
    if (node.kind == workspace::Kind::file) found.files.push_back(entry->file);
    std::ignore = folder.read(name, node.kind, 1 << 16);
    if (node.kind != workspace::Kind::folder) continue;
    const auto inner = folder.open(name);
    if (inner) look_through(*inner, at + name + "/", depth + 1, found);
  }
}

void read_layer(const std::string& bytes) {
  const workspace::CheckpointLimits limits{.bytes = 1 << 20, .entries = 100, .depth = 8, .wall_time = std::chrono::seconds(5)};
  const auto file = file_of(bytes);
  const auto layer = workspace::ArchivedLayer::read(file.get(), limits);
  if (!layer) return;
  Found found;
  look_through(layer->root(), "", 0, found);
  for (const auto& path : found.paths) {
    if (layer->find(path) == nullptr || layer->find(path + "//") != nullptr) std::abort();
  }
  workspace::ArchivedFiles files(file.get());
  for (const auto number : found.files) {
    if (!files.read(number, [](std::string_view) -> base::Result<void> { return {}; })) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = bytes_of(data, size);
  if (std::string_view(bytes).substr(0, 4) == "\x28\xb5\x2f\xfd") read_layer(bytes);
  read_layer(plain_zstd(bytes));
  return 0;
}
