// covers: src/workspace/unpack.cpp src/workspace/entry_name.cpp
// Archives of any format from arbitrary bytes: no crash, nothing outside the tree is touched, nothing in it but files, folders
// and links, and no limit is exceeded.
#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include "bytes_file.h"
#include "workspace/unpack.h"

using namespace agentrouter;
namespace fs = std::filesystem;

namespace {

// Removed with the process.
struct Place {
  Place() {
    std::string name = (fs::temp_directory_path() / "agentrouter-fuzz-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    root = name;
    fs::create_directory(root / "outside");
    std::ofstream(root / "outside/file") << "untouched";
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { fs::remove_all(root); }
  fs::path root;
};

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  const auto tree = place.root / "tree";
  fs::remove_all(tree);
  fs::create_directory(tree);
  const workspace::UnpackLimits limits{.entries = 60, .bytes = 1 << 20, .ratio = 100, .ratio_free = 1 << 18, .depth = 8, .path_bytes = 200,
                                       .wall_time = std::chrono::seconds(5)};
  const auto archive = file_of(bytes_of(data, size));
  const base::Fd folder(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto report = workspace::unpack({archive.get(), folder.get()}, limits);
  std::uint64_t entries = 0;
  for (const auto& entry : fs::recursive_directory_iterator(tree)) {
    const auto kind = entry.symlink_status().type();
    require(kind == fs::file_type::regular || kind == fs::file_type::directory || kind == fs::file_type::symlink);
    ++entries;
  }
  require(entries <= limits.entries);
  if (report) require(report->files + report->folders >= entries && report->bytes <= limits.bytes);
  std::string text;
  std::ifstream(place.root / "outside/file") >> text;
  require(text == "untouched");
  require(std::distance(fs::directory_iterator(place.root), {}) == 2);
  require(std::distance(fs::directory_iterator(place.root / "outside"), {}) == 1);
  return 0;
}
