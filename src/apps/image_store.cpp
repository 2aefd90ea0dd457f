#include "apps/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "apps/spawn.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "sandbox/remove_tree.h"
#include "workspace/image.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Fd;
using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr const char* known_file = "image.json";
constexpr const char* temporary_prefix = ".new-";
constexpr std::size_t report_bytes = 256u << 10;  // an environment of control characters is six times as long
constexpr std::size_t known_bytes = 1u << 20;
constexpr std::size_t most_sources = 16;

const std::string& source_of(const ImageConfig& image) {
  return image.oci_layout.empty() ? image.archive : image.oci_layout;
}

// Changes when the source does, as far as that shows without reading it.
Result<std::string> identity_of(const ImageConfig& image) {
  const auto path = image.oci_layout.empty() ? image.archive : image.oci_layout + "/index.json";
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    // Older layouts of docker save have no index.
    if (::stat(source_of(image).c_str(), &info) != 0)
      return base::fail_errno("cannot read " + source_of(image), errno);
  }
  return path + "|" + std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + ":" +
         std::to_string(info.st_size) + ":" + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec) + "|" + image.digest;
}

struct Known {
  workspace::ImageReport report;
  std::vector<std::string> sources;
};

Result<Known> read_known(const fs::path& folder) {
  AGENTROUTER_TRY(const auto text, base::read_file(folder / known_file, known_bytes));
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  const auto* object = document.if_object();
  const auto* report = object != nullptr ? base::get_object(*object, "report") : nullptr;
  const auto* sources = object != nullptr ? base::get_array(*object, "sources") : nullptr;
  if (report == nullptr || sources == nullptr) return fail(Code::corrupt, "cannot read what is known of an image");
  Known known;
  AGENTROUTER_TRY(known.report, workspace::parse_image_report(base::to_text(*report)));
  for (const auto& one : *sources) {
    if (one.is_string()) known.sources.emplace_back(one.get_string());
  }
  return known;
}

Result<void> write_known(const fs::path& folder, const Known& known) {
  AGENTROUTER_TRY(auto report, base::parse_json(workspace::to_json(known.report)));
  json::array sources;
  for (const auto& one : known.sources) sources.emplace_back(one);
  return base::write_file_durably(folder / known_file,
                                  base::to_text(json::object{{"report", std::move(report)}, {"sources", std::move(sources)}}));
}

Result<workspace::ImageReport> run_unpacker(const ImageConfig& image, int folder) {
  const Fd source(::open(source_of(image).c_str(),
                         O_RDONLY | O_CLOEXEC | O_NONBLOCK | (image.oci_layout.empty() ? 0 : O_DIRECTORY)));
  if (!source) return base::fail_errno("cannot read " + source_of(image), errno);
  SelfRun run;
  AGENTROUTER_TRY(const auto report, run.run({"unpack-image", image.digest}, {source.get(), folder}, report_bytes));
  if (report.empty()) return fail(Code::internal, "the process that unpacks it broke down");
  return workspace::parse_image_report(report);
}

class Shelf {
 public:
  Shelf(fs::path folder, Fd fd, base::Entropy& entropy) : folder_(std::move(folder)), fd_(std::move(fd)), entropy_(entropy) {}

  void look() {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      auto known = workspace::is_image_digest("sha256:" + name) ? read_known(entry.path()) : tl::unexpected(base::Error{});
      if (known && known->report.digest == "sha256:" + name) {
        known_.emplace(name, std::move(*known));
      } else {
        (void)sandbox::remove_tree(fd_.get(), name);
      }
    }
  }

  // The name of its folder.
  Result<std::string> place(const ImageConfig& image) {
    AGENTROUTER_TRY(const auto identity, identity_of(image));
    for (const auto& [name, known] : known_) {
      if (std::ranges::find(known.sources, identity) != known.sources.end()) return use(name);
    }
    base::log(base::LogLevel::info, "unpacking an image", {{"image", image.name}, {"source", source_of(image)}});
    const auto temporary = temporary_prefix + base::new_uuid(entropy_);
    auto report = unpack(image, temporary);
    if (report) {
      report = keep(std::move(*report), identity, temporary);
    }
    (void)sandbox::remove_tree(fd_.get(), temporary);
    if (!report) return tl::unexpected(std::move(report).error());
    return use(report->digest.substr(sizeof "sha256:" - 1));
  }

  void remove_unused() {
    for (const auto& [name, known] : known_) {
      if (used_.contains(name)) continue;
      base::log(base::LogLevel::info, "removing an image that is not configured any more", {{"digest", known.report.digest}});
      (void)sandbox::remove_tree(fd_.get(), name);
    }
  }

  worker::ImageRoot root(const std::string& image, const std::string& name) const {
    const auto& report = known_.at(name).report;
    return {.name = image, .root = folder_ / name / "rootfs", .digest = report.digest, .environment = report.environment,
            .shell = report.shell};
  }

 private:
  const std::string& use(const std::string& name) { return *used_.insert(name).first; }

  Result<workspace::ImageReport> unpack(const ImageConfig& image, const std::string& temporary) {
    if (::mkdirat(fd_.get(), temporary.c_str(), 0700) != 0) return base::fail_errno("cannot make a folder for it", errno);
    AGENTROUTER_TRY(const auto folder, base::open_directory(folder_ / temporary));
    return run_unpacker(image, folder.get());
  }

  Result<workspace::ImageReport> keep(workspace::ImageReport report, const std::string& identity, const std::string& temporary) {
    const auto name = report.digest.substr(sizeof "sha256:" - 1);
    const auto there = known_.find(name);
    Known known = there != known_.end() ? there->second : Known{.report = report, .sources = {}};
    known.sources.insert(known.sources.begin(), identity);
    if (known.sources.size() > most_sources) known.sources.resize(most_sources);
    if (there != known_.end()) {
      if (auto done = write_known(folder_ / name, known); !done) return tl::unexpected(done.error());
    } else {
      if (auto done = write_known(folder_ / temporary, known); !done) return tl::unexpected(done.error());
      // All of it on the disk before it has a name.
      if (const auto folder = base::open_directory(folder_ / temporary)) ::syncfs(folder->get());
      std::error_code error;
      fs::rename(folder_ / temporary, folder_ / name, error);
      if (error) return fail(Code::unavailable, "cannot keep it: " + error.message());
    }
    known_.insert_or_assign(name, std::move(known));
    return report;
  }

  fs::path folder_;
  Fd fd_;
  base::Entropy& entropy_;
  std::map<std::string, Known> known_;
  std::set<std::string> used_;
};

}  // namespace

