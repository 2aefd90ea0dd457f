// What an audited event costs its transaction: audit_bench [folder]. The same payload as an event that has no
// entry in the chain, and as one that has, appended as use cases append.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>

#include "runs/actions.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/run_task.h"

namespace {

using namespace agentrouter;
using Clock = std::chrono::steady_clock;

constexpr int batches = 20;
constexpr int events = 200;

// Microseconds for each event of a commit of `events`, the best of `batches`.
double cost(asio::io_context& io, store::Store& store, const std::string& type, const std::string& payload) {
  double best = 1e9;
  for (int i = 0; i < batches; ++i) {
    const auto begun = Clock::now();
    testing::run_task(io, store.write([&](store::Transaction& tx) {
      for (int n = 0; n < events; ++n)
        runs::append_event(tx, testing::run_id("r"), testing::make_draft(type, payload));
    }));
    const auto took = std::chrono::duration<double, std::micro>(Clock::now() - begun).count();
    best = std::min(best, took / events);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder =
      argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "audit_bench";
  std::filesystem::create_directories(folder);
  asio::io_context io;
  auto store = base::value_or_throw(store::open_sqlite_store(folder / "bench.db"));
  testing::run_task(io, store->write([](store::Transaction& tx) { tx.insert_run(testing::make_run("r")); }));
  const auto payload = [](std::size_t bytes) {
    return base::to_text(json::object{{"eventId", "evt_1"}, {"text", std::string(bytes, 'x')}});
  };
  std::cout << std::fixed << std::setprecision(1);
  for (const std::size_t bytes : {500, 4'000, 30'000}) {
    // limit.exceeded has an entry and folds into no action; nobody is told of agent.progress.
    const auto plain = cost(io, *store, "agent.progress", payload(bytes));
    const auto chained = cost(io, *store, "limit.exceeded", payload(bytes));
    std::cout << bytes << " bytes: " << plain << " us without, " << chained << " us with an entry (+"
              << chained - plain << ")\n";
  }
  store->close();
  std::filesystem::remove_all(folder);
}
