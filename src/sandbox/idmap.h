#pragma once
// Mounts of their own for what a sandbox is shown, made by root: with the workspace's lower folder seen as if
// its owner were the agent, so that the agent can change it (in its overlay) although it belongs to another
// user of the host, and nothing on disk is touched.

#include <cstdint>
#include <map>

#include "base/fd.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

enum class Access { read_only, read_write };

// A clone of the mount below `folder` (and of mounts further below), nosuid and nodev.
[[nodiscard]] base::Result<base::Fd> clone_mount(int folder, Access access);

// The same without mounts further below, read-only, with owner and group of `folder` seen as the agent of
// `range`. Any other id is seen inside the same range, never as an id of the host.
// Errors: unsupported (the file system cannot map ids).
[[nodiscard]] base::Result<base::Fd> clone_mapped(int folder, UidRange range);

// Kept layers, read-only, as if the attempt of `range` had written them. One for a launch: what it needs for
// each range is made once.
class LayerMounts {
 public:
  explicit LayerMounts(UidRange range) : range_(range) {}
  // `layer` is borrowed; whose it is says the owner of its `upper`.
  // Errors: invalid (of no attempt), unsupported (the file system cannot map ids), those of mounting.
  [[nodiscard]] base::Result<base::Fd> clone(int layer);

 private:
  UidRange range_;
  std::map<std::uint32_t, base::Fd> spaces_;  // user namespaces, by the range that is shown as ours
};

// The lines of a uid_map that shift the ids 0..65535 into `range`, with `owner` and the agent exchanged.
// Pure.
[[nodiscard]] std::string exchange_map(std::uint32_t owner, UidRange range);

}  // namespace agentrouter::sandbox
