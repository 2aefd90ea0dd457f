#pragma once
// The last eight bytes of a page: the CRC-32C of what is before them, in the byte order of this machine, and
// "AgC1". Pure.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace agentrouter::store {

inline constexpr std::size_t page_checksum_bytes = 8;
inline constexpr std::size_t database_head_bytes = 100;

struct PageFormat {
  std::size_t size = 0;
  bool has_checksums = false;
};

// From the first bytes of a database, `database_head_bytes` or more; nothing when it is none.
[[nodiscard]] std::optional<PageFormat> page_format(std::string_view head);

void put_page_checksum(std::span<char> page);

// A page of zeros is a hole: SQLite never wrote it, because nothing is on it.
[[nodiscard]] bool is_whole_page(std::string_view page);

}  // namespace agentrouter::store
