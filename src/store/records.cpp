#include "store/records.h"

#include <array>

#include "store/outbox.h"

namespace agentrouter::store {

namespace {

constexpr std::array<std::pair<ApprovalState, std::string_view>, 6> state_names{{
    {ApprovalState::pending, "pending"},
    {ApprovalState::approved, "approved"},
    {ApprovalState::denied, "denied"},
    {ApprovalState::expired, "expired"},
    {ApprovalState::withdrawn, "withdrawn"},
    {ApprovalState::void_, "void"},
}};

}  // namespace

std::string_view to_string(ConversationState state) {
  return state == ConversationState::open ? "open" : "closed";
}

std::string_view to_string(DeliveryState state) {
  if (state == DeliveryState::pending) return "pending";
  return state == DeliveryState::delivered ? "delivered" : "failed";
}

std::string_view to_string(ApprovalState state) {
  for (const auto& [value, name] : state_names) {
    if (value == state) return name;
  }
  return "void";
}

std::optional<ApprovalState> parse_approval_state(std::string_view text) {
  for (const auto& [value, name] : state_names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace agentrouter::store
