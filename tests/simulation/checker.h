#pragma once
// The judge. It reads the database by SQL of its own, journals byte by byte, and what agents and clients saw; it
// uses nothing of the product's logic. What it finds is remembered, because it is called in places that catch.

#include <sqlite3.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "disk.h"
#include "files.h"
#include "loop.h"
#include "witness.h"

namespace agentrouter::simulation {

class Checker final : public Witness {
 public:
  Checker(Loop& loop, const Journals& journals) : loop_(loop), journals_(journals) {}
  ~Checker() override;

  // Reads this database from now on.
  void open(const std::string& path);
  // A mutation: every seventh event changes places with the one before it.
  void reorder_events();
  // Something was committed: everything new in it.
  void committed();
  // The faults are over and all is quiet: everything.
  void at_the_end();

  // Of agents and keepers.
  void ran(const std::string& run, const std::string& attempt, const std::string& action, const std::string& digest,
           bool launch, bool needs_approval) override;
  void journal_made(const std::string& run, const std::string& attempt) override;
  void power_will_be_lost();

  // Of clients: what they have sent, and what they were answered.
  void sent_decision(const std::string& action, const std::string& digest, bool approves);
  void got_decision(const std::string& action, bool approves);
  // From now on this run may be gone.
  void sent_delete(const std::string& run) { deletions_.insert(run); }
  void got_run(const std::string& key, const std::string& run);
  // An event came over a live subscription that stands at `cursor`.
  void got_event(const std::string& run, std::int64_t cursor, std::int64_t sequence);
  void got_end(const std::string& run, std::int64_t cursor);
  // It waited for long, and nothing came.
  void got_nothing(const std::string& run, std::int64_t cursor);

  void fail(std::string what);
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

  // A run has ended in the store, and how many there are.
  [[nodiscard]] bool has_ended(const std::string& run) const;
  [[nodiscard]] std::size_t runs() const { return runs_.size(); }
  [[nodiscard]] std::size_t unfinished() const;
  [[nodiscard]] std::int64_t open_attempts();
  [[nodiscard]] std::string describe_unfinished() const;
  [[nodiscard]] std::string
  describe_attempts();  // open ones: run, number, worker, token, offset, closing, host, lease
  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] std::uint64_t releases() const { return launches_.size() + actions_run_.size(); }

 private:
  struct RunState {
    std::string id;
    std::string status;
    std::int64_t events = 0;
    std::int64_t attempts = 0;
    bool ended = false;
    Moment newest{};  // when its last event was seen
  };
  struct AttemptTruth {
    std::string run;
    std::size_t parsed = 0;                   // bytes of its journal
    std::vector<std::size_t> ends;            // of the records that are events
    int stored = 0;                           // how many of these are in the store
    std::optional<std::size_t> cut;           // by a power loss: only what is before this is sure to be there
    bool exited = false;
  };
  struct Decision {
    std::string digest;
    bool approve_sent = false;
    bool deny_sent = false;
    std::optional<bool> answered;
  };

  void read_runs();
  void read_events(std::int64_t number, RunState& run, std::int64_t last);
  void read_approvals();
  void place(const RunState& run, const std::string& word, std::int64_t sequence);
  void read_journal(const std::string& attempt, AttemptTruth& truth);
  sqlite3_stmt* prepare(const char* sql);

  Loop& loop_;
  const Journals& journals_;
  sqlite3* db_ = nullptr;
  std::map<const char*, sqlite3_stmt*> statements_;
  std::map<std::int64_t, RunState> runs_;
  std::map<std::string, AttemptTruth> attempts_;
  std::map<std::string, std::pair<std::string, int>> words_;  // attempt and place of each event of a journal
  std::map<std::string, Decision> decisions_;                 // by action
  std::map<std::string, std::string> states_;                 // of approvals, by action
  std::map<std::string, std::string> keys_;                   // run of each idempotency key that was answered
  std::set<std::string> known_;                               // runs that a client was told of
  std::map<std::string, std::string> launches_;               // attempt of each run whose agent was started
  std::set<std::string> actions_run_;
  std::set<std::string> deletions_;  // of runs that clients asked for
  std::uint64_t events_ = 0;
  std::optional<std::string> violation_;
};

// The value of a string field that holds no quotes, wherever it stands; empty when it is not there.
[[nodiscard]] std::string field_of(std::string_view json, std::string_view name);

}  // namespace agentrouter::simulation
