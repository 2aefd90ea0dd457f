// covers: src/workspace/checkpoint_restorer.cpp src/workspace/entry_name.cpp
// Checkpoints from arbitrary bytes, as the content of a zstd frame, restored over trees that hold something: no crash, nothing
// outside of both trees is touched, and nothing is made but files, folders and links.
#include <fcntl.h>

#include "bytes_file.h"
#include "place.h"
#include "workspace/checkpoint.h"

using namespace agentrouter;
namespace fs = std::filesystem;

namespace {

base::Fd filled(const Place& place, const char* name) {
  const auto tree = place.fresh(name);
  fs::create_directories(tree / "d/e");
  std::ofstream(tree / "a") << "of the base\n";
  std::ofstream(tree / "d/e/f") << "of the base\n";
  fs::create_symlink("../outside", tree / "l");
  fs::create_symlink("../outside/file", tree / "d/l");
  return base::Fd(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void restore(const Place& place, const std::string& bytes) {
  constexpr std::uint64_t already = 2 * 6;
  const auto workspace = filled(place, "workspace"), home = filled(place, "home");
  const workspace::CheckpointLimits limits{.bytes = 1 << 20, .entries = 60, .depth = 8, .wall_time = std::chrono::seconds(5)};
  const auto archive = file_of(bytes);
  const auto done = workspace::restore_checkpoint({archive.get(), workspace.get(), home.get()}, limits);
  const auto text = done ? std::string("{}") : workspace::to_json(done.error());
  require(workspace::parse_restore_report(text).has_value() == done.has_value());
  for (const auto* name : {"workspace", "home"}) require(plain_entries(place.root / name) <= limits.entries + already);
  place.require_untouched(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  const auto bytes = bytes_of(data, size);
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) restore(place, bytes);
  restore(place, plain_zstd(bytes));
  return 0;
}
