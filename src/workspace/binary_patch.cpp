#include "workspace/binary_patch.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"

namespace agentrouter::workspace {

namespace {

constexpr std::string_view digits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
constexpr std::size_t line_bytes = 52;
constexpr int compression = 5;

std::string deflated(std::string_view content) {
  auto size = ::compressBound(content.size());
  std::string out(size, '\0');
  const auto status =
      ::compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
                  content.size(), compression);
  AGENTROUTER_CHECK(status == Z_OK);
  out.resize(size);
  return out;
}

// Four bytes, or what is left of them with zeros behind, as five digits.
void append_group(std::string& out, std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u);
  }
  char group[5];
  for (int i = 4; i >= 0; --i, value /= 85) group[i] = digits[value % 85];
  out.append(group, sizeof group);
}

}  // namespace

void append_literal(std::string& out, std::string_view content) {
  const auto packed = deflated(content);
  out += "literal " + std::to_string(content.size()) + "\n";
  std::string_view rest = packed;
  while (!rest.empty()) {
    const auto line = rest.substr(0, line_bytes);
    rest.remove_prefix(line.size());
    const auto n = static_cast<int>(line.size());
    out += static_cast<char>(n <= 26 ? 'A' + n - 1 : 'a' + n - 27);
    for (std::size_t i = 0; i < line.size(); i += 4) append_group(out, line.substr(i, 4));
    out += '\n';
  }
  out += '\n';
}

}  // namespace agentrouter::workspace
