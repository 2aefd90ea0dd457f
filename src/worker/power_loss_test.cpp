// A run from its request to its reclaimed checkpoint, on one simulated disk under database, journal and blobs, whose
// power is lost at every single write. What comes back must be a state that a server can go on from.

#include <gtest/gtest.h>

#include "base/hash.h"
#include "keeper/sim_journal_conformance.h"
#include "runs/archive.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "store/sqlite/sim_vfs_conformance.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/memory_dir.h"
#include "testing/run_task.h"
#include "worker/journal_copy.h"

namespace agentrouter::worker {
namespace {

using testing::SimDisk;

// Blobs as files of the simulated disk: written aside, synced, renamed.
class SimBlobs final : public blobs::BlobStore {
 public:
  explicit SimBlobs(SimDisk& disk) : disk_(disk) {}
  std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override {
    return std::make_unique<Writer>(disk_, place(key));
  }
  base::Result<blobs::Blob> open(std::string_view key) override {
    if (!exists(key)) return base::fail(base::Code::not_found, "no blob");
    return blobs::Blob{keeper::sim_journal_fd(disk_, place(key)), static_cast<std::int64_t>(disk_.size(place(key)))};
  }
  bool exists(std::string_view key) override { return disk_.exists(place(key)); }
  void remove(std::string_view key) override {
    if (disk_.remove(place(key)) == SimDisk::Status::io) refuse();
  }
  void remove_empty(std::string_view) override {}
  // 64 hex digits; empty when there is none.
  std::string digest(std::string_view key) {
    return exists(key) ? base::Sha256::hex_of(disk_.content(place(key))) : "";
  }

 private:
  static std::string place(std::string_view key) { return "blobs/" + std::string(key); }
  [[noreturn]] static void refuse() {
    base::throw_failure(base::Code::unavailable, "the simulated disk refuses", "storage_failed");
  }
  class Writer final : public blobs::BlobWriter {
   public:
    Writer(SimDisk& disk, std::string name) : disk_(disk), name_(std::move(name)) {}
    void write(std::string_view bytes) override { bytes_ += bytes; }
    blobs::BlobInfo commit() override {
      const auto aside = name_ + ".tmp";
      std::size_t written = 0;
      if (disk_.truncate(aside, 0) != SimDisk::Status::ok ||
          disk_.write(aside, 0, bytes_, written) != SimDisk::Status::ok ||
          disk_.sync(aside) != SimDisk::Status::ok || disk_.rename(aside, name_) != SimDisk::Status::ok)
        refuse();
      return {static_cast<std::int64_t>(bytes_.size()), base::Sha256::hex_of(bytes_)};
    }

   private:
    SimDisk& disk_;
    std::string name_;
    std::string bytes_;
  };

  SimDisk& disk_;
};

// What somebody outside was told.
struct Known {
  std::optional<model::RunId> run;
  model::Seq decided = 0;
  bool ended = false;
  bool reclaimed = false;
};

// One life of the server and of the keeper, from its start to the next loss of power.
class Life {
  template <class Work>
  auto write(Work work) {
    return testing::run_task(io_, store_->write(std::move(work)));
  }
  template <class Work>
  auto read(Work work) {
    return testing::run_task(io_, store_->read(std::move(work)));
  }

 public:
  Life(SimDisk& disk, const std::string& vfs, const std::filesystem::path& folder, Known& known)
      : disk_(disk), blobs_(disk), known_(known) {
    store_ = base::value_or_throw(store::open_sqlite_store(folder / "a.db", {.readers = 1,
                                                                      .wal_cap_bytes = 200 << 10,
                                                                      .checkpoint_delay = std::chrono::hours(1),
                                                                      .vfs = vfs}));
  }

  // Brings the run as far as it goes. Throws Failure when the disk is gone.
  void live() {
    const auto run = create();
    const auto fence = claim(run);
    if (fence) {
      if (!closing(*fence)) close(*fence, follow(*fence));
      finish(*fence);
    }
    known_.ended = true;
    reclaim(run);
    known_.reclaimed = true;
  }

  void check() {
    if (!known_.run) return;
    const auto run = read([&](store::Reader& reader) { return reader.run(*known_.run); });
    ASSERT_TRUE(run);
    const auto events = read([&](store::Reader& reader) { return reader.events(run->id, 0, 1000); });
    ASSERT_EQ(static_cast<model::Seq>(events.size()), run->last_event_seq);
    int terminal = 0;
    for (std::size_t i = 0; i < events.size(); ++i) {
      ASSERT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
      const bool ends = events[i].type == "run.completed" || events[i].type == "run.failed";
      terminal += ends ? 1 : 0;
      ASSERT_TRUE(!ends || i + 1 == events.size());
    }
    ASSERT_EQ(terminal, model::is_terminal(run->status) ? 1 : 0);
    ASSERT_TRUE(!known_.ended || model::is_terminal(run->status));
    if (known_.decided > 0) ASSERT_EQ(events.at(static_cast<std::size_t>(known_.decided - 1)).type, "approval.decided");
    check_bytes(run->id);
  }

