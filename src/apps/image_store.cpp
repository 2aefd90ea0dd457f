#include "apps/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "apps/image_shelf.h"
#include "apps/spawn.h"
#include "base/fd.h"
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

constexpr std::size_t report_bytes = 256u << 10;  // an environment of control characters is six times as long

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

Result<std::string> place(ImageShelf& shelf, const ImageConfig& image, const ImageMeans& means,
                          std::uint64_t disk_reserve) {
  AGENTROUTER_TRY(const auto source, identity_of(image));
  if (auto name = shelf.find(source)) return *name;
  base::log(base::LogLevel::info, "unpacking an image",
            {{"image", image.name}, {"source", source_of(image)}});
  return shelf.add(source, [&](int folder) { return means.unpack(image, folder, disk_reserve); });
}

}  // namespace

Result<workspace::ImageReport> unpack_in_a_process(const ImageConfig& image, int folder,
                                                   std::uint64_t disk_reserve) {
  const Fd source(::open(source_of(image).c_str(),
                         O_RDONLY | O_CLOEXEC | O_NONBLOCK | (image.oci_layout.empty() ? 0 : O_DIRECTORY)));
  if (!source) return base::fail_errno("cannot read " + source_of(image), errno);
  workspace::UnpackLimits limits = workspace::ImageLimits().files;
  limits.disk_reserve = disk_reserve;
  SelfRun run;
  AGENTROUTER_TRY(const auto report, run.run({"unpack-image", image.digest, workspace::to_argument(limits)},
                                             {source.get(), folder}, report_bytes));
  if (report.empty()) return fail(Code::internal, "the process that unpacks it broke down");
  return workspace::parse_image_report(report);
}

Result<void> remove_image(int at, const std::string& name) {
  return sandbox::remove_tree(at, name);
}

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

Result<ImageStore> ImageStore::open(const fs::path& folder, const std::vector<ImageConfig>& images,
                                    base::Entropy& entropy, const Rules& rules, const ImageMeans& means) {
  ImageStore store;
  std::error_code error;
  if (images.empty() && !fs::exists(folder, error)) return store;
  fs::create_directories(folder, error);
  if (error) return fail(Code::unavailable, "cannot make " + folder.string() + ": " + error.message());
  AGENTROUTER_TRY(auto shelf, ImageShelf::open(folder, entropy, means.remove));
  std::set<std::string> used;
  for (const auto& image : images) {
    auto name = place(shelf, image, means, rules.disk_reserve);
    if (!name) {
      auto why = std::move(name).error();
      why.message = "cannot use the image \"" + image.name + "\": " + why.message;
      return tl::unexpected(std::move(why));
    }
    const auto& report = shelf.known(*name).report;
    store.images_.emplace(image.name, worker::ImageRoot{.name = image.name,
                                                        .root = shelf.root(*name),
                                                        .digest = report.digest,
                                                        .environment = report.environment,
                                                        .shell = report.shell});
    used.insert(*name);
  }
  if (rules.unused == Unused::remove) shelf.keep_only(used);
  return store;
}

Result<worker::ImageRoot> ImageStore::named(std::string_view name) const {
  const auto found = images_.find(name);
  if (found != images_.end()) return found->second;
  return fail(Code::invalid, "this server has no image \"" + std::string(name) + "\" any more", "image_unknown");
}

}  // namespace agentrouter::apps
