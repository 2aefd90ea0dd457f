#pragma once
// What goes into the audit chain of a workspace (model/audit.h): decisions and actions, the beginning and the
// end of each run. An entry is made in the transaction of its event, so there is never one without the other.

#include "store/store.h"

namespace agentrouter::runs {

// Whether an event of this type has an entry.
[[nodiscard]] bool is_audited(std::string_view type);

// Adds the entry of an event that was appended in this transaction. `payload` is the event's, parsed; `who`
// names who decided when the payload does not (`decidedBy`).
void audit_event(store::Transaction& tx, const model::Event& event, const json::value& payload,
                 std::string_view who = {});

// Adds the entry run.created, whose payload is the run's input. `by` names the key that asks for it.
void audit_run(store::Transaction& tx, const model::Run& run, std::string_view by);

// Adds the entry run.deleted, whose payload is {runId, conversationId, turnNumber, lastEventSeq, reason}. The
// run's other entries stay as they are. `by` names the key that asked for it, or the rule.
void audit_deletion(store::Transaction& tx, const model::Run& run, std::string_view reason,
                    std::string_view by, base::Time now);

// Somebody was given access, or it was taken: key.created, key.rotated, key.revoked, workspace.created,
// workspace.changed. Such an entry has no run; its payload is `about`.
struct AccessChange {
  std::string workspace;  // whose chain
  std::string_view type;
  std::string by;  // the key that asked for it
  json::object about;
  base::Time at;
};
void audit_access(store::Transaction& tx, const AccessChange& change);

// A page of the chain of the reader's workspace as the API answers it: {items, nextAfter, head}. At most
// `limit` entries behind `after`.
[[nodiscard]] std::string audit_page(store::Reader& reader, std::int64_t after, int limit);

}  // namespace agentrouter::runs
