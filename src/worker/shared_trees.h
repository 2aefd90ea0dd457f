#pragma once
// Base trees of servers on different machines: DATA/trees of each is a cache of its own, and the archives that a tree
// was made of are blobs (runs/kept_trees.h), from which any of them makes it again.

#include "base/id.h"
#include "base/pool.h"
#include "blobs/blob_store.h"
#include "runs/kept_trees.h"
#include "worker/tree_parts.h"
#include "workspace/trees.h"

namespace agentrouter::worker {

class SharedTrees {
 public:
  // Everything that is passed by reference outlives it.
  struct Needs {
    store::Store& store;
    blobs::BlobStore& blobs;
    base::Pool& pool;
    workspace::Trees& trees;
    TreeUnpacker& unpacker;
    const base::Clock& clock;
    base::Entropy& entropy;
    workspace::UnpackLimits of_upload;
    workspace::UnpackLimits of_git;
  };
  explicit SharedTrees(Needs needs) : needs_(std::move(needs)) {}

  // The tree, from here or out of its archives. `label` is for TreeUnpacker::cancel. Errors: not_found (neither is
  // there), unavailable (its archives cannot be read now), corrupt, those of unpacking.
  base::Task<base::Result<workspace::Trees::Held>> get(std::string name, std::string label);
  // That of the first name that begins so.
  base::Task<base::Result<workspace::Trees::Held>> get_any(std::string prefix, std::string label);

  // Keeps the archives of a tree that is there, for others. Keeping it again is fine. Errors: unavailable, those of
  // reading.
  base::Task<base::Result<void>> keep(std::string name, runs::KeptTree::Source source,
                                      const std::vector<TreePart>& parts);

 private:
  base::Task<base::Result<workspace::Trees::Held>> make(runs::KeptTree kept, std::string label);
  base::Result<std::vector<TreePart>> open_parts(const runs::KeptTree& kept);
  base::Result<void> store_parts(runs::KeptTree& kept, const std::vector<TreePart>& parts);

  Needs needs_;
};

// Where the archive of a tree is kept; `entropy` makes it new each time.
[[nodiscard]] std::string tree_key(const std::string& name, base::Entropy& entropy);

// What a git tree may hold, whatever it is made of.
struct GitConfig;
[[nodiscard]] workspace::UnpackLimits git_unpack_limits(const GitConfig& git);

}  // namespace agentrouter::worker
