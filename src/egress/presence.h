#pragma once
// Around a request that is held by a gate: who asked may leave, and the gate is told when it is over. Internal
// to egress.

#include <string>
#include <utility>

#include "egress/egress.h"
#include "net/exchange.h"

namespace agentrouter::egress {

// Tells the gate when what it let go is over, in whatever way.
class Ticket {
 public:
  Ticket(RequestGate* gate, std::string call_id, const RequestRecord& record)
      : gate_(gate), call_id_(std::move(call_id)), record_(record) {}
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  ~Ticket() {
    if (gate_ != nullptr && !call_id_.empty()) gate_->done(call_id_, record_);
  }

 private:
  RequestGate* gate_;
  std::string call_id_;
  const RequestRecord& record_;
};

// Whether who asked is still there, while the request is held.
class Presence {
 public:
  Presence(net::Exchange& exchange, base::Executor executor) : exchange_(exchange), left_(executor) {
    exchange_.on_gone([this] {
      gone_ = true;
      left_.notify();
    });
  }
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;
  ~Presence() { exchange_.on_gone(nullptr); }
  [[nodiscard]] RequestGate::Asker asker() { return {left_, gone_}; }

 private:
  net::Exchange& exchange_;
  base::Event left_;
  bool gone_ = false;
};

}  // namespace agentrouter::egress
