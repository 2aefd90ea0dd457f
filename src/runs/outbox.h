#pragma once
// What webhooks are told: a thin message for each endpoint that wants it, written in the transaction of what
// it tells about. Sending is the work of `webhooks`.

#include "store/store.h"

namespace agentrouter::runs {

// Every type that there is, sorted: "approval.requested", "run.completed"...; without "test".
[[nodiscard]] const std::vector<std::string_view>& notice_types();

// Whether an endpoint wants messages of this type: by name, "run.*" or "*". A disabled one wants none.
[[nodiscard]] bool wants(const store::Webhook& webhook, std::string_view type);

struct Notice {
  std::string_view type;
  const model::RunId& run;
  std::string key;  // what it happened to, once per run and type: it makes the message's id
  base::Time at;
  // The run's, when its row does not say it yet.
  std::optional<model::RunStatus> status = {};
  json::object about = {};  // added to the data; replaces fields of the same name
};

// Queues {type, timestamp, data: {runId, conversationId, turnNumber, runtime, status, tags?, title,
// ...about}}. The endpoints are those of the run's workspace. The title is the beginning of the task's first
// line. The same notice again changes nothing. Nobody wants it: nothing is read but the endpoints.
void notify(store::Transaction& tx, const Notice& notice);

// The notice of an event of a run, for the types that have one; approval.requested is told by journal_commit,
// which knows whether a person is asked at all.
void notify_event(store::Transaction& tx, const model::Event& event, const json::value& payload);
[[nodiscard]] bool has_notice(std::string_view event_type);

// A message as it is sent, and its row.
[[nodiscard]] store::Delivery make_delivery(const store::Webhook& webhook, std::string_view key,
                                            std::string_view type, const json::object& data, base::Time at);

// The beginning of the first line that is not blank, at most `most` UTF-16 units.
[[nodiscard]] std::string title_of(std::string_view text, std::size_t most = 80);

}  // namespace agentrouter::runs
