#include "world.h"

#include <boost/asio/co_spawn.hpp>
#include <filesystem>

#include "store/sqlite/sqlite_store.h"

namespace agentrouter::simulation {

using namespace std::chrono_literals;

namespace {

constexpr auto fault_time = 90s;                 // simulated
constexpr auto time_to_end = std::chrono::minutes(40);  // after the last fault
constexpr std::uint64_t steps_at_most = 400'000;

class Agents final : public worker::AgentPreparer {
 public:
  base::Result<worker::PreparedAgent> prepare(const worker::AgentRequest& request) override {
    return worker::PreparedAgent{.program = {.argv = {"/opt/agent"},
                                             .env = {"MODEL=" + request.model},
                                             .command_name = "codex",
                                             .argv_for_action = {"app-server"}},
                                 .binds = {}};
  }
};

// What belonged to programs that were killed is never destroyed.
template <class T>
void leave(std::unique_ptr<T>& thing) {
  (void)thing.release();
}

}  // namespace

std::optional<Mutation> mutation_named(std::string_view name) {
  if (name == "drop-fsync") return Mutation::drop_fsync;
  if (name == "reorder") return Mutation::reorder;
  if (name == "skip-fencing") return Mutation::skip_fencing;
  if (name == "double-append") return Mutation::double_append;
  if (name == "lose-notify") return Mutation::lose_notify;
  return std::nullopt;
}

World::World(const Options& options, std::string folder)
    : options_(options),
      folder_(std::move(folder)),
      loop_(options.seed, options.trace),
      disk_(loop_.random.part()),
      network_(loop_),
      checker_(loop_, journals_),
      leases_(loop_, checker_),
      keepers_({.loop = loop_, .network = network_, .journals = journals_, .witness = checker_, .attempts = folder_ + "/attempts"}),
      clients_({.loop = loop_, .checker = checker_, .runs = static_cast<int>(loop_.random.between(4, 24))}) {
  std::filesystem::create_directories(folder_ + "/attempts");
  worker_count_ = static_cast<std::size_t>(loop_.random.between(1, 3));
  // Short ones, so that they run out while something still goes on.
  leases_.duration = std::chrono::seconds(loop_.random.once_in(2) ? 30 : loop_.random.between(3, 12));
  loop_.after_step = [this] { after_step(); };
  if (options_.faults) draw();
}

// Not every seed has every fault: what one fault hides is then seen without it.
void World::draw() {
  auto& random = loop_.random;
  const auto some = [&random](std::uint64_t often) { return random.once_in(2) ? 0 : often * (1 + random.below(3)); };
  faults_ = {.kill_server = some(6), .kill_worker = some(6), .kill_keeper = some(6), .pause_worker = some(6),
             .pause_keeper = some(6), .cut = some(2), .power = some(12), .power_within = some(12), .full = some(10),
             .sync = some(10), .slow = some(6), .jump = some(10), .launches = some(10)};
  // Now and then nothing but workers that freeze for about as long as a lease.
  if (random.once_in(4)) {
    faults_ = {.pause_worker = 1};
    worker_count_ = static_cast<std::size_t>(random.between(2, 3));
    leases_.duration = std::chrono::seconds(random.between(2, 4));
  }
  loop_.after(Duration(2s), "faults begin", [this] { fault(); });
}

worker::WorkerConfig World::worker_config(std::size_t number) const {
  worker::WorkerConfig config;
  config.worker_id = "worker_" + std::to_string(number + 1);
  config.data_dir = folder_;
  config.concurrency = 4;
  config.provider.kind = worker::ProviderKind::sim;
  config.limits.disk_reserve_bytes = 0;
  config.lease = leases_.duration;
  config.host = "machine";
  config.owns_store = worker_count_ == 1;
  return config;
}

void World::boot() {
  const auto folder = folder_ + "/boot-" + std::to_string(++boots_);
  std::filesystem::create_directories(folder);
  server_ = loop_.start("server");
  std::optional<base::Error> refused;
  loop_.run_in(*server_, [&] {
    auto opened = store::open_sqlite_store(folder + "/agentrouter.db", {.wal_cap_bytes = 2 << 20, .vfs = Disk::vfs_name});
    if (!opened) {
      refused = opened.error();
      return;
    }
    store_ = std::move(*opened);
    hub_ = std::make_unique<stream::Hub>(server_->executor(), *store_);
  });
  if (refused) {
    loop_.note("the server cannot start: " + refused->message);
    if (refused->code != base::Code::unavailable) checker_.fail("the store cannot be opened: " + refused->message);
    server_dies();
    disk_.programs_died();
    return loop_.after(Duration(1s), "server starts", [this] { boot(); });
  }
  checker_.open(folder + "/agentrouter.db");
  checker_.committed();
  seen_syncs_ = disk_.log_syncs();
  clients_.connected(server_, *store_, *hub_);
  workers_.resize(worker_count_);
  for (std::size_t i = 0; i < worker_count_; ++i) start_worker(i);
  mutate();
}

void World::start_worker(std::size_t number) {
  auto& program = workers_[number];
  program.process = loop_.start("worker " + std::to_string(number + 1));
  program.store = std::make_unique<ObservedStore>(*store_, program.process, leases_);
  if (options_.mutation == Mutation::lose_notify) program.store->loses_commits = 5;
  if (options_.mutation == Mutation::double_append) program.store->forgets_offsets = 9;
  program.store->skips_fences = options_.mutation == Mutation::skip_fencing;
  program.agents = std::make_unique<Agents>();
  loop_.run_in(*program.process, [&] {
    worker::Worker::Needs needs{.executor = program.process->executor(),
                                .store = *program.store,
                                .blobs = blobs_,
                                .launcher = keepers_,
                                .agents = *program.agents,
                                .clock = loop_.wall(),
                                .entropy = loop_.random,
                                .kill_keeper = [this](pid_t pid) { keepers_.kill(pid); },
                                .connect = [this](base::Executor, int dir) { return keepers_.connect(dir); }};
    program.worker = std::make_unique<worker::Worker>(std::move(needs), worker_config(number));
    asio::co_spawn(program.process->executor(), program.worker->run(),
                   [this, number, process = program.process](std::exception_ptr error) {
                     // A server whose worker has failed ends, and is started again.
                     std::string why = "without a reason";
                     try {
                       if (error) std::rethrow_exception(error);
                     } catch (const std::exception& failure) {
                       why = failure.what();
                     }
                     loop_.note("worker " + std::to_string(number + 1) + " ended: " + why);
                     loop_.after(Duration(0), "worker failed", [this, number, process] {
                       if (number < workers_.size() && workers_[number].process == process) kill_server();
                     });
                   });
  });
}

void World::kill_worker(std::size_t number) {
  auto& program = workers_[number];
  if (!program.process) return;
  loop_.note("killed: " + program.process->name);
  network_.died(*program.process);
  loop_.kill(*program.process);
  leave(program.worker);
  leave(program.store);
  leave(program.agents);
  program.process.reset();
  loop_.after(Duration(std::chrono::milliseconds(loop_.random.between(10, 3000))), server_, "worker starts",
              [this, number] { start_worker(number); });
}

void World::server_dies() {
  clients_.disconnected();
  for (auto& program : workers_) {
    if (!program.process) continue;
    network_.died(*program.process);
    loop_.kill(*program.process);
    leave(program.worker);
    leave(program.store);
    leave(program.agents);
  }
  workers_.clear();
  if (server_) loop_.kill(*server_);
  server_.reset();
  leave(hub_);
  leave(store_);
  leases_.forget();
}

void World::kill_server() {
  if (!server_) return;
  loop_.note("killed: server");
  server_dies();
  disk_.programs_died();
  loop_.after(Duration(std::chrono::milliseconds(loop_.random.between(10, 2000))), "server starts", [this] { boot(); });
}

void World::lose_power() {
  loop_.note("power lost");
  const bool ran = server_ != nullptr;
  server_dies();
  checker_.power_will_be_lost();
  keepers_.kill_all();
  journals_.power_lost(loop_.random);
  disk_.power_lost();
  if (ran) loop_.after(Duration(2s), "server starts", [this] { boot(); });
}

void World::after_step() {
  if (disk_.power_is_out()) {
    lose_power();
  } else if (disk_.log_syncs() != seen_syncs_ && server_) {
    seen_syncs_ = disk_.log_syncs();
    checker_.committed();
  }
  if (checker_.violation()) throw Violation(*checker_.violation());
}

void World::mutate() {
  if (options_.mutation == Mutation::drop_fsync) {
    disk_.set_lying(true);
    journals_.lying = true;
  }
  if (options_.mutation == Mutation::reorder) checker_.reorder_events();
}

bool World::all_done() {
  return checker_.unfinished() == 0 && clients_.content() && keepers_.living() == 0 && checker_.open_attempts() == 0;
}

Report World::run() {
  Report report;
  Moment end{};
  try {
    boot();
    std::uint64_t idle = 0;
    for (;;) {
      if (!loop_.step()) throw Violation("nothing will ever happen again");
      if (faulty_ && (loop_.elapsed() > fault_time || (!options_.faults && clients_.content()))) {
        stop_faults();
        end = loop_.now() + time_to_end;
      }
      if (faulty_) continue;
      if (server_ && ++idle % 64 == 0 && all_done()) break;
      if (loop_.now() > end)
        throw Violation("the faults are over and it does not end: runs" + checker_.describe_unfinished() +
                        "; clients" + clients_.describe() + "; keepers " + std::to_string(keepers_.living()) +
                        "; attempts" + checker_.describe_attempts());
      if (loop_.steps() > steps_at_most) throw Violation("it goes round and round");
    }
    checker_.at_the_end();
    if (checker_.violation()) throw Violation(*checker_.violation());
  } catch (const Violation& violation) {
    report.violation = violation.what();
  }
  report.steps = loop_.steps();
  report.hash = loop_.hash();
  report.runs = checker_.runs();
  report.events = checker_.events();
  report.faults = fault_count_;
  report.releases = checker_.releases();
  report.time = loop_.elapsed();
  return report;
}

}  // namespace agentrouter::simulation
