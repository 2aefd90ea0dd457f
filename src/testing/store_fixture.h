#pragma once
// A SQLite store in a folder of its own, with verbs that wait, a clock and entropy.

#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::testing {

class StoreFixture {
 public:
  StoreFixture() { reopen(); }

  // Closes and opens it: what was written is there.
  void reopen() {
    store_.reset();
    store_ = base::value_or_throw(store::open_sqlite_store(folder_ / "agentrouter.db"));
  }
  template <class Work>
  auto write(Work work) {
    return run_task(io_, store_->write(std::move(work)));
  }
  template <class Work>
  auto read(Work work) {
    return run_task(io_, store_->read(std::move(work)));
  }
  template <class Work>
  auto write_in(const std::string& workspace, Work work) {
    return run_task(io_, store_->write_in(workspace, std::move(work)));
  }
  template <class Work>
  auto read_in(const std::string& workspace, Work work) {
    return run_task(io_, store_->read_in(workspace, std::move(work)));
  }
  [[nodiscard]] store::Store& store() { return *store_; }
  [[nodiscard]] asio::io_context& io() { return io_; }
  [[nodiscard]] const TempDir& folder() const { return folder_; }

  ManualClock clock;
  FixedEntropy entropy;

 private:
  TempDir folder_;
  asio::io_context io_;  // outlives the store
  std::unique_ptr<store::Store> store_;
};

}  // namespace agentrouter::testing