 private:
  runs::Context now() { return {clock_, entropy_}; }

  void check_bytes(const model::RunId& run) {
    for (const auto& artifact : read([&](store::Reader& reader) { return reader.artifacts(run); }))
      ASSERT_EQ(blobs_.digest(artifact.r2_key), artifact.sha256) << artifact.kind;
    for (const auto& kept : read([&](store::Reader& reader) { return reader.checkpoints(run); })) {
      if (!kept.doomed) ASSERT_EQ(blobs_.digest(kept.key), kept.sha256);
    }
  }

  model::RunId create() {
    runs::NewRun request;
    request.input = "{}";
    request.task = "do it";
    request.idempotency_key = "once";
    const auto made =
        base::value_or_throw(write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); }));
    if (known_.run) EXPECT_EQ(*known_.run, made.run.id) << "the key was forgotten";
    known_.run = made.run.id;
    return made.run.id;
  }

  // Nothing when the run is over and tidied.
  std::optional<runs::Fence> claim(const model::RunId& run) {
    auto claimed = write([&](store::Transaction& tx) { return runs::claim_run(tx, {"worker"}, now()); });
    if (claimed) {
      fresh_ = true;
      return claimed->fence();
    }
    const auto latest = read([&](store::Reader& reader) { return reader.latest_attempt(run); });
    if (!latest || !latest->open) return std::nullopt;
    auto taken = write([&](store::Transaction& tx) {
      return runs::take_over(tx, latest->id, {"worker"}, std::nullopt, now());
    });
    return base::value_or_throw(std::move(taken)).fence();
  }

  store::Attempt attempt(const runs::Fence& fence) {
    return *read([&](store::Reader& reader) { return reader.attempt(fence.attempt); });
  }
  bool closing(const runs::Fence& fence) { return !attempt(fence).closing.empty(); }

  // Copies the journal; the exit when there is one.
  std::optional<ExitRecord> copy(const runs::Fence& fence, const std::string& name) {
    for (;;) {
      const auto from = static_cast<std::uint64_t>(attempt(fence).journal_offset);
      const auto length = disk_.size(name);
      if (from > length) return std::nullopt;  // the store is ahead: lost
      const auto file = keeper::sim_journal_fd(disk_, name);
      JournalPiece piece;
      try {
        piece = copy_journal({file.get(), *known_.run, 1}, from, length, blobs_);
      } catch (const base::Failure& failure) {
        if (failure.error().code == base::Code::corrupt) return std::nullopt;
        throw;
      }
      if (piece.batch.to_offset > piece.batch.from_offset) {
        base::value_or_throw(write([&](store::Transaction& tx) {
          return runs::commit_journal(tx, fence, piece.batch, now());
        }));
      }
      if (piece.exit) return std::move(piece.exit);
      if (piece.batch.to_offset == piece.batch.from_offset) return std::nullopt;
    }
  }

  std::optional<ExitRecord> follow(const runs::Fence& fence) {
    const auto name = "attempts/" + fence.attempt.str() + "/journal";
    if (fresh_) keep(fence, name);
    return copy(fence, name);
  }

  // The keeper, with the worker copying and a person deciding in between.
  void keep(const runs::Fence& fence, const std::string& name) {
    auto journal = base::value_or_throw(keeper::Journal::create(keeper::sim_journal_file(disk_, name), clock_,
                                                                {.ahead = 16u << 10, .reserve = 4u << 10}));
    const auto say = [&](std::string_view kind, json::object data) {
      base::value_or_throw(journal.append(kind, std::move(data)));
    };
    say("hello", {{"protocol", 1}});
    say("event", event("sandbox.created"));
    say("question", {{"actionId", "action_1"},
                     {"actionDigest", "sha256:d"},
                     {"argsDigest", "sha256:a"},
                     {"requestId", "approval_1"},
                     {"requestedEventId", "evt_1"}});
    base::value_or_throw(journal.sync());
    (void)copy(fence, name);
    decide();
    say("released", {{"actionId", "action_1"}});
    base::value_or_throw(journal.sync());
    say("event", event("execution.started"));
    say("event", event("agent.message", 40'000));
    (void)copy(fence, name);  // before it is synced: the store may come to be ahead of the disk
    say("event", event("execution.completed"));
    base::value_or_throw(journal.append_last("exit", {{"outcome", "completed"}}));
    base::value_or_throw(journal.sync());
  }

  json::object event(std::string_view type, std::size_t bytes = 10) {
    model::EventDraft draft;
    draft.type = type;
    draft.payload = base::to_text(json::object{{"text", std::string(bytes, 'x')}});
    draft.created_at = clock_.now();
    return base::value_or_throw(base::parse_json(draft.to_json_text())).as_object();
  }

  void decide() {
    const auto decided = base::value_or_throw(write([&](store::Transaction& tx) {
      return runs::decide_action(
          tx, {*known_.run, model::ActionId("action_1"), "sha256:d", runs::Decision::approved, "", "decision"}, now());
    }));
    known_.decided = decided.sequence;
  }

  void close(const runs::Fence& fence, const std::optional<ExitRecord>& exit) {
    runs::Ending ending;
    ending.status = exit ? model::RunStatus::completed : model::RunStatus::failed;
    if (!exit) ending.failure = model::RunFailure{"attempt_lost", "the keeper was lost", {}};
    for (const auto* kind : {"stdout_log", "workspace_patch"}) {
      auto artifact = model::named_artifact(*known_.run, kind);
      const auto info = blobs_.put(artifact.r2_key, std::string(3000, kind[0]));
      artifact.size_bytes = info.size;
      artifact.sha256 = info.sha256;
      artifact.created_at = clock_.now();
      ending.artifacts.push_back(std::move(artifact));
    }
    if (exit) {
      store::Checkpoint kept;
      kept.key = "checkpoints/" + known_.run->str();
      const auto info = blobs_.put(kept.key, std::string(2000, 'c'));
      kept.size_bytes = info.size;
      kept.sha256 = info.sha256;
      ending.checkpoint = kept;
    }
    base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::begin_close(tx, fence, ending, now()); }));
  }

  void finish(const runs::Fence& fence) {
    const auto fixed = base::value_or_throw(runs::Closing::from_json_text(attempt(fence).closing));
    std::string events;
    read([&](store::Reader& reader) {
      runs::write_session_events(reader, *known_.run, fixed, [&](std::string_view piece) { events += piece; });
      return 0;
    });
    const auto put = [&](const char* kind, const std::string& bytes) {
      const auto info = blobs_.put(model::named_artifact(*known_.run, kind).r2_key, bytes);
      return runs::ArchivedBlob{info.size, info.sha256};
    };
    const runs::Archived archived{put("session_events", events), put("session_manifest", "{}")};
    base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::finish_close(tx, fence, archived, now()); }));
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::retire_attempt(tx, fence); }));
  }

  void reclaim(const model::RunId& run) {
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::close_conversation(tx, run, now()); }));
    const auto gone = read([&](store::Reader& reader) { return reader.conversation(run)->reclaimed; });
    if (gone) return;
    const auto doomed =
        base::value_or_throw(write([&](store::Transaction& tx) { return runs::begin_reclaim(tx, run, now()); }));
    for (const auto& checkpoint : doomed) blobs_.remove(checkpoint.key);
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::reclaim(tx, run, now()); }));
  }

  // No two lives give the same ids.
  static std::uint64_t next_seed() {
    static std::uint64_t lives = 0;
    return ++lives;
  }

  SimDisk& disk_;
  SimBlobs blobs_;
  Known& known_;
  bool fresh_ = false;
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_{next_seed()};
  asio::io_context io_;
  std::unique_ptr<store::Store> store_;
};

