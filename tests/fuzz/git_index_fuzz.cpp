// covers: src/workspace/tracked.cpp
// Git index files from arbitrary bytes: no crash, and every path that is listed is found.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "workspace/tracked.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tracked = workspace::TrackedPaths::parse(bytes);
  if (!tracked) return 0;
  std::ignore = tracked->contains(bytes.substr(0, 40));
  std::ignore = tracked->has_below("dir/");
  return 0;
}
