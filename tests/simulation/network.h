#pragma once
// Connections between programs of the simulated machine: what is written arrives later, in order within one
// connection and in any order between them. A connection can be cut, and ends when one of its programs dies.

#include <map>
#include <memory>
#include <vector>

#include "base/event.h"
#include "keeper/protocol.h"
#include "loop.h"

namespace agentrouter::simulation {

class Network {
 public:
  explicit Network(Loop& loop) : loop_(loop) {}

  struct Ends {
    std::unique_ptr<keeper::Lines> first;
    std::unique_ptr<keeper::Lines> second;
  };
  // `second_pid` is what the first end sees of its peer.
  [[nodiscard]] Ends connect(const std::shared_ptr<Process>& first, const std::shared_ptr<Process>& second,
                             pid_t second_pid);
  // One of them, as it comes. False: there is none.
  bool cut_one();
  void died(const Process& process);
  void set_slowness(Duration most) { slowness_ = most; }
  // Each message is lost once in so many; 0: none. A network that does this is broken: it is for mutations.
  int loses_lines = 0;

 private:
  struct End;
  struct Wire;
  class Socket;
  void send(const std::shared_ptr<Wire>& wire, int from, std::string bytes, bool last);

  Loop& loop_;
  Duration slowness_{std::chrono::milliseconds(3)};
  std::vector<std::weak_ptr<Wire>> wires_;
};

}  // namespace agentrouter::simulation
