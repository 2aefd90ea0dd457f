#pragma once
// The newer server that takes over from this one, seen from here: gets the sockets, the connections and the lock,
// and either answers from then on or ends, after which this server goes on. Blocks: there are no rooms then.

#include "apps/holdings.h"
#include "apps/takeover_channel.h"

namespace agentrouter::apps {

class Successor {
 public:
  Successor(base::Fd channel, takeover::Peer peer) : channel_(std::move(channel)), peer_(std::move(peer)) {}

  [[nodiscard]] pid_t pid() const { return peer_.pid; }

  // After the store is closed. True: the other one answers, everything of `holdings` that it needs is its own, and
  // this process is to end. False: it has ended (or was killed, since it did not answer in time), and `holdings`
  // are this process' as before.
  [[nodiscard]] bool hand_over(Holdings& holdings);

 private:
  base::Result<void> give(Holdings& holdings);
  void end_it();

  base::Fd channel_;
  takeover::Peer peer_;
};

}  // namespace agentrouter::apps
