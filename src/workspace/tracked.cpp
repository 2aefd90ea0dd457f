#include "workspace/tracked.h"

#include <algorithm>

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t max_names_bytes = 1u << 30;
constexpr std::size_t object_id_bytes = 20;
constexpr std::size_t fixed_bytes = 40 + object_id_bytes + 2;
constexpr std::uint32_t extended_flag = 0x4000;

std::uint32_t big_endian(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

tl::unexpected<base::Error> broken() {
  return fail(Code::corrupt, "cannot read the git index: it is cut or broken");
}

// The length that version 4 takes off the previous path: git's "offset" coding. Moves `at` behind it.
Result<std::size_t> read_strip(std::string_view bytes, std::size_t& at) {
  std::size_t value = 0;
  for (int i = 0; i < 5; ++i) {
    if (at >= bytes.size()) return broken();
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value = value << 7 | (byte & 0x7f);
    if (!(byte & 0x80)) return value;
    ++value;
  }
  return broken();
}

// The path of one entry whose name begins at `at`; `at` moves to the next entry.
Result<void> read_path(std::string_view index, std::uint32_t version, std::size_t begin, std::size_t& at,
                       std::string& path) {
  if (version == 4) {
    AGENTROUTER_TRY(const auto strip, read_strip(index, at));
    if (strip > path.size()) return broken();
    path.resize(path.size() - strip);
  } else {
    path.clear();
  }
  const auto end = index.find('\0', at);
  if (end == std::string_view::npos || end - at > 65536) return broken();
  path.append(index.substr(at, end - at));
  // Versions 2 and 3 end an entry with 1 to 8 NULs, so that its length is a multiple of eight.
  at = version == 4 ? end + 1 : begin + ((end - begin) / 8 + 1) * 8;
  return {};
}

}  // namespace

Result<TrackedPaths> TrackedPaths::parse(std::string_view index) {
  if (index.size() < 12 + object_id_bytes || index.substr(0, 4) != "DIRC") return broken();
  const auto version = big_endian(index, 4, 4);
  if (version < 2 || version > 4)
    return fail(Code::unsupported, "cannot read the git index: unknown version");
  const auto count = big_endian(index, 8, 4);
  const auto content = index.substr(0, index.size() - object_id_bytes);
  TrackedPaths tracked;
  std::string path;
  std::size_t at = 12;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto begin = at;
    if (begin > content.size() || content.size() - begin < fixed_bytes) return broken();
    const auto mode = big_endian(content, begin + 24, 4);
    const auto flags = big_endian(content, begin + fixed_bytes - 2, 2);
    at = begin + fixed_bytes + (version >= 3 && (flags & extended_flag) ? 2 : 0);
    if (auto read = read_path(content, version, begin, at, path); !read) return tl::unexpected(read.error());
    if (tracked.names_.size() + path.size() > max_names_bytes) return broken();
    tracked.add(path, mode);
  }
  while (at + 8 <= content.size()) {
    if (content.substr(at, 4) == "link") return fail(Code::unsupported, "cannot read a split git index");
    at += 8 + std::size_t{big_endian(content, at + 4, 4)};
  }
  if (at != content.size()) return broken();
  tracked.sort();
  return tracked;
}

void TrackedPaths::add(std::string_view path, std::uint32_t mode) {
  constexpr std::uint32_t type_mask = 0170000;
  constexpr std::uint32_t submodule = 0160000;
  constexpr std::uint32_t sparse_folder = 0040000;
  if ((mode & type_mask) == submodule) opaque_.push_back(std::string(path) + "/");
  if ((mode & type_mask) == sparse_folder) opaque_.emplace_back(path);
  entries_.push_back({static_cast<std::uint32_t>(names_.size()), static_cast<std::uint32_t>(path.size())});
  names_ += path;
}

void TrackedPaths::sort() {
  const auto less = [this](const Entry& a, const Entry& b) { return name(a) < name(b); };
  if (!std::is_sorted(entries_.begin(), entries_.end(), less))
    std::sort(entries_.begin(), entries_.end(), less);
}

bool TrackedPaths::contains(std::string_view path) const {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), path,
                                      [this](const Entry& e, std::string_view p) { return name(e) < p; });
  if (found != entries_.end() && name(*found) == path) return true;
  return std::any_of(opaque_.begin(), opaque_.end(),
                     [&](const std::string& folder) { return path.substr(0, folder.size()) == folder; });
}

bool TrackedPaths::has_below(std::string_view folder) const {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), folder,
                                      [this](const Entry& e, std::string_view p) { return name(e) < p; });
  if (found != entries_.end() && name(*found).substr(0, folder.size()) == folder) return true;
  return std::any_of(opaque_.begin(), opaque_.end(), [&](const std::string& one) {
    return folder.substr(0, one.size()) == one || one.substr(0, folder.size()) == folder;
  });
}

}  // namespace agentrouter::workspace
