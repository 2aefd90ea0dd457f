// covers: src/workspace/ignore.cpp
// .gitignore files from arbitrary bytes: no crash. The first line is the path, the rest are the patterns.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "workspace/ignore.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto end = std::min(bytes.find('\n'), bytes.size());
  const auto rules = workspace::IgnoreRules::add(nullptr, bytes.substr(std::min(end + 1, bytes.size())), 0);
  std::ignore = workspace::IgnoreRules::ignores(rules, bytes.substr(0, end), true);
  return 0;
}
