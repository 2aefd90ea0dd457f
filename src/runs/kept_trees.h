#pragma once
// Base trees whose archives are kept as blobs, so that a server on another machine can unpack them for itself. A tree
// is known by its name, which says what is in it; the blobs have keys of their own, so that one that is being thrown
// away and one that comes anew are never the same.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct KeptTree {
  std::string name;  // of workspace::Trees
  enum class Source { upload, git } source = Source::upload;
  // Archives that make the tree, one after the other.
  struct Part {
    std::string path;  // a folder of the tree; empty: the tree itself
    std::string key;
    std::string sha256;
  };
  std::vector<Part> parts;
  base::Time kept_at = {};
};

[[nodiscard]] std::optional<KeptTree> kept_tree(store::Reader& reader, const std::string& name);
// The first whose name begins so.
[[nodiscard]] std::optional<KeptTree> kept_tree_beginning(store::Reader& reader, const std::string& prefix);
// False when the tree is kept already: then the blobs of `tree` are to be removed.
bool keep_tree(store::Transaction& tx, const KeptTree& tree);

// Younger ones stay: a run may be about to name it.
inline constexpr std::chrono::hours trees_stay{1};
// Those that nothing may be made of any more, neither by an upload nor by a conversation, at most `limit`: from now
// on nobody finds them, and their blobs are to be removed. Until forget_doomed() they are given again.
[[nodiscard]] std::vector<KeptTree> doom_trees(store::Transaction& tx, int limit, Context context);
void forget_doomed(store::Transaction& tx, const KeptTree& tree);

}  // namespace agentrouter::runs
