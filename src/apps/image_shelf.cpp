#include "apps/image_shelf.h"

#include <fcntl.h>
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
  const auto temporary = new_prefix + base::new_uuid(*entropy_);
  auto name = take_in(source, unpack, temporary);
  tidy(temporary);
  return name;
}

Result<std::string> ImageShelf::take_in(const std::string& source, const Unpack& unpack,
                                        const std::string& temporary) {
  if (::mkdirat(fd_.get(), temporary.c_str(), 0700) != 0)
    return base::fail_errno("cannot make a folder for it", errno);
  AGENTROUTER_TRY(const auto folder, base::open_directory(folder_ / temporary));
  KnownImage image;
  AGENTROUTER_TRY(image.report, unpack(folder.get()));
  add_source(image, source);
  if (auto written = write_known(folder_ / temporary, image); !written)
    return tl::unexpected(written.error());
  // All of it on the disk before it has a name.
  if (::syncfs(folder.get()) != 0) return base::fail_errno("cannot keep it", errno);
  AGENTROUTER_TRY(auto known, name_it(std::move(image), temporary));
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
    base::log(base::LogLevel::info, "removing an image that is not configured any more",
              {{"digest", next->second.report.digest}});
    put_away(next->first);
    next = known_.erase(next);
  }
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
  if (const auto done = remove_(fd_.get(), name); !done)
    base::log(base::LogLevel::warn, "an image could not be removed",
              {{"name", name}, {"cause", done.error().message}});
}

}  // namespace agentrouter::apps
