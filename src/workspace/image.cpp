#include "workspace/image.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/hash.h"
#include "base/json.h"
#include "workspace/beneath.h"
#include "workspace/image_layer.h"
#include "workspace/remove.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

constexpr std::string_view algorithm = "sha256:";
constexpr unsigned max_index_depth = 4;
constexpr std::size_t max_candidates = 256;

tl::unexpected<base::Error> unreadable_image(std::string_view why) {
  return fail(Code::invalid, "cannot read the image: " + std::string(why), "image_unreadable");
}

tl::unexpected<base::Error> wrong_digest(std::string_view what) {
  return fail(Code::invalid, "cannot use the image: " + std::string(what) + " is not what its digest says", "image_digest");
}

// One file of the image with what is said about it.
struct Blob {
  std::string path;    // in the layout
  std::string digest;  // empty: nothing is said
};

struct FoundImage {
  std::string digest;
  Blob config;
  std::vector<Blob> layers;
  bool by_diff_ids = false;  // the layers are what the configuration says of them unpacked
};

// `own`: only this process writes there.
enum class Origin { own, foreign };

class Layout {
 public:
  Layout(int folder, Origin origin, const ImageLimits& limits)
      : folder_(folder), origin_(origin), limits_(limits) {}

  Result<FoundImage> find(std::string_view wanted) {
    auto index = read_document("index.json");
    if (index) {
      AGENTROUTER_TRY(const auto document, parse_document(*index, "index.json"));
      if (auto done = walk(document, wanted, wanted.empty(), 0); !done) return tl::unexpected(done.error());
      return choose(wanted);
    }
    if (index.error().code != Code::not_found) return tl::unexpected(std::move(index).error());
    return find_saved(wanted);
  }

  // Read and checked. Errors: invalid.
  Result<std::string> read(const Blob& blob) const {
    auto text = read_document(blob.path);
    if (!text && text.error().code == Code::not_found) return unreadable_image("there is no file " + blob.path);
    if (!text) return text;
    if (!blob.digest.empty() && std::string(algorithm) + base::Sha256::hex_of(*text) != blob.digest) return wrong_digest(blob.path);
    return text;
  }

  // The bytes that its digest is of, whoever writes to the source meanwhile: a foreign one is copied, as a
  // file without a name in `scratch`.
  Result<Fd> open(const Blob& blob, int scratch, ImageBudget& budget) const {
    Fd file = open_beneath(folder_, blob.path, O_RDONLY, Mounts::cross);
    struct stat info{};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
      return unreadable_image("there is no file " + blob.path);
    if (origin_ == Origin::own) {
      AGENTROUTER_TRY(const auto digest, hash(file.get(), -1, budget));
      if (digest != blob.digest) return wrong_digest(blob.path);
      return file;
    }
    AGENTROUTER_TRY(Fd copy, make_nameless(scratch));
    AGENTROUTER_TRY(const auto digest, hash(file.get(), copy.get(), budget));
    if (digest != blob.digest) return wrong_digest(blob.path);
    return copy;
  }

