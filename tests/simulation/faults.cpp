#include "world.h"

namespace agentrouter::simulation {

using namespace std::chrono_literals;

namespace {
Duration ms(std::int64_t count) {
  return Duration(std::chrono::milliseconds(count));
}
}  // namespace

void World::fault() {
  if (!faulty_) return;
  one_fault();
  loop_.after(ms(loop_.random.between(50, 5000)), "fault", [this] { fault(); });
}

void World::one_fault() {
  auto& random = loop_.random;
  const auto before = fault_count_;
  ++fault_count_;
  if (random.once_in(faults_.cut)) {
    network_.cut_one();
  } else if (random.once_in(faults_.kill_keeper)) {
    loop_.note("killed: a keeper");
    keepers_.kill_one();
  } else if (random.once_in(faults_.pause_keeper)) {
    keepers_.pause_one(ms(random.between(100, 20'000)));
  } else if (random.once_in(faults_.kill_worker) && server_) {
    kill_worker(random.below(workers_.size()));
  } else if (random.once_in(faults_.pause_worker) && server_) {
    const auto process = workers_[random.below(workers_.size())].process;
    if (!process) return;
    loop_.note("paused: " + process->name);
    loop_.pause(*process);
    // Often until just after somebody else may have taken what it held.
    const auto lease = std::chrono::milliseconds(leases_.duration).count();
    const auto time = random.once_in(3) ? random.between(100, 5'000) : random.between(lease, 2 * lease + 3'000);
    loop_.after(ms(time), "worker goes on", [this, process] { loop_.go_on(*process); });
  } else if (random.once_in(faults_.kill_server)) {
    kill_server();
  } else if (random.once_in(faults_.power)) {
    lose_power();
  } else if (random.once_in(faults_.power_within)) {
    disk_.lose_power_after(static_cast<int>(random.between(1, 60)));
  } else if (random.once_in(faults_.full)) {
    loop_.note("disk full");
    disk_.set_full(true);
    journals_.full = random.once_in(2);
    blobs_.full = random.once_in(2);
    loop_.after(ms(random.between(10, 5000)), "disk has room", [this] {
      disk_.set_full(false);
      journals_.full = blobs_.full = false;
    });
  } else if (random.once_in(faults_.sync)) {
    disk_.fail_sync_after(static_cast<int>(random.between(1, 10)));
  } else if (random.once_in(faults_.slow)) {
    loop_.set_slowness(ms(random.between(1, 400)));
    network_.set_slowness(ms(random.between(1, 200)));
    loop_.after(ms(random.between(100, 10'000)), "disk is fast", [this] {
      loop_.set_slowness(2ms);
      network_.set_slowness(3ms);
    });
  } else if (random.once_in(faults_.jump)) {
    loop_.note("the clock jumps");
    loop_.jump(std::chrono::milliseconds(random.between(-120'000, 120'000)));
  } else if (random.once_in(faults_.launches)) {
    keepers_.launch_fails_once_in = random.between(2, 6);
    keepers_.stillborn_once_in = random.between(2, 6);
    loop_.after(ms(random.between(100, 5000)), "launches work", [this] {
      keepers_.launch_fails_once_in = keepers_.stillborn_once_in = 0;
    });
  } else {
    fault_count_ = before;
  }
}

void World::stop_faults() {
  faulty_ = false;
  loop_.note("the faults are over");
  disk_.set_full(false);
  disk_.fail_sync_after(-1);
  disk_.lose_power_after(-1);
  journals_.full = blobs_.full = false;
  keepers_.launch_fails_once_in = keepers_.stillborn_once_in = 0;
  loop_.set_slowness(2ms);
  network_.set_slowness(3ms);
  for (auto& program : workers_) {
    if (program.process) loop_.go_on(*program.process);
  }
  clients_.hurry();
}

}  // namespace agentrouter::simulation
