#pragma once
// Files of runs that are on another machine: asked for through the store, given back as a blob that is thrown away
// when it was passed on.

#include "base/pool.h"
#include "blobs/blob_store.h"
#include "nodes/member.h"
#include "worker/run_files.h"

namespace agentrouter::apps {

class RemoteFiles {
 public:
  // Everything that is passed by reference outlives it, and it every answer that it gives.
  struct Needs {
    blobs::BlobStore& blobs;
    base::Pool& pool;
    worker::RunFiles& files;
    std::chrono::milliseconds patience = std::chrono::seconds{60};  // for a whole answer
  };
  explicit RemoteFiles(Needs needs) : needs_(needs) {}

  // For nodes::MemberHooks::answer.
  base::Task<runs::NodeRequest> answer(runs::NodeRequest request);
  // For worker::RunFiles::Needs::elsewhere. Errors: what the other one says; unavailable (worker_unreachable).
  base::Task<worker::RunFiles::Needs::Answer> ask(nodes::Member& member, std::string host, model::RunId run,
                                                  std::string request);
  void discard(const std::string& key);

 private:
  base::Task<base::Result<void>> collect(runs::NodeRequest& request);

  Needs needs_;
};

}  // namespace agentrouter::apps
