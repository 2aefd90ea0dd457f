#pragma once
// One end of a takeover's socket: messages with descriptors, and who is at the other end. Blocks, but only as long
// as a deadline says.

#include <sys/types.h>

#include <span>
#include <vector>

#include "apps/takeover_protocol.h"
#include "base/event.h"
#include "base/fd.h"

namespace agentrouter::apps::takeover {

struct Received {
  Message message;
  std::vector<base::Fd> fds;
};

// Errors: unavailable (the other end is gone, or takes nothing for five seconds).
[[nodiscard]] base::Result<void> send(int socket, const Message& message, std::span<const int> fds = {});
// Errors: timeout, unavailable (the other end is gone), invalid.
[[nodiscard]] base::Result<Received> receive(int socket, base::Deadline deadline);

// The process at the other end of a connected socket, as the kernel knows it.
struct Peer {
  pid_t pid = -1;
  uid_t uid = 0;
  base::Fd process;  // pidfd
};
// Errors: unavailable (it has ended).
[[nodiscard]] base::Result<Peer> peer_of(int socket);
// False when it still lives at the deadline.
[[nodiscard]] bool wait_for_end(const Peer& peer, base::Deadline deadline);

}  // namespace agentrouter::apps::takeover
