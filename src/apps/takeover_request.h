#pragma once
// The newer server's half of a takeover: finds the owner of a data folder and gets from it what it holds. Blocks;
// it is what `serve --takeover` does before it has any rooms.

#include <filesystem>
#include <memory>
#include <optional>

#include "apps/inherited_sockets.h"
#include "apps/takeover_channel.h"

namespace agentrouter::apps {

class TakeoverRequest {
 public:
  // Nothing when nobody can be asked: no server, or one that is of an older version or just starting; whether
  // there is one, the folder's lock tells. When the owner is on its way out, waits for its end.
  // Errors: unsupported (takeover_protocol), conflict (takeover_in_progress), denied (takeover_denied), timeout,
  // unavailable.
  [[nodiscard]] static base::Result<std::unique_ptr<TakeoverRequest>> to(const std::filesystem::path& data);

  // By to().
  TakeoverRequest(base::Fd channel, takeover::Peer owner, std::vector<ListeningSocket> sockets)
      : channel_(std::move(channel)), owner_(std::move(owner)), sockets_(std::move(sockets)) {}

  // The owner's listening sockets; it still accepts from them.
  [[nodiscard]] std::vector<ListeningSocket> take_sockets() { return std::move(sockets_); }
  [[nodiscard]] pid_t owner() const { return owner_.pid; }

  struct Given {
    base::Fd lock;  // empty: the owner has died, and its lock with it
    std::vector<base::Fd> connections;
  };
  // Lets the owner finish, and waits for what it gives. When it dies meanwhile, waits for its end.
  // Errors: timeout; unavailable, reason takeover_dropped (it goes on: ask again); invalid.
  [[nodiscard]] base::Result<Given> go();
  // This server answers now: the owner may end.
  void say_ready();
  // A descriptor that is readable when the owner has ended.
  [[nodiscard]] int owner_process() const { return owner_.process.get(); }

 private:
  base::Fd channel_;
  takeover::Peer owner_;
  std::vector<ListeningSocket> sockets_;
};

}  // namespace agentrouter::apps
