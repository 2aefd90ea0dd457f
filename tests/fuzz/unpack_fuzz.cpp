// covers: src/workspace/unpack.cpp src/workspace/tree_path.cpp
// Archives of any format from arbitrary bytes: no crash, nothing outside the tree is touched, nothing in it but files, folders
// and links, and no limit is exceeded.
#include <fcntl.h>

#include "bytes_file.h"
#include "place.h"
#include "workspace/unpack.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  const auto tree = place.fresh("tree");
  const workspace::UnpackLimits limits{.entries = 60, .bytes = 1 << 20, .ratio = 100, .ratio_free = 1 << 18, .depth = 8, .path_bytes = 200,
                                 .wall_time = std::chrono::seconds(5)};
  const auto archive = file_of(bytes_of(data, size));
  const base::Fd folder(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto report = workspace::unpack({archive.get(), folder.get()}, limits);
  const auto entries = plain_entries(tree);
  require(entries <= limits.entries);
  if (report) require(report->files + report->folders >= entries && report->bytes <= limits.bytes);
  const auto text = report ? workspace::to_json(*report) : workspace::unpack_error_json(report.error());
  require(workspace::parse_unpack_report(text).has_value() == report.has_value());
  place.require_untouched(1);
  return 0;
}
