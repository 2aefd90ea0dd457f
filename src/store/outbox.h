#pragma once
// Webhooks: who wants to hear of what, and the messages that wait to be sent. A message is written in the
// transaction of what it tells about, so it is sent, once or more often, whatever dies in between.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/ids.h"

namespace agentrouter::store {

struct Webhook {
  std::string id;  // wh_<uuid>
  std::string workspace = std::string(model::default_workspace);
  std::string url;
  std::string description;
  std::vector<std::string> events;  // types, or "run.*", "approval.*", "*"
  std::string secret;               // sealed; messages are signed with it. In clear as long as it is of an older version
  std::string old_secret = {};      // and with this one until its time is over; empty for none
  std::optional<base::Time> old_secret_until = {};
  bool enabled = true;
  std::string disabled_reason = {};              // why it was disabled, for people; empty when enabled
  std::optional<base::Time> failing_since = {};  // the first of the failures since the last success
  base::Time created_at;
  base::Time updated_at;
};

enum class DeliveryState { pending, delivered, failed };
[[nodiscard]] std::string_view to_string(DeliveryState state);

// One message to one endpoint.
struct Delivery {
  std::string id;  // msg_<uuid>: the webhook-id, the same for each attempt
  std::string webhook_id;
  std::string type;     // "approval.requested"
  model::RunId run_id;  // empty for a test
  std::string body;     // JSON text, sent as it is
  base::Time created_at;
  DeliveryState state = DeliveryState::pending;
  int attempts = 0;
  base::Time next_at;                           // of a pending one
  std::optional<base::Time> attempted_at = {};  // the last attempt
  int status = 0;                               // of the last answer; 0: there was none
  std::string error = {};                       // why the last attempt failed; empty: it did not
  std::int64_t duration_ms = 0;                 // of the last attempt
  std::int64_t number = 0;                      // in the order of their making; the store gives it
};

// The messages of an endpoint, newest first.
struct DeliveryQuery {
  std::string webhook;
  std::int64_t before = 0;  // older than the one of this number; 0: from the newest
  int limit = 50;
};

}  // namespace agentrouter::store