 private:
  static Result<Fd> make_nameless(int folder) {
    Fd file(::openat(folder, "layer", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || ::unlinkat(folder, "layer", 0) != 0) return fail_errno("cannot copy a layer", errno);
    return file;
  }

  // Of all bytes of `file`, which become those of `copy` if there is one.
  Result<std::string> hash(int file, int copy, ImageBudget& budget) const {
    base::Sha256 hash;
    std::string buffer(256 * 1024, '\0');
    for (std::uint64_t sum = 0;;) {
      if (auto good = check_time(limits_, budget); !good) return tl::unexpected(good.error());
      const auto got = ::read(file, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("cannot read a layer", errno);
      if (got == 0) return std::string(algorithm) + hash.hex();
      const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
      hash.update(bytes);
      if (copy < 0) continue;
      sum += bytes.size();
      if (sum > limits_.files.bytes) {
        return fail(Code::invalid, "cannot use the image: a layer is too large", "image_limit",
                    base::to_text(json::object{{"limit", "bytes"}, {"most", limits_.files.bytes}}));
      }
      if (auto room = budget.reserve.use(bytes.size()); !room) return tl::unexpected(room.error());
      if (auto written = base::write_all(copy, bytes); !written) return tl::unexpected(written.error());
    }
  }

  Result<std::string> read_document(const std::string& path) const {
    const Fd file = open_beneath(folder_, path, O_RDONLY, Mounts::cross);
    struct stat info{};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
      return fail(Code::not_found, "cannot read the image: there is no file " + path, "image_unreadable");
    if (static_cast<std::uint64_t>(info.st_size) > limits_.document_bytes) {
      return fail(Code::invalid, "cannot read the image: " + path + " is too large for what it should be", "image_limit");
    }
    return base::read_all(file.get(), limits_.document_bytes);
  }

  static Result<json::value> parse_document(std::string_view text, std::string_view name) {
    auto document = base::parse_json(text, {.max_depth = 16, .max_bytes = 4u << 20});
    if (!document) return unreadable_image(std::string(name) + ": " + document.error().message);
    return document;
  }

  static Result<Blob> described(const json::value& descriptor) {
    const auto* object = descriptor.if_object();
    const auto digest = object != nullptr ? base::get_string(*object, "digest") : std::nullopt;
    if (!digest || !is_image_digest(*digest)) return unreadable_image("something has no sha256 digest");
    return Blob{"blobs/sha256/" + std::string(digest->substr(algorithm.size())), std::string(*digest)};
  }

  static bool fits_platform(const json::value& descriptor) {
    const auto* platform = base::get_object(descriptor.as_object(), "platform");
    if (platform == nullptr) return true;
    return base::get_string(*platform, "os").value_or("") == "linux" &&
           base::get_string(*platform, "architecture").value_or("") == "amd64";
  }

  // Collects the manifests for this platform; `taken`: an index above was asked for.
  Result<void> walk(const json::value& index, std::string_view wanted, bool taken, unsigned depth) {
    const auto* object = index.if_object();
    const auto* manifests = object != nullptr ? base::get_array(*object, "manifests") : nullptr;
    if (manifests == nullptr || depth >= max_index_depth) return unreadable_image("the index lists no manifests");
    for (const auto& one : *manifests) {
      AGENTROUTER_TRY(const auto blob, described(one));
      const bool named = blob.digest == wanted;
      if (!fits_platform(one) && !named) continue;
      if (++seen_ > max_candidates) return unreadable_image("the index is too long");
      AGENTROUTER_TRY(const auto text, read(blob));
      AGENTROUTER_TRY(auto document, parse_document(text, blob.path));
      const auto* inner = document.if_object();
      if (inner != nullptr && base::get_array(*inner, "manifests") != nullptr) {
        if (auto done = walk(document, wanted, taken || named, depth + 1); !done) return done;
      } else if (taken || named) {
        if (auto done = take(blob, document); !done) return done;
      }
    }
    return {};
  }

  Result<void> take(const Blob& blob, const json::value& manifest) {
    for (const auto& one : found_) {
      if (one.digest == blob.digest) return {};
    }
    const auto* object = manifest.if_object();
    const auto* layers = object != nullptr ? base::get_array(*object, "layers") : nullptr;
    const auto* config = object != nullptr ? object->if_contains("config") : nullptr;
    if (layers == nullptr || config == nullptr) return unreadable_image("a manifest has no layers or no configuration");
    FoundImage image{.digest = blob.digest, .config = {}, .layers = {}};
    AGENTROUTER_TRY(image.config, described(*config));
    for (const auto& layer : *layers) {
      AGENTROUTER_TRY(auto described_layer, described(layer));
      image.layers.push_back(std::move(described_layer));
    }
    found_.push_back(std::move(image));
    return {};
  }

  Result<FoundImage> choose(std::string_view wanted) {
    if (found_.size() == 1) return std::move(found_.front());
    std::string why = wanted.empty() ? "there is no image for linux/amd64 in it" : "it has no image " + std::string(wanted);
    if (!found_.empty()) {
      why = "it has several images, so `digest` must name one:";
      for (std::size_t i = 0; i < std::min<std::size_t>(found_.size(), 8); ++i) why += " " + found_[i].digest;
    }
    return fail(Code::invalid, "cannot choose an image: " + why, "image_ambiguous");
  }

  // What `docker save` wrote before it wrote layouts.
  Result<FoundImage> find_saved(std::string_view wanted) {
    auto text = read_document("manifest.json");
    if (!text) return unreadable_image("it has neither index.json nor manifest.json (`skopeo copy` makes an OCI layout)");
    AGENTROUTER_TRY(const auto document, parse_document(*text, "manifest.json"));
    const auto* images = document.if_array();
    if (images == nullptr || images->empty()) return unreadable_image("manifest.json lists no image");
    for (const auto& one : *images) {
      const auto* object = one.if_object();
      const auto config = object != nullptr ? base::get_string(*object, "Config") : std::nullopt;
      const auto* layers = object != nullptr ? base::get_array(*object, "Layers") : nullptr;
      if (!config || layers == nullptr) return unreadable_image("manifest.json has no Config or no Layers");
      FoundImage image{.digest = {}, .config = {std::string(*config), {}}, .layers = {}, .by_diff_ids = true};
      AGENTROUTER_TRY(const auto content, read(image.config));
      image.digest = std::string(algorithm) + base::Sha256::hex_of(content);
      image.config.digest = image.digest;
      if (config->size() == 69 && config->ends_with(".json") && config->substr(0, 64) != image.digest.substr(7))
        return wrong_digest(*config);
      for (const auto& layer : *layers) {
        const auto* path = layer.if_string();
        if (path == nullptr) return unreadable_image("manifest.json names a layer by something that is no text");
        image.layers.push_back({std::string(*path), {}});
      }
      if (wanted.empty() || wanted == image.digest) found_.push_back(std::move(image));
    }
    return choose(wanted);
  }

  int folder_;
  Origin origin_;
  const ImageLimits& limits_;
  std::size_t seen_ = 0;
  std::vector<FoundImage> found_;
};

Result<std::vector<std::string>> environment_of(const json::object& config, const ImageLimits& limits) {
  std::vector<std::string> result;
  const auto* inner = base::get_object(config, "config");
  const auto* all = inner != nullptr ? base::get_array(*inner, "Env") : nullptr;
  if (all == nullptr) return result;
  std::size_t bytes = 0;
  for (const auto& one : *all) {
    const auto* text = one.if_string();
    const auto name = text != nullptr ? text->find('=') : json::string::npos;
    if (name == json::string::npos || name == 0 || text->find('\0') != json::string::npos)
      return unreadable_image("its environment is not made of NAME=value");
    bytes += text->size() + 1;
    if (bytes > limits.environment_bytes)
      return fail(Code::invalid, "cannot use the image: its environment is too long", "image_limit");
    if (result.size() == limits.environment_entries)
      return fail(Code::invalid, "cannot use the image: its environment has too many variables",
                  "image_limit");
    result.emplace_back(*text);
  }
  return result;
}

// The layers as the configuration knows them, which also says that there are as many.
Result<void> match_layers(FoundImage& image, const json::object& config) {
  const auto* rootfs = base::get_object(config, "rootfs");
  const auto* ids = rootfs != nullptr ? base::get_array(*rootfs, "diff_ids") : nullptr;
  if (ids == nullptr || ids->size() != image.layers.size())
    return unreadable_image("its configuration does not list its layers");
  if (!image.by_diff_ids) return {};
  for (std::size_t i = 0; i < ids->size(); ++i) {
    const auto* id = ids->at(i).if_string();
    if (id == nullptr || !is_image_digest(*id)) return unreadable_image("its configuration names a layer by no digest");
    image.layers[i].digest = std::string(*id);
  }
  return {};
}

std::string shell_of(int root) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const Fd bash(static_cast<int>(::syscall(SYS_openat2, root, "bin/bash", &how, sizeof how)));
  struct stat info{};
  const bool there = bash && ::fstat(bash.get(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & S_IXOTH) != 0;
  return there ? "/bin/bash" : "/bin/sh";
}

base::Error as_image_error(base::Error error) {
  if (error.reason == "archive_unreadable") error.reason = "image_unreadable";
  if (error.reason == "archive_limit") error.reason = "image_limit";
  if (error.reason == "archive_refused") error.reason = "image_refused";
  return error;
}

struct OpenLayout {
  Fd folder;
  Origin origin;
};

// An archive is first laid out beside the root.
Result<OpenLayout> open_layout(const ImageFds& fds, const ImageLimits& limits) {
  struct stat info{};
  if (::fstat(fds.source, &info) != 0) return fail_errno("cannot read the image", errno);
  if (S_ISDIR(info.st_mode)) return OpenLayout{Fd(::fcntl(fds.source, F_DUPFD_CLOEXEC, 3)), Origin::foreign};
  if (!S_ISREG(info.st_mode)) return unreadable_image("it is neither a folder nor a file");
  if (::mkdirat(fds.folder, "parts", 0700) != 0) return fail_errno("cannot lay out the image", errno);
  Fd parts(::openat(fds.folder, "parts", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!parts) return fail_errno("cannot lay out the image", errno);
  auto files = limits.files;
  files.links = LinkRule::inside;
  files.entries = 16'384;
  auto done = unpack({fds.source, parts.get()}, files);
  if (!done) return tl::unexpected(as_image_error(std::move(done).error()));
  return OpenLayout{std::move(parts), Origin::own};
}

}  // namespace

bool is_image_digest(std::string_view text) {
  return text.size() == algorithm.size() + 64 && text.starts_with(algorithm) &&
         std::all_of(text.begin() + algorithm.size(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<ImageReport> unpack_image(const ImageFds& fds, std::string_view digest, const ImageLimits& limits) {
  ImageReport report;
  ImageBudget budget{.deadline = std::chrono::steady_clock::now() + limits.files.wall_time,
                     .reserve = DiskReserve(fds.folder, limits.files.disk_reserve),
                     .report = &report};
  AGENTROUTER_TRY(const auto source, open_layout(fds, limits));
  Layout layout(source.folder.get(), source.origin, limits);
  AGENTROUTER_TRY(auto image, layout.find(digest));
  report.digest = image.digest;
  if (image.layers.size() > limits.layers)
    return fail(Code::invalid, "cannot use the image: it has too many layers", "image_limit");
  AGENTROUTER_TRY(const auto text, layout.read(image.config));
  const auto document = base::parse_json(text, {.max_depth = 32, .max_bytes = limits.document_bytes});
  const auto* config = document ? document->if_object() : nullptr;
  if (config == nullptr) return unreadable_image("its configuration is no object");
  if (base::get_string(*config, "os").value_or("") != "linux" || base::get_string(*config, "architecture").value_or("") != "amd64")
    return fail(Code::invalid, "cannot use the image: it is not for linux/amd64", "image_ambiguous");
  AGENTROUTER_TRY(report.environment, environment_of(*config, limits));
  if (auto done = match_layers(image, *config); !done) return tl::unexpected(done.error());
  if (::mkdirat(fds.folder, "rootfs", 0755) != 0) return fail_errno("cannot make the image's root", errno);
  const Fd root(::openat(fds.folder, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root || ::fchmod(root.get(), 0755) != 0) return fail_errno("cannot make the image's root", errno);
  for (const auto& layer : image.layers) {
    AGENTROUTER_TRY(const Fd file, layout.open(layer, fds.folder, budget));
    if (auto done = apply_layer(file.get(), root.get(), limits, budget); !done) return tl::unexpected(done.error());
  }
  report.shell = shell_of(root.get());
  if (auto done = remove(fds.folder, "parts", 64); !done) return tl::unexpected(done.error());
  return report;
}

}  // namespace agentrouter::workspace
