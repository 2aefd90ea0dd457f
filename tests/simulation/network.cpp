#include "network.h"

#include <algorithm>
#include <boost/system/system_error.hpp>

namespace agentrouter::simulation {

struct Network::End {
  explicit End(const std::shared_ptr<Process>& of) : process(of), changed(of->executor()) {}
  std::shared_ptr<Process> process;
  base::Event changed;
  std::string inbox;
  bool peer_is_gone = false;
  bool closed = false;
  Moment last{};  // when the newest message to it arrives
  pid_t peer = -1;
};

struct Network::Wire {
  std::array<std::unique_ptr<End>, 2> ends;
};

class Network::Socket final : public keeper::Lines {
 public:
  Socket(Network& network, std::shared_ptr<Wire> wire, int side)
      : network_(network), wire_(std::move(wire)), side_(side) {}
  ~Socket() override { close(); }

  base::Task<base::Result<std::string>> read_line(std::size_t limit) override {
    End& end = mine();
    for (;;) {
      const auto at = end.closed ? std::string::npos : end.inbox.find('\n');
      if (at != std::string::npos) {
        std::string line = end.inbox.substr(0, at);
        end.inbox.erase(0, at + 1);
        co_return line;
      }
      if (end.inbox.size() > limit) co_return base::fail(base::Code::invalid, "cannot read: the line is too long");
      if (end.closed || end.peer_is_gone) co_return gone();
      bool cancelled = false;
      try {
        co_await end.changed.wait();
      } catch (const boost::system::system_error&) {
        cancelled = true;
      }
      if (cancelled) co_return gone();
    }
  }
  base::Task<base::Result<void>> write(std::string bytes) override {
    if (mine().closed || mine().peer_is_gone) co_return gone();
    const bool lost = network_.loses_lines > 0 && network_.loop_.random.once_in(static_cast<std::uint64_t>(network_.loses_lines));
    if (!lost) network_.send(wire_, side_, std::move(bytes), false);
    co_return base::Result<void>{};
  }
  void close() override {
    if (std::exchange(mine().closed, true)) return;
    mine().changed.notify();
    network_.send(wire_, side_, {}, true);
  }
  [[nodiscard]] pid_t peer() const override { return mine().peer; }

 private:
  [[nodiscard]] End& mine() const { return *wire_->ends[static_cast<std::size_t>(side_)]; }
  static tl::unexpected<base::Error> gone() { return base::fail(base::Code::unavailable, "the other end is gone"); }

  Network& network_;
  std::shared_ptr<Wire> wire_;
  int side_;
};

Network::Ends Network::connect(const std::shared_ptr<Process>& first, const std::shared_ptr<Process>& second,
                               pid_t second_pid) {
  auto wire = std::make_shared<Wire>();
  wire->ends = {std::make_unique<End>(first), std::make_unique<End>(second)};
  wire->ends[0]->peer = second_pid;
  wires_.push_back(wire);
  return {std::make_unique<Socket>(*this, wire, 0), std::make_unique<Socket>(*this, wire, 1)};
}

void Network::send(const std::shared_ptr<Wire>& wire, int from, std::string bytes, bool last) {
  End& to = *wire->ends[static_cast<std::size_t>(1 - from)];
  const auto slowness = Duration(loop_.random.below(static_cast<std::uint64_t>(slowness_.count()) + 1));
  to.last = std::max(loop_.now() + slowness, to.last + std::chrono::nanoseconds(1));
  loop_.after(to.last - loop_.now(), to.process, last ? "hang up" : "message", [wire, from, last, bytes = std::move(bytes)] {
    End& end = *wire->ends[static_cast<std::size_t>(1 - from)];
    if (end.closed) return;
    end.inbox += bytes;
    if (last) end.peer_is_gone = true;
    end.changed.notify();
  });
}

bool Network::cut_one() {
  std::erase_if(wires_, [](const auto& wire) { return wire.expired(); });
  std::vector<std::shared_ptr<Wire>> open;
  for (const auto& weak : wires_) {
    auto wire = weak.lock();
    if (!wire->ends[0]->closed && !wire->ends[1]->closed) open.push_back(std::move(wire));
  }
  if (open.empty()) return false;
  const auto& wire = open[loop_.random.below(open.size())];
  for (auto& end : wire->ends) {
    end->closed = true;
    loop_.run_in(*end->process, [&end] { end->changed.notify(); });
  }
  return true;
}

void Network::died(const Process& process) {
  for (const auto& weak : wires_) {
    const auto wire = weak.lock();
    if (!wire) continue;
    for (int side = 0; side < 2; ++side) {
      auto& end = *wire->ends[static_cast<std::size_t>(side)];
      if (end.process.get() != &process || end.closed) continue;
      end.closed = true;
      send(wire, side, {}, true);
    }
  }
}

}  // namespace agentrouter::simulation
