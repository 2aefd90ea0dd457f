#pragma once
// A container image becomes a root folder: from an OCI layout (a folder, or a tar of one) or what `docker save` writes.
// All of it is hostile. Every digest is checked before what it covers is used, every path is resolved inside the root,
// and each limit is checked before what would exceed it is made.
//
// Kept of the files: bytes, permission bits, times, links, hard links. Not kept: owners, setuid, setgid and sticky bits
// (dropped), devices, pipes and sockets (left out), extended attributes. Of the configuration: the environment.

#include <string>
#include <string_view>
#include <vector>

#include "workspace/unpack.h"

namespace agentrouter::workspace {

struct ImageLimits {
  UnpackLimits files = {.entries = 1'000'000,
                        .bytes = 32ull << 30,
                        .ratio = 1000,
                        .depth = 128,
                        .path_bytes = 3000,
                        .wall_time = std::chrono::minutes(30),
                        .links = LinkRule::any};  // of all layers together
  unsigned layers = 128;
  std::size_t document_bytes = 4u << 20;  // of each index, manifest and configuration
  std::size_t environment_bytes = 16u << 10;
  std::size_t environment_entries = 1024;  // a program's start takes 2048, ours among them
};

struct ImageFds {
  int source = -1;  // a folder with a layout, or an archive; borrowed
  int folder = -1;  // empty, borrowed: gets `rootfs`
};

struct ImageReport {
  std::string digest;                    // "sha256:..." of the manifest (docker save without a layout: of the configuration)
  std::vector<std::string> environment;  // NAME=value
  std::string shell;                     // /bin/bash or /bin/sh, whichever the image has
  UnpackReport content;
  std::uint64_t left_out = 0;  // devices, pipes, sockets
};

// `digest`: of a manifest or of an index in the source; empty: the only image for linux/amd64 there is.
// After an error the folder is of no use.
//
// Errors, with details {entry?, limit?, most?} where they are of a file:
//   invalid, image_unreadable  no layout and no archive of one; a document that is not as it should be
//   invalid, image_digest      something is not what its digest says
//   invalid, image_ambiguous   several images and no digest, or none for linux/amd64, or none of that digest
//   invalid, image_refused     a name that leads nowhere inside the root, a deletion with content
//   invalid, image_limit       `limit` is layers, document, environment, or one of archive_limit's
//   exhausted, disk_reserve    less of the disk is free than has to stay so
//   those of writing
[[nodiscard]] base::Result<ImageReport> unpack_image(const ImageFds& fds, std::string_view digest = {},
                                                     const ImageLimits& limits = {});

// {"digest","environment","shell","files","folders","bytes","leftOut"}, and back.
[[nodiscard]] std::string to_json(const ImageReport& report);
[[nodiscard]] base::Result<ImageReport> parse_image_report(std::string_view text);

// "sha256:" and 64 lower-case hex digits.
[[nodiscard]] bool is_image_digest(std::string_view text);

// `agentrouter unpack-image DIGEST LIMITS` (or "", and to_argument() of ImageLimits::files), which the server
// starts as a process of its own with unpack_fd's descriptors (archive: the source). As run_unpacker.
[[nodiscard]] int run_image_unpacker(std::string_view digest, std::string_view limits);

}  // namespace agentrouter::workspace
