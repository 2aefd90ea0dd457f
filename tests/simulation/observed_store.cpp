#include "observed_store.h"

namespace agentrouter::simulation {

namespace {

// The inner store's own, which only stores may call.
struct Inner : store::Store {
  using Store::Done;
  using Store::ReadWork;
  using Store::submit_read;
  using Store::submit_write;
  using Store::WriteWork;
};

Leases::Attempts open_attempts(store::Reader& reader) {
  Leases::Attempts all;
  for (auto& attempt : reader.open_attempts()) all.emplace(attempt.id.str(), attempt);
  return all;
}

}  // namespace

void Leases::forget() {
  leases_.clear();
  before_.clear();
}

void Leases::undone() {
  for (auto& [id, lease] : before_) leases_[id] = std::move(lease);
  before_.clear();
}

void Leases::judge(const std::shared_ptr<Process>& writer, const Attempts& before, const Attempts& after) {
  const auto name_of = [](const Lease& lease) { return lease.holder ? lease.holder->name : std::string("nobody"); };
  for (const auto& [id, now] : after) {
    auto& lease = leases_[id];
    before_.emplace(id, lease);
    const auto known = before.find(id);
    if (known == before.end()) {
      lease = {writer, loop_.now()};
      continue;
    }
    const auto& old = known->second;
    if (now.token != old.token) {
      const bool held = lease.holder && lease.holder != writer && lease.holder->alive && loop_.now() < lease.newest + duration;
      if (held) checker_.fail(writer->name + " took " + id + " from " + name_of(lease) + " before its lease ran out");
      if (now.token < old.token) checker_.fail("the token of " + id + " went back");
      lease = {writer, loop_.now()};
      continue;
    }
    const bool changed = now.journal_offset != old.journal_offset || now.closing != old.closing ||
                         now.beats != old.beats || now.worker_id != old.worker_id || now.launched != old.launched;
    if (changed && lease.holder != writer)
      checker_.fail(writer->name + " wrote under " + id + ", which " + name_of(lease) + " holds");
    if (changed && now.beats != old.beats) lease.newest = loop_.now();
  }
}

class ObservedStore::Deaf final : public store::CommitListener {
 public:
  Deaf(store::CommitListener& listener, int loses) : listener_(listener), loses_(loses) {}
  void committed(std::shared_ptr<const std::vector<model::Event>> events) override {
    if (hears()) listener_.committed(std::move(events));
  }
  void run_changed(const model::RunId& run, model::RunStatus status) override {
    if (hears()) listener_.run_changed(run, status);
  }
  void outbox_changed() override { listener_.outbox_changed(); }

 private:
  bool hears() { return loses_ == 0 || ++calls_ % loses_ != 0; }
  store::CommitListener& listener_;
  int loses_;
  int calls_ = 0;
};

void ObservedStore::add_listener(store::CommitListener* listener) {
  auto& deaf = deaf_[listener] = std::make_shared<Deaf>(*listener, loses_commits);
  inner_.add_listener(deaf.get());
}

void ObservedStore::remove_listener(store::CommitListener* listener) {
  if (const auto found = deaf_.find(listener); found != deaf_.end()) {
    inner_.remove_listener(found->second.get());
    deaf_.erase(found);
  }
}

void ObservedStore::submit_write(WriteWork work, Done done) {
  // Nothing of a worker that was killed is destroyed, so this is there.
  const auto kept = std::make_shared<bool>(false);
  auto observed = [work = std::move(work), kept, this](store::Transaction& tx) { return *kept = run(work, tx); };
  auto judged = [done = std::move(done), kept, &leases = leases_](std::exception_ptr error) {
    if (*kept) error ? leases.undone() : leases.committed();
    done(error);
  };
  (inner_.*(&Inner::submit_write))(std::move(observed), std::move(judged));
}

bool ObservedStore::run(const WriteWork& work, store::Transaction& tx) {
  const auto before = open_attempts(tx);
  const auto locked = unlock(before, tx);
  const bool keep = work(tx);
  for (const auto& [id, attempt] : locked) {
    auto now = tx.attempt(attempt.id);
    now->token = attempt.token;
    tx.update_attempt(*now);
  }
  if (!keep) return false;
  auto after = open_attempts(tx);
  leases_.judge(writer_, before, after);
  for (auto& [id, attempt] : after) {
    const auto known = before.find(id);
    if (known == before.end() || known->second.token != attempt.token) tokens_[id] = attempt.token;
    if (known == before.end() || known->second.journal_offset == attempt.journal_offset) continue;
    if (forgets_offsets == 0 || ++batches_ % forgets_offsets != 0) continue;
    attempt.journal_offset = known->second.journal_offset;
    tx.update_attempt(attempt);
  }
  return true;
}

// The attempts that it has lost, as they are; in the store they have its own token meanwhile.
Leases::Attempts ObservedStore::unlock(const Leases::Attempts& before, store::Transaction& tx) const {
  Leases::Attempts changed;
  if (!skips_fences) return changed;
  for (const auto& [id, attempt] : before) {
    const auto mine = tokens_.find(id);
    if (mine == tokens_.end() || mine->second == attempt.token) continue;
    changed.emplace(id, attempt);
    auto forged = attempt;
    forged.token = mine->second;
    tx.update_attempt(forged);
  }
  return changed;
}

void ObservedStore::submit_read(ReadWork work, Done done) {
  (inner_.*(&Inner::submit_read))(std::move(work), std::move(done));
}

}  // namespace agentrouter::simulation
