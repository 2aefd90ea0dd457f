// covers: src/workspace/image.cpp src/workspace/image_layer.cpp
// Container images from arbitrary bytes: no crash, nothing outside of the root is touched, nothing in it but files, folders and
// links, and no limit is exceeded.
//
// The first byte says what the rest is: 0 an archive; 1 an OCI layout, 2 what `docker save` wrote, as parts with "\n%%\n" in between:
// configuration, manifest, index, layers. In documents @D stands for the digests of the layers, @L for descriptors of them, @P for
// their files, @C and @M for the configuration's and the manifest's descriptor, so that digests are right unless they are changed.
#include <fcntl.h>

#include "base/hash.h"
#include "bytes_file.h"
#include "place.h"
#include "workspace/image.h"

using namespace agentrouter;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view border = "\n%%\n";

std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const auto end = text.find(border, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos || parts.size() == 9) return parts;
    begin = end + border.size();
  }
}

std::string filled_in(std::string text, std::string_view mark, const std::string& value) {
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size())) text.replace(at, mark.size(), value);
  return text;
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// As a blob; gives its descriptor.
std::string put_blob(const fs::path& layout, const std::string& bytes) {
  const auto digest = base::Sha256::hex_of(bytes);
  write(layout / "blobs/sha256" / digest, bytes);
  return R"({"digest":"sha256:)" + digest + R"("})";
}

void put_image(const fs::path& source, const std::string& text, bool saved) {
  auto parts = parts_of(text);
  parts.resize(std::max<std::size_t>(parts.size(), 3));
  fs::create_directories(source / "blobs/sha256");
  std::string ids, descriptors, files;
  for (std::size_t i = 3; i < parts.size(); ++i) {
    const auto comma = i > 3 ? "," : "";
    const auto file = "layer" + std::to_string(i - 3);
    if (saved) write(source / file, parts[i]);
    ids += comma + ("\"sha256:" + base::Sha256::hex_of(parts[i]) + "\"");
    descriptors += comma + put_blob(source, parts[i]);
    files += comma + ("\"" + file + "\"");
  }
  const auto config = filled_in(parts[0], "@D", ids);
  auto manifest = filled_in(filled_in(filled_in(parts[1], "@L", descriptors), "@P", files), "@C", put_blob(source, config));
  write(source / "config", config);
  if (saved) return write(source / "manifest.json", manifest);
  write(source / "index.json", filled_in(parts[2], "@M", put_blob(source, manifest)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  static const Place place;
  const auto tree = place.fresh("tree"), source = place.fresh("source");
  const auto bytes = bytes_of(data + 1, size - 1);
  base::Fd image;
  if (data[0] % 3 == 0) {
    image = file_of(bytes);
  } else {
    put_image(source, bytes, data[0] % 3 == 2);
    image = base::Fd(::open(source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  workspace::ImageLimits limits{.layers = 4, .document_bytes = 4096, .environment_bytes = 200};
  limits.files = {.entries = 60, .bytes = 1 << 20, .ratio = 100, .ratio_free = 1 << 18, .depth = 8, .path_bytes = 200,
                  .wall_time = std::chrono::seconds(5), .links = workspace::LinkRule::any};
  const base::Fd folder(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto report = workspace::unpack_image({image.get(), folder.get()}, {}, limits);
  const auto entries = plain_entries(tree);
  if (report) {
    require(entries <= limits.files.entries + 1 && report->content.bytes <= limits.files.bytes);
    require(fs::is_directory(tree / "rootfs") && std::distance(fs::directory_iterator(tree), {}) == 1);
    require(workspace::is_image_digest(report->digest));
    const auto again = workspace::parse_image_report(workspace::to_json(*report));
    require(again.has_value() && again->environment == report->environment && again->digest == report->digest);
  }
  if (!report && report.error().code == base::Code::invalid) require(report.error().reason.starts_with("image_"));
  if (!report) require(report.error().code != base::Code::not_found);
  place.require_untouched(2);
  return 0;
}
