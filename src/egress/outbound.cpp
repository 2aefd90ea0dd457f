#include "egress/outbound.h"

#include "egress/outbound_desk.h"

namespace agentrouter::egress {

Outbound::Outbound(base::Executor executor, OutboundConfig config, Observer& observer)
    : desk_(std::make_unique<OutboundDesk>(executor, std::move(config), observer)) {}

Outbound::~Outbound() = default;

Result<void> Outbound::serve(base::Fd listener, std::uint16_t port) {
  return desk_->serve(std::move(listener), port);
}

Result<void> Outbound::serve_names(base::Fd datagrams, base::Fd listener) {
  return desk_->serve_names(std::move(datagrams), std::move(listener));
}

Task<void> Outbound::stop() {
  return desk_->stop();
}

void Outbound::hold() {
  desk_->departure().hold();
}

void Outbound::release() {
  desk_->departure().release();
}

std::size_t Outbound::open() const {
  return desk_->open();
}

}  // namespace agentrouter::egress
