// covers: src/workspace/collector.cpp src/workspace/walk.cpp src/workspace/layer.cpp src/workspace/stack.cpp src/workspace/upper_folder.cpp src/workspace/file_view.cpp src/workspace/file_list.cpp src/workspace/path_text.cpp src/workspace/tracked.cpp src/workspace/content.cpp src/workspace/patch_writer.cpp
// Layers of an overlay that arbitrary bytes have put together, with links, pipes, deletions and unreadable files: index, patch and
// list are made within their limits, are JSON, files can be read as they are now and from a checkpoint, and nothing outside of the
// layers is read.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/json.h"
#include "bytes_file.h"
#include "place.h"
#include "workspace/checkpoint.h"
#include "workspace/collector.h"
#include "workspace/file_list.h"
#include "workspace/file_view.h"

using namespace agentrouter;
namespace fs = std::filesystem;

namespace {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::uint8_t next() { return empty() ? 0 : data_[at_++]; }
  std::string text(std::size_t most) {
    const auto length = std::min<std::size_t>(next() % (most + 1), size_ - at_);
    auto text = bytes_of(data_ + at_, length);
    at_ += length;
    return text;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

// One of few names, so that layers meet, or an odd one.
std::string name_of(Bytes& bytes) {
  static const char* const names[] = {"a", "b", ".gitignore", ".git", "index", "d", "e", "\xff\x01\n\"", "info", "exclude"};
  return names[bytes.next() % std::size(names)];
}

std::string path_of(Bytes& bytes) {
  std::string path = name_of(bytes);
  for (auto depth = bytes.next() % 4; depth > 0; --depth) path += "/" + name_of(bytes);
  return path;
}

// Does not wait for somebody to read from a pipe that is there.
void write(const fs::path& path, const std::string& text) {
  const base::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (file) std::ignore = base::write_all(file.get(), text);
}

void put(Bytes& bytes, const fs::path& layer, const fs::path& secret) {
  const auto what = bytes.next() % 10;
  const auto path = layer / path_of(bytes);
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  switch (what) {
    case 0: case 1: case 2: write(path, bytes.text(200)); break;
    case 3: fs::create_directories(path, ignored); break;
    case 4: fs::create_symlink(bytes.next() & 1 ? secret.string() : bytes.text(40), path, ignored); break;
    case 5: std::ignore = ::mknod(path.c_str(), S_IFCHR, makedev(0, 0)); break;
    case 6: std::ignore = ::setxattr(path.c_str(), "user.overlay.opaque", "y", 1, 0); break;
    case 7: std::ignore = ::mkfifo(path.c_str(), 0600); break;
    case 8: std::ignore = ::chmod(path.c_str(), bytes.next() << 4 & 07777); break;
    default: std::ignore = ::truncate(path.c_str(), std::int64_t{bytes.next()} << 14); break;
  }
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool is_inside(std::string_view bytes) {
  return bytes.find("CANARY-OUTSIDE") == std::string_view::npos;
}

void look(const workspace::FileView& view) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  for (const auto& change : view.changes({.entries = 200, .changes = 40, .depth = 6, .git_index_bytes = 4096, .deadline = deadline}).list) {
    const auto found = view.stat(change.path);
    if (!found) continue;
    std::ignore = view.blob(change.path, *found, deadline);
    if (found->node.kind == workspace::Kind::link) std::ignore = view.target(change.path);
    if (found->node.kind != workspace::Kind::file) continue;
    const auto take = [](std::string_view piece) -> base::Result<void> {
      require(is_inside(piece));
      return {};
    };
    std::ignore = view.read(change.path, *found, 0, found->node.size, take);
    std::ignore = view.read(change.path, *found, 1, 2, take);
  }
  const auto page = workspace::list_files(view, {}, {.page_bytes = 2000, .names = 300, .depth = 6, .compare_time = std::chrono::milliseconds(50)});
  if (page) require(base::parse_json(*page).has_value() && is_inside(*page));
}

// The same from what a checkpoint keeps of it.
void look_at_kept(const fs::path& folder, int base, workspace::Stack stack) {
  const base::Fd archive(::open((folder / "checkpoint").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const workspace::CheckpointLimits limits{.bytes = 1 << 20, .entries = 200, .depth = 8, .wall_time = std::chrono::seconds(5)};
  if (!workspace::write_checkpoint({.workspace = std::move(stack), .home = {}, .out = archive.get()}, {}, limits)) return;
  if (const auto view = workspace::FileView::kept(base, archive.get())) look(*view);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  // A file that has these words by itself would look like what lies outside.
  if (std::string_view(reinterpret_cast<const char*>(data), size).find("CANARY-OUTSIDE") != std::string_view::npos) return 0;
  write(place.root / "secret", "CANARY-OUTSIDE\n");
  std::vector<base::Fd> fds;
  for (const auto* name : {"base", "upper", "kept"}) fds.emplace_back(::open(place.fresh(name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  Bytes bytes(data, size);
  static const char* const layers[] = {"base", "upper", "kept"};
  for (int steps = 0; !bytes.empty() && steps < 60; ++steps) {
    const auto layer = bytes.next() % std::size(layers);
    put(bytes, place.root / layers[layer], place.root / "secret");
  }
  const auto stack = [&] { return workspace::Stack::of({fds[1].get(), fds[2].get()}); };
  const auto index_path = place.root / "index.json", patch_path = place.root / "changes.patch";
  const base::Fd index(::open(index_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const base::Fd patch(::open(patch_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const workspace::CollectLimits limits{.patch_bytes = 8192, .file_bytes = 4096, .index_entries = 40, .walked_entries = 200, .depth = 6,
                                        .git_index_bytes = 4096, .wall_time = std::chrono::seconds(5)};
  const auto report = workspace::collect({fds[0].get(), stack(), index.get(), patch.get()}, limits);
  require(report.has_value());
  const auto text = content(index_path), changes = content(patch_path);
  require(base::parse_json(text).has_value() && report->index.files <= limits.index_entries && changes.size() <= limits.patch_bytes + 8192);
  require(is_inside(changes) && is_inside(text));
  look(workspace::FileView::live(fds[0].get(), stack()));
  look_at_kept(place.root, fds[0].get(), stack());
  return 0;
}
