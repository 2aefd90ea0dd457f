#pragma once
// Where uploads become base trees: the archive is written to a file without a name while it arrives, then
// unpacked by a process of its own.

#include <filesystem>
#include <list>
#include <memory>
#include <mutex>

#include "api/uploads.h"
#include "apps/spawn.h"
#include "base/id.h"
#include "worker/ports.h"
#include "worker/shared_trees.h"
#include "workspace/trees.h"

namespace agentrouter::apps {

struct UploadRules {
  std::uint64_t max_bytes = 4ull << 30;  // of an archive
  std::chrono::milliseconds keep = std::chrono::hours(24);
  workspace::UnpackLimits unpack;
};

// `agentrouter unpack` for whoever makes a tree. Safe from any thread.
class Unpacker final : public worker::TreeUnpacker {
 public:
  // Errors: also internal when the process broke down.
  [[nodiscard]] base::Result<workspace::UnpackReport> unpack(int archive, int folder,
                                                             const workspace::UnpackLimits& limits,
                                                             const std::string& label) override;
  void cancel(const std::string& label) override;
  // Ends what is being unpacked, and nothing is unpacked any more.
  void stop();

 private:
  std::mutex mutex_;
  struct Running {
    std::string label;
    SelfRun run;
  };
  std::list<Running> running_;
  bool stopped_ = false;
};

class TreeDesk final : public api::UploadDesk {
 public:
  // All that is passed by reference outlives it. `folder` (DATA/trees) is there.
  TreeDesk(std::filesystem::path folder, workspace::Trees& trees, Unpacker& unpacker, UploadRules rules,
           base::Entropy& entropy);

  [[nodiscard]] std::uint64_t max_bytes() const override { return rules_.max_bytes; }
  [[nodiscard]] std::chrono::milliseconds keep() const override { return rules_.keep; }
  [[nodiscard]] base::Result<std::unique_ptr<api::IncomingUpload>> begin(
      const std::string& workspace) override;
  [[nodiscard]] bool trim(const std::vector<std::string>& in_use) override { return trees_.trim(in_use); }
  base::Task<base::Result<void>> share(const std::string& tree, const api::IncomingUpload& upload) override;
  // From now on what is uploaded is kept for other servers, too. It outlives the desk.
  void share_by(worker::SharedTrees* shared) { shared_ = shared; }

 private:
  std::filesystem::path folder_;
  workspace::Trees& trees_;
  Unpacker& unpacker_;
  UploadRules rules_;
  base::Entropy& entropy_;
  worker::SharedTrees* shared_ = nullptr;
};

}  // namespace agentrouter::apps
