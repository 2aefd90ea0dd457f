#include "apps/image_shelf.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Fd;
using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr const char* known_file = "image.json";
constexpr const char* new_prefix = ".new-";
constexpr const char* old_prefix = ".old-";
constexpr std::string_view algorithm = "sha256:";
constexpr std::size_t known_bytes = 1u << 20;
constexpr std::size_t most_sources = 16;

// None with errno.
Fd open_folder(int at, const std::string& path) {
  return Fd(::openat(at, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

Result<KnownImage> read_known(const fs::path& folder) {
  AGENTROUTER_TRY(const auto text, base::read_file(folder / known_file, known_bytes));
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  const auto* object = document.if_object();
  const auto* report = object != nullptr ? base::get_object(*object, "report") : nullptr;
  const auto* sources = object != nullptr ? base::get_array(*object, "sources") : nullptr;
  if (report == nullptr || sources == nullptr)
    return fail(Code::corrupt, "cannot read what is known of an image");
  KnownImage known;
  AGENTROUTER_TRY(known.report, workspace::parse_image_report(base::to_text(*report)));
  if (known.report.digest != std::string(algorithm) + folder.filename().string())
    return fail(Code::corrupt, "what is known of an image is of another one");
  for (const auto& one : *sources) {
    if (one.is_string()) known.sources.emplace_back(one.get_string());
  }
  return known;
}

Result<void> write_known(const fs::path& folder, const KnownImage& known) {
  AGENTROUTER_TRY(auto report, base::parse_json(workspace::to_json(known.report)));
  json::array sources;
  for (const auto& one : known.sources) sources.emplace_back(one);
  return base::write_file_durably(
      folder / known_file,
      base::to_text(json::object{{"report", std::move(report)}, {"sources", std::move(sources)}}));
}

bool try_lock(int fd) {
  int done = 0;
  while ((done = ::flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) {
  }
  return done == 0;
}

bool is_at(int folder, const std::string& name, int fd) {
  struct stat named{}, open{};
  return ::fstatat(folder, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(fd, &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

void add_source(KnownImage& known, const std::string& source) {
  std::erase(known.sources, source);
  known.sources.insert(known.sources.begin(), source);
  if (known.sources.size() > most_sources) known.sources.resize(most_sources);
}

}  // namespace

ImageShelf::ImageShelf(fs::path folder, Fd fd, base::Entropy& entropy, Remove remove)
    : folder_(std::move(folder)), fd_(std::move(fd)), entropy_(&entropy), remove_(std::move(remove)) {}

Result<ImageShelf> ImageShelf::open(const fs::path& folder, base::Entropy& entropy, Remove remove) {
  AGENTROUTER_TRY(auto fd, base::open_directory(folder));
  ImageShelf shelf(folder, std::move(fd), entropy, std::move(remove));
  if (auto done = shelf.look(); !done) return tl::unexpected(done.error());
  return shelf;
}

Result<void> ImageShelf::look() {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator next(folder_, error), end; !error && next != end; next.increment(error))
    names.push_back(next->path().filename().string());
  if (error) return fail(Code::unavailable, "cannot read " + folder_.string() + ": " + error.message());
  for (const auto& name : names) {
    if (!workspace::is_image_digest(std::string(algorithm) + name)) {
      tidy(name);
    } else if (auto known = read_known(folder_ / name)) {
      known_.emplace(name, std::move(*known));
    } else {
      put_away(name);
    }
  }
  return {};
}

std::optional<std::string> ImageShelf::find(const std::string& source) const {
  for (const auto& [name, known] : known_) {
    if (std::ranges::find(known.sources, source) != known.sources.end()) return name;
  }
  return {};
}

Result<std::string> ImageShelf::add(const std::string& source, const Unpack& unpack) {
  AGENTROUTER_TRY(auto fresh, make_fresh());
  auto name = take_in(source, unpack, fresh);
  fresh.folder.reset();
  tidy(fresh.name);
  return name;
}

// Before it has its lock another server may take it for something left over.
Result<ImageShelf::Fresh> ImageShelf::make_fresh() {
  for (int tries = 0; tries < 10; ++tries) {
    Fresh fresh{new_prefix + base::new_uuid(*entropy_), {}};
    if (::mkdirat(fd_.get(), fresh.name.c_str(), 0700) != 0)
      return base::fail_errno("cannot make a folder for it", errno);
    fresh.folder = open_folder(fd_.get(), fresh.name);
    if (fresh.folder && try_lock(fresh.folder.get()) && is_at(fd_.get(), fresh.name, fresh.folder.get()))
      return fresh;
  }
  return fail(Code::unavailable, "cannot make a folder for it: others remove what is there");
}

Result<std::string> ImageShelf::take_in(const std::string& source, const Unpack& unpack, const Fresh& fresh) {
  KnownImage image;
  AGENTROUTER_TRY(image.report, unpack(fresh.folder.get()));
  add_source(image, source);
  if (auto written = write_known(folder_ / fresh.name, image); !written)
    return tl::unexpected(written.error());
  // All of it on the disk before it has a name.
  if (::syncfs(fresh.folder.get()) != 0) return base::fail_errno("cannot keep it", errno);
  AGENTROUTER_TRY(auto known, name_it(std::move(image), fresh.name));
  auto name = known.report.digest.substr(algorithm.size());
  known_.insert_or_assign(name, std::move(known));
  return name;
}

// It may be there already, from another source.
Result<KnownImage> ImageShelf::name_it(KnownImage image, const std::string& temporary) {
  const auto name = image.report.digest.substr(algorithm.size());
  if (::renameat(fd_.get(), temporary.c_str(), fd_.get(), name.c_str()) == 0) return image;
  if (errno != EEXIST && errno != ENOTEMPTY) return base::fail_errno("cannot keep it", errno);
  AGENTROUTER_TRY(auto known, read_known(folder_ / name));
  add_source(known, image.sources.front());
  if (auto written = write_known(folder_ / name, known); !written) return tl::unexpected(written.error());
  return known;
}

void ImageShelf::keep_only(const std::set<std::string>& names) {
  for (auto next = known_.begin(); next != known_.end();) {
    if (names.contains(next->first)) {
      ++next;
      continue;
    }
    const bool used = is_used(next->first);
    base::log(base::LogLevel::info,
              used ? "an image that is not configured any more stays: a sandbox works in it"
                   : "removing an image that is not configured any more",
              {{"digest", next->second.report.digest}});
    if (!used) put_away(next->first);
    next = known_.erase(next);
  }
}

// When in doubt it is.
bool ImageShelf::is_used(const std::string& name) const {
  for (const auto& place : {name, name + "/rootfs"}) {
    const Fd folder = open_folder(fd_.get(), place);
    if (folder ? !try_lock(folder.get()) : errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return true;
  }
  return false;
}

// Without its name first, and that on the disk: a removal that is cut off leaves nothing that looks whole.
void ImageShelf::put_away(const std::string& name) {
  const auto old = old_prefix + base::new_uuid(*entropy_);
  if (::renameat(fd_.get(), name.c_str(), fd_.get(), old.c_str()) == 0 && ::fsync(fd_.get()) == 0)
    return tidy(old);
  base::log(base::LogLevel::warn, "an image could not be removed",
            {{"name", name}, {"errno", std::to_string(errno)}});
}

void ImageShelf::tidy(const std::string& name) {
  if (is_used(name)) return;
  if (const auto done = remove_(fd_.get(), name); !done)
    base::log(base::LogLevel::warn, "an image could not be removed",
              {{"name", name}, {"cause", done.error().message}});
}

}  // namespace agentrouter::apps
