#include "sandbox/oci/probe.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/oci/guest.h"
#include "sandbox/remove_tree.h"

namespace agentrouter::sandbox {
namespace {

using base::Result;

Result<void> try_image(int scratch) {
  LaunchRequest request;
  request.attempt = {scratch, "attempt_" + base::new_uuid(base::system_entropy())};
  request.plan = image_plan("/bin/sh");
  request.keeper_argv = {"none"};
  if (::mkdirat(scratch, request.attempt.id.c_str(), 0700) != 0 || ::mkdirat(scratch, "rootfs", 0755) != 0 ||
      ::fchmodat(scratch, "rootfs", 0755, 0) != 0)
    return base::fail_errno("cannot make a folder", errno);
  const base::Fd root(::openat(scratch, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::fail_errno("cannot open a folder", errno);
  request.image = root.get();
  AGENTROUTER_TRY(auto encoded, encode(request));
  AGENTROUTER_TRY(const auto checked, check(*reinterpret_cast<const LaunchRecord*>(encoded.bytes.data()), encoded.fds));
  AGENTROUTER_TRY(const auto folder, open_attempt(request.attempt));
  AGENTROUTER_TRY(const auto guest, start_guest(checked, folder.get(), nullptr, LimitsMode::rlimit));
  return {};
}

Probe not_possible(const base::Error& error) {
  const bool missing = error.reason == "runtime_missing";
  return {"images", Found::degraded, false, error.message,
          missing ? "apt-get install crun, if runs are to have images" : "see docs/images.md; runs without an image are not affected"};
}

}  // namespace

Probe probe_images(const std::string& scratch) {
  auto name = scratch + "/.probe-image-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return not_possible(base::fail_errno("cannot make a folder in " + scratch, errno).value());
  Result<void> tried = base::fail(base::Code::unavailable, "cannot open " + name);
  if (const auto folder = base::open_directory(name)) tried = try_image(folder->get());
  if (const auto parent = base::open_directory(scratch)) (void)remove_tree(parent->get(), name.substr(scratch.size() + 1));
  if (!tried) return not_possible(tried.error());
  return {"images", Found::ok, false, std::string(container_runtime) + " has started a sandbox in an image", {}};
}

}  // namespace agentrouter::sandbox
