#pragma once
// The servers of one store, as they know of each other: who is there and what it has, who is asked to take nothing
// new, and who has the duties that only one may have. A server that stops beating for a whole lease, as somebody
// else's steady clock sees it, is gone: it is forgotten, and its duties are free.

#include "runs/context.h"
#include "runs/placement.h"

namespace agentrouter::runs {

struct Node {
  std::string id;    // of its data folder: the host of the attempts that it begins
  std::string role;  // all, api, worker
  std::string version;
  Offers offers;     // of a worker
  int capacity = 0;  // runs at the same time; 0: it takes none
  base::Time started_at = {};
  // What changes.
  int used = 0;
  bool draining = false;  // takes no new run
  std::int64_t beats = 0;
  base::Time seen_at = {};  // by its own clock; nothing is decided by it

  [[nodiscard]] bool takes_runs() const { return capacity > 0 && !draining; }
};

// By their ids.
[[nodiscard]] std::vector<Node> nodes(store::Reader& reader);
[[nodiscard]] std::optional<Node> node(store::Reader& reader, std::string_view id);
// {items: [...]}
[[nodiscard]] std::string nodes_wire(const std::vector<Node>& nodes);
[[nodiscard]] json::object to_json(const Node& node);

// It is there from now on. As the store's only server it forgets all others.
enum class Others { may_be_there, are_gone };
void join(store::Transaction& tx, const Node& node, Others others, Context context);
// Its duties are free. Forgetting one that is not there is fine.
void leave(store::Transaction& tx, std::string_view id);

struct Beat {
  std::string id;
  int used = 0;
  std::vector<std::string> wants;  // duties that it may have
};
struct BeatAnswer {
  bool is_known = false;  // false: others took it for gone, and it has to join again
  bool draining = false;
  std::vector<std::string> duties;  // that it has now
};
// Takes each duty that it wants and nobody has.
[[nodiscard]] BeatAnswer beat(store::Transaction& tx, const Beat& beat, Context context);

// A node as somebody else saw it.
struct NodeSeen {
  std::string id;
  std::int64_t beats = 0;
};
// Of all nodes, in one look.
[[nodiscard]] std::vector<NodeSeen> beats_of_all(store::Reader& reader);
// Forgets it, unless it has beaten since. True when it is gone.
bool forget_node(store::Transaction& tx, const NodeSeen& seen);

// Errors: not_found (node_not_found).
[[nodiscard]] base::Result<Node> set_draining(store::Transaction& tx, std::string_view id, bool draining);

// Who has a duty; empty for nobody.
[[nodiscard]] std::string holder_of(store::Reader& reader, std::string_view duty);

// What keeps a queued run from being taken: nothing when a node that takes runs has all that it needs. Otherwise what
// the one lacks that lacks least; all of it when there is no worker.
struct Unplaceable {
  Needs missing;
  int workers = 0;  // that take runs
};
[[nodiscard]] std::optional<Unplaceable> unplaceable(const std::vector<Node>& nodes, const Needs& needs);

}  // namespace agentrouter::runs
