#pragma once
// A LaunchRequest as one fixed-size record with descriptors beside it: what LocalLauncher works from and what
// a server sends to the warden. Encoding opens the sources with the caller's own rights; checking assumes
// that the bytes came from somebody hostile.

#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/init/protocol.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

inline constexpr unsigned max_keeper_argv = 512;
inline constexpr unsigned max_attempt_id = 64;

struct LaunchRecord {
  init::Spec spec;
  std::uint32_t slot;
  std::uint32_t at_slot;  // Range
  std::uint32_t has_lower;
  std::uint32_t has_plan_pipe;
  std::uint32_t argv_size;
  std::uint32_t warm;
  char attempt_id[max_attempt_id];
  char argv[max_keeper_argv];  // strings, each with its zero
};

struct EncodedLaunch {
  std::vector<char> bytes;       // one LaunchRecord
  std::vector<base::Fd> opened;  // sources of the binds
  std::vector<int> fds;  // attempts, then lower and plan pipe if there are any, then the layers, the binds, and of an image
                         // its root, the loader and the folders of libraries
};

// Errors: invalid (names the part), not_found and denied (a bind's source).
[[nodiscard]] base::Result<EncodedLaunch> encode(const LaunchRequest& request);

// A launch whose every offset, string, count and descriptor has been checked.
struct CheckedLaunch {
  const LaunchRecord* record = nullptr;
  std::uint32_t slot = 0;  // of the range, once it is locked
  AttemptRef attempt;
  int lower = -1;
  int plan_pipe = -1;
  std::vector<int> layers;
  std::vector<int> binds;
  std::vector<int> image;  // its root, then what this program itself needs there; empty: none
  std::vector<std::string> keeper_argv;
};
[[nodiscard]] base::Result<CheckedLaunch> check(const LaunchRecord& record, const std::vector<int>& fds);

// "attempt_" and a UUID: the only shape of name that is ever put behind a folder's descriptor.
[[nodiscard]] base::Result<void> check_attempt_id(std::string_view id);

}  // namespace agentrouter::sandbox