bool is_image_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

Result<void> set_image(std::vector<ImageConfig>& images, std::string_view key, const std::string& text) {
  const auto dot = key.rfind('.');
  const auto name = dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
  const auto part = dot == std::string_view::npos ? std::string_view() : key.substr(dot + 1);
  if (!is_image_name(name))
    return fail(Code::invalid, "the image \"" + std::string(name) + "\" has no usable name: want a-z 0-9 . _ -, at most 64", "usage");
  auto found = std::ranges::find(images, name, &ImageConfig::name);
  if (found == images.end()) found = images.insert(images.end(), ImageConfig{.name = std::string(name)});
  if (part == "oci_layout" || part == "archive") {
    if (!text.starts_with('/'))
      return fail(Code::invalid, std::string(part) + " is \"" + text + "\": want an absolute path", "usage");
    (part == "archive" ? found->archive : found->oci_layout) = text;
  } else if (part == "digest") {
    if (!workspace::is_image_digest(text))
      return fail(Code::invalid, "digest is \"" + text + "\": want sha256: and 64 hex digits in lower case", "usage");
    found->digest = text;
  } else {
    return fail(Code::invalid, "unknown key \"" + std::string(part) + "\" of an image: want oci_layout, archive or digest", "usage");
  }
  return {};
}

Result<void> finish_images(const std::vector<ImageConfig>& images, const std::string& fallback) {
  for (const auto& image : images) {
    if (image.oci_layout.empty() == image.archive.empty())
      return fail(Code::invalid, "[images." + image.name + "] wants either oci_layout or archive", "usage");
  }
  if (!fallback.empty() && !check_image(images, fallback))
    return fail(Code::invalid, "sandbox.image is \"" + fallback + "\": there is no [images." + fallback + "]", "usage");
  return {};
}

std::string print_images(const std::vector<ImageConfig>& images) {
  std::ostringstream out;
  for (const auto& image : images) {
    out << "\n[images." << (image.name.find('.') == std::string::npos ? image.name : "\"" + image.name + "\"") << "]\n"
        << (image.oci_layout.empty() ? "archive" : "oci_layout") << " = " << base::to_text(json::string(source_of(image))) << "\n";
    if (!image.digest.empty()) out << "digest = \"" << image.digest << "\"\n";
  }
  return out.str();
}

Result<void> check_image(const std::vector<ImageConfig>& images, std::string_view name) {
  json::array known;
  for (const auto& image : images) {
    if (image.name == name) return {};
    known.emplace_back(image.name);
  }
  return fail(Code::invalid, "this server has no image \"" + std::string(name) + "\"", "image_unknown",
              base::to_text(json::object{{"name", name}, {"known", std::move(known)}}));
}

Result<ImageStore> ImageStore::open(const fs::path& folder, const std::vector<ImageConfig>& images, base::Entropy& entropy,
                                    Unused unused) {
  ImageStore store;
  std::error_code error;
  if (images.empty() && !fs::exists(folder, error)) return store;
  fs::create_directories(folder, error);
  if (error) return fail(Code::unavailable, "cannot make " + folder.string() + ": " + error.message());
  AGENTROUTER_TRY(auto fd, base::open_directory(folder));
  Shelf shelf(folder, std::move(fd), entropy);
  shelf.look();
  for (const auto& image : images) {
    auto name = shelf.place(image);
    if (!name) {
      auto why = std::move(name).error();
      why.message = "cannot use the image \"" + image.name + "\": " + why.message;
      return tl::unexpected(std::move(why));
    }
    store.images_.emplace(image.name, shelf.root(image.name, *name));
  }
  if (unused == Unused::remove) shelf.remove_unused();
  return store;
}

Result<worker::ImageRoot> ImageStore::named(std::string_view name) const {
  const auto found = images_.find(name);
  if (found != images_.end()) return found->second;
  return fail(Code::invalid, "this server has no image \"" + std::string(name) + "\" any more", "image_unknown");
}

}  // namespace agentrouter::apps
