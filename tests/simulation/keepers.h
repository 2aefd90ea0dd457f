#pragma once
// Programs `agentrouter keeper` on the simulated machine: started by the worker's launcher, reached over the
// network, killed at any time. The lock, the journal's format, the control protocol and the gates are the product's.

#include "agent_model.h"
#include "files.h"
#include "loop.h"
#include "network.h"
#include "sandbox/launch.h"

namespace agentrouter::simulation {

class Keepers final : public sandbox::Launcher {
 public:
  struct Needs {
    Loop& loop;
    Network& network;
    Journals& journals;
    Witness& witness;
    std::string attempts;  // the folder
  };
  explicit Keepers(Needs needs) : needs_(std::move(needs)) {}

  base::Result<sandbox::Launched> launch(const sandbox::LaunchRequest& request) override;
  base::Result<void> release(const sandbox::AttemptRef& attempt, sandbox::Remove what) override;
  base::Result<sandbox::SweepReport> sweep(int attempts) override;

  // worker::ConnectKeeper and worker::KillKeeper.
  base::Result<std::unique_ptr<keeper::Lines>> connect(int attempt_dir);
  void kill(pid_t pid);

  // False: none lives.
  bool kill_one();
  bool pause_one(Duration time);
  void kill_all();
  [[nodiscard]] std::size_t living() const { return living_.size(); }

  // Launches fail, and keepers die before they serve, once in so many.
  std::uint64_t launch_fails_once_in = 0;
  std::uint64_t stillborn_once_in = 0;

 private:
  struct Keeper;
  using Living = std::map<std::string, std::shared_ptr<Keeper>>;

  void begin(const std::shared_ptr<Keeper>& keeper);
  void read_plan(const std::shared_ptr<Keeper>& keeper);
  void serve(const std::shared_ptr<Keeper>& keeper);
  base::Task<void> keep(std::shared_ptr<Keeper> keeper);
  void end(const std::shared_ptr<Keeper>& keeper);
  [[nodiscard]] std::shared_ptr<Keeper> any();

  Needs needs_;
  Living living_;  // by attempt
  pid_t next_pid_ = 100'000;
};

}  // namespace agentrouter::simulation
