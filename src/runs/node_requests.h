#pragma once
// What one server asks another: the files of a run that is on the other's machine. Servers never talk to each other:
// the question is a note of the store, and so is the answer, whose bytes are a blob that is thrown away when they were
// passed on. A question is answered once, by whoever has the host, and forgotten by who asked; one that nobody
// forgot is found by the housekeeping.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct NodeRequest {
  std::string id;      // uuid
  std::string node;    // that is asked
  std::string asker;   // the node that asks
  model::RunId run;
  std::string what;    // a workspace::FileRequest as JSON text
  base::Time asked_at;
  bool answered = false;
  std::string head = {};                  // the answer's, as JSON text
  std::string key = {};                   // of the blob with its bytes; empty for none
  std::string sha256 = {};                // of the blob
  std::optional<base::Error> error = {};  // or why there is none
};

// Nobody waits for an answer longer than this; what is older is thrown away.
inline constexpr std::chrono::minutes requests_are_kept{5};

[[nodiscard]] std::string answer_key(const NodeRequest& request);

void ask_node(store::Transaction& tx, const NodeRequest& request);
// Unanswered ones, for one node.
[[nodiscard]] std::vector<NodeRequest> requests_for(store::Reader& reader, std::string_view node);
[[nodiscard]] std::optional<NodeRequest> node_request(store::Reader& reader, const NodeRequest& request);
// False when nobody waits any more: then its blob is to be removed.
bool answer_request(store::Transaction& tx, const NodeRequest& answered);
void forget_request(store::Transaction& tx, const NodeRequest& request);
// That nobody can be waiting for.
[[nodiscard]] std::vector<NodeRequest> stale_requests(store::Reader& reader, base::Time now);

}  // namespace agentrouter::runs
