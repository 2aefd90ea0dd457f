#pragma once
// An archive becomes a tree: tar (plain, gzip, zstd) or zip, recognised by its bytes. The archive is hostile:
// nothing outside the folder is touched, no link is followed, nothing is made but files, folders and links,
// and each limit is checked before what would exceed it is made.
//
// Kept: bytes, permission bits, times of change, links, hard links among the archive's own files. Folders and
// files stay readable and writable for their owner.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::workspace {

// `inside`: what leads out of the tree is refused. `any`: links are kept as they are (a repository's own);
// nothing on this side ever follows one.
enum class LinkRule { inside, any };

struct UnpackLimits {
  std::uint64_t entries = 200'000;         // made in the tree, folders that the archive only implies included
  std::uint64_t bytes = 16ull << 30;       // of all files together
  std::uint64_t ratio = 200;               // bytes of files for each byte of the archive
  std::uint64_t ratio_free = 64ull << 20;  // so many bytes of files are fine whatever their ratio
  unsigned depth = 64;                     // parts of a path
  std::size_t path_bytes = 1024;
  std::chrono::milliseconds wall_time{600'000};
  LinkRule links = LinkRule::inside;
  std::uint64_t disk_reserve = 0;  // bytes of the folder's disk that stay free

  // Bytes that a part of a path may have: what file systems take.
  static constexpr std::size_t name_bytes = 255;
};

struct UnpackReport {
  std::uint64_t files = 0;  // with links and hard links
  std::uint64_t folders = 0;
  std::uint64_t bytes = 0;
};

struct UnpackFds {
  int archive = -1;  // a file, borrowed; a tar may also be a pipe
  int folder = -1;   // empty, borrowed
};

// After an error the folder is of no use.
//
// Errors, with details {entry?, limit?, most?}:
//   invalid, archive_unreadable  none of the formats, damaged, encrypted
//   invalid, archive_refused     a device, pipe or socket; setuid or setgid; an absolute path or one with
//                                ".."; a link that leads out; a name that goes through a link
//   invalid, archive_limit       `limit` is entries, bytes, ratio, depth, path_bytes or seconds; `most` its
//                                value
//   exhausted, disk_reserve      less of the disk is free than has to stay so
//   those of writing (exhausted: the disk is full)
[[nodiscard]] base::Result<UnpackReport> unpack(const UnpackFds& fds, const UnpackLimits& limits = {});

// {"files","folders","bytes"} and {"error","code","reason","details"?}
[[nodiscard]] std::string to_json(const UnpackReport& report);
[[nodiscard]] std::string unpack_error_json(const base::Error& error);
// Errors: what a report of an error says, internal for what is no report.
[[nodiscard]] base::Result<UnpackReport> parse_unpack_report(std::string_view text);

// Descriptors of `agentrouter unpack LIMITS`, which the server starts as a process of its own.
namespace unpack_fd {
inline constexpr int archive = 3;
inline constexpr int folder = 4;
inline constexpr int report_out = 5;
}  // namespace unpack_fd

// The limits as one argument of a command line, and back. Errors: invalid.
[[nodiscard]] std::string to_argument(const UnpackLimits& limits);
[[nodiscard]] base::Result<UnpackLimits> parse_unpack_argument(std::string_view text);

// The whole subcommand: it gives up its rights, limits itself, unpacks, and writes its report. Exit status 0,
// or 1 when the report is of an error or could not be written.
[[nodiscard]] int run_unpacker(std::string_view limits);

}  // namespace agentrouter::workspace
