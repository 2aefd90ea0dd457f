#pragma once
// The store as one worker sees it: the real one, with a look at all open attempts before and after each of its
// writes. Who wrote under which attempt is judged by what each worker was given, not by the product's fences.

#include <map>

#include "checker.h"
#include "store/store.h"

namespace agentrouter::simulation {

// Who holds the attempts, over all workers.
class Leases {
 public:
  Leases(Loop& loop, Checker& checker) : loop_(loop), checker_(checker) {}
  using Attempts = std::map<std::string, store::Attempt>;

  // How long a lease must stand still before another worker may take the attempt of one that lives.
  std::chrono::seconds duration{30};

  void judge(const std::shared_ptr<Process>& writer, const Attempts& before, const Attempts& after);
  // What was judged since then is in the store, or was undone by a disk that refused the commit.
  void committed() { before_.clear(); }
  void undone();
  void forget();  // the server is gone, and with it all workers

 private:
  Loop& loop_;
  Checker& checker_;
  struct Lease {
    std::shared_ptr<Process> holder;
    Moment newest{};  // when it was given or renewed
  };
  std::map<std::string, Lease> leases_;
  std::map<std::string, Lease> before_;  // of those that uncommitted writes have changed
};

class ObservedStore final : public store::Store {
 public:
  ObservedStore(store::Store& inner, std::shared_ptr<Process> writer, Leases& leases)
      : inner_(inner), writer_(std::move(writer)), leases_(leases) {}

  void add_listener(store::CommitListener* listener) override;
  void remove_listener(store::CommitListener* listener) override;
  void close() override {}
  [[nodiscard]] store::Waiting waiting() const override { return inner_.waiting(); }

  // Mutations. The listener is not told of every n-th commit; 0: it is told of all.
  int loses_commits = 0;
  // What this worker writes under an attempt that it has lost is written all the same.
  bool skips_fences = false;
  // Events of a journal are stored, and that they are is forgotten every n-th time.
  int forgets_offsets = 0;

 protected:
  void submit_write(WriteWork work, Done done) override;
  void submit_read(ReadWork work, Done done) override;

 private:
  class Deaf;
  bool run(const WriteWork& work, store::Transaction& tx);
  Leases::Attempts unlock(const Leases::Attempts& before, store::Transaction& tx) const;

  store::Store& inner_;
  std::shared_ptr<Process> writer_;
  Leases& leases_;
  std::map<store::CommitListener*, std::shared_ptr<Deaf>> deaf_;
  std::map<std::string, std::int64_t> tokens_;  // that this worker was given, by attempt
  int batches_ = 0;
};

}  // namespace agentrouter::simulation
