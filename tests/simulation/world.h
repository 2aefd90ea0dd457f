#pragma once
// One seed: a machine with a server, workers, keepers, clients, and the faults that the seed brings.

#include "clients.h"
#include "keepers.h"
#include "observed_store.h"
#include "worker/worker.h"

namespace agentrouter::simulation {

// A product that is broken on purpose: shows that the checker sees.
enum class Mutation { none, drop_fsync, reorder, skip_fencing, double_append, lose_notify };
[[nodiscard]] std::optional<Mutation> mutation_named(std::string_view name);

struct Options {
  std::uint64_t seed = 1;
  bool trace = false;
  bool faults = true;
  Mutation mutation = Mutation::none;
};

struct Report {
  std::uint64_t steps = 0;
  std::uint64_t hash = 0;
  std::uint64_t runs = 0;
  std::uint64_t events = 0;
  std::uint64_t faults = 0;
  std::uint64_t releases = 0;
  std::chrono::milliseconds time{0};  // simulated
  std::string violation;              // empty: none
};

class World {
 public:
  // `folder` is empty and on a file system in memory.
  World(const Options& options, std::string folder);
  Report run();

 private:
  struct WorkerProgram {
    std::shared_ptr<Process> process;
    std::unique_ptr<ObservedStore> store;
    std::unique_ptr<worker::AgentPreparer> agents;
    std::unique_ptr<worker::Worker> worker;
  };
  // Which faults a seed has, and how often: once in so many fault moments; 0: never.
  struct Faults {
    std::uint64_t kill_server = 0, kill_worker = 0, kill_keeper = 0, pause_worker = 0, pause_keeper = 0;
    std::uint64_t cut = 0, power = 0, power_within = 0, full = 0, sync = 0, slow = 0, jump = 0, launches = 0;
  };

  void draw();
  void boot();
  void start_worker(std::size_t number);
  void kill_worker(std::size_t number);
  void server_dies();
  void kill_server();
  void lose_power();
  void after_step();
  void fault();
  void one_fault();
  void stop_faults();
  void mutate();
  [[nodiscard]] bool all_done();
  [[nodiscard]] worker::WorkerConfig worker_config(std::size_t number) const;

  Options options_;
  std::string folder_;
  Loop loop_;
  Disk disk_;
  Journals journals_;
  Blobs blobs_;
  Network network_;
  Checker checker_;
  Leases leases_;
  Keepers keepers_;
  Clients clients_;
  Faults faults_;
  bool faulty_ = true;
  std::uint64_t fault_count_ = 0;
  int boots_ = 0;
  std::uint64_t seen_syncs_ = 0;
  std::shared_ptr<Process> server_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<stream::Hub> hub_;
  std::vector<WorkerProgram> workers_;
  std::size_t worker_count_ = 1;
};

}  // namespace agentrouter::simulation
