#include "worker/checkpoint_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/hash.h"
#include "keeper/collection.h"
#include "runs/turn_state.h"

namespace agentrouter::worker {
namespace {

tl::unexpected<base::Error> unavailable(const std::string& why) {
  return tl::unexpected(runs::state_unavailable(why));
}

}  // namespace

std::string checkpoint_key(const model::RunId& run) {
  return "runs/" + run.str() + "/checkpoint/000001.tar.zst";
}

base::Result<std::optional<store::Checkpoint>> checkpoint_before(store::Reader& reader,
                                                                 const model::Run& run) {
  return runs::state_after(reader, run.conversation_id, run.turn_number - 1);
}

base::Result<void> place_checkpoint(blobs::BlobStore& blobs, const store::Checkpoint& checkpoint,
                                    const AttemptFolder& folder) {
  auto blob = blobs.open(checkpoint.key, checkpoint.sha256);
  if (!blob && blob.error().reason == "storage_failed") return tl::unexpected(blob.error());
  if (!blob) {
    return unavailable(blob.error().code == base::Code::corrupt ? "its bytes are not what was written"
                                                                : "its bytes are gone");
  }
  const base::Fd out(::openat(folder.fd(), keeper::restore_file,
                              O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  // The keeper has an id of its own; the folder keeps everybody else out.
  if (!out || ::fchmod(out.get(), 0644) != 0) return base::fail_errno("cannot place the checkpoint", errno);
  base::Sha256 hash;
  std::string buffer(256 * 1024, '\0');
  for (;;) {
    const auto got = ::read(blob->fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read the checkpoint", errno);
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    hash.update(bytes);
    if (auto written = base::write_all(out.get(), bytes); !written) return written;
  }
  if (hash.hex() != checkpoint.sha256) return unavailable("its bytes are not what was written");
  return {};
}

}  // namespace agentrouter::worker
