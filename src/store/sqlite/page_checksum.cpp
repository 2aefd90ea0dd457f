#include "store/sqlite/page_checksum.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace agentrouter::store {
namespace {

constexpr std::string_view magic("SQLite format 3\0", 16);
// Another way of making checksums would have another word.
constexpr std::string_view mark = "AgC1";

std::uint32_t crc_of(std::string_view page) {
  return base::crc32c(page.substr(0, page.size() - page_checksum_bytes));
}

}  // namespace

std::optional<PageFormat> page_format(std::string_view head) {
  if (head.size() < database_head_bytes || !head.starts_with(magic)) return std::nullopt;
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(head[at])); };
  const auto size = byte(16) << 8 | byte(17);
  return PageFormat{.size = size == 1 ? 65536 : size, .has_checksums = byte(20) == page_checksum_bytes};
}

void put_page_checksum(std::span<char> page) {
  const std::uint32_t crc = crc_of({page.data(), page.size()});
  char* end = page.data() + page.size() - page_checksum_bytes;
  std::memcpy(end, &crc, sizeof crc);
  std::memcpy(end + sizeof crc, mark.data(), mark.size());
}

bool is_whole_page(std::string_view page) {
  const auto end = page.substr(page.size() - page_checksum_bytes);
  std::uint32_t crc = 0;
  std::memcpy(&crc, end.data(), sizeof crc);
  if (end.substr(sizeof crc) == mark) return crc == crc_of(page);
  return std::all_of(page.begin(), page.end(), [](char byte) { return byte == 0; });
}

}  // namespace agentrouter::store
