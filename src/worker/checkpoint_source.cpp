#include "worker/checkpoint_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/hash.h"
#include "base/json.h"
#include "keeper/collection.h"

namespace agentrouter::worker {
namespace {

tl::unexpected<base::Error> unavailable(std::string why) {
  return base::fail(base::Code::unavailable,
                    "The state of the conversation is not available: " + std::move(why),
                    "checkpoint_unavailable");
}

// Why the turn left no checkpoint, or nothing.
std::string error_of(store::Reader& reader, const model::RunId& run) {
  const auto event = reader.last_event_of_type(run, "sandbox.destroyed");
  if (!event) return {};
  const auto payload = base::parse_json(event->payload);
  if (!payload || !payload->is_object()) return {};
  return std::string(base::get_string(payload->get_object(), "checkpointError").value_or(""));
}

}  // namespace

std::string checkpoint_key(const model::RunId& run) {
  return "runs/" + run.str() + "/checkpoint/000001.tar.zst";
}

base::Result<std::optional<store::Checkpoint>> checkpoint_before(store::Reader& reader,
                                                                 const model::Run& run) {
  if (run.turn_number <= 1) return std::optional<store::Checkpoint>();
  auto latest = reader.latest_checkpoint(run.conversation_id, run.turn_number);
  for (const auto& turn : reader.turns(run.conversation_id)) {
    if (turn.turn_number >= run.turn_number || (latest && turn.turn_number <= latest->turn_number)) continue;
    const auto error = error_of(reader, turn.id);
    if (!error.empty())
      return unavailable("turn " + std::to_string(turn.turn_number) + " left none, " + error);
  }
  return latest;
}

base::Result<void> place_checkpoint(blobs::BlobStore& blobs, const store::Checkpoint& checkpoint,
                                    const AttemptFolder& folder) {
  auto blob = blobs.open(checkpoint.key);
  if (!blob) return unavailable("its bytes are gone");
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