class PowerLoss : public ::testing::Test {
 protected:
  void SetUp() override {
    { Life(disk_, vfs_.name(), folder_.path(), nobody_); }
    made_ = disk_.image();
  }
  // False when the disk was gone before the end.
  bool live(Known& known) {
    try {
      Life life(disk_, vfs_.name(), folder_.path(), known);
      life.live();
      return true;
    } catch (const base::Failure&) {
      return false;
    }
  }
  // What is there, the way to the end, and what is there then.
  bool recover(Known& known) {
    Life life(disk_, vfs_.name(), folder_.path(), known);
    life.check();
    if (HasFailure()) return false;
    life.live();
    life.check();
    return !HasFailure();
  }
  void check(Known& known) { Life(disk_, vfs_.name(), folder_.path(), known).check(); }

  testing::MemoryDir folder_;
  SimDisk disk_;
  store::SimVfs vfs_{disk_};
  Known nobody_;
  SimDisk::Image made_;
};

TEST_F(PowerLoss, ARunComesToItsEndFromWhateverPointPowerIsLostAt) {
  Known whole;
  ASSERT_TRUE(live(whole));
  check(whole);
  disk_.load(made_);
  std::uint64_t last = 5'000;
  for (std::uint64_t step = 1; step <= last; ++step) {
    disk_.load(made_);
    Known known;
    disk_.die_at(step);
    if (live(known)) last = step;
    disk_.lose_power();
    ASSERT_TRUE(recover(known)) << "power was lost at step " << step;
    ASSERT_TRUE(known.ended && known.reclaimed);
  }
  EXPECT_GT(last, 50u);
}

TEST_F(PowerLoss, ASecondLossWhileItRecoversChangesNothing) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 30; ++round) {
    disk_.load(made_);
    Known known;
    for (int loss = 0; loss < 4; ++loss) {
      disk_.die_at(1 + random() % 60);
      (void)live(known);
      disk_.lose_power();
      check(known);
      ASSERT_FALSE(HasFailure()) << "round " << round << ", loss " << loss;
    }
    ASSERT_TRUE(recover(known)) << "round " << round;
  }
}

}  // namespace
}  // namespace agentrouter::worker
