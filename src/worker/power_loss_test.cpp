// A run from its request to its reclaimed checkpoint, and a conversation of two turns whose first one is
// deleted, on one simulated disk under database, journal and blobs, whose power is lost at every third write
// of the one and every nineteenth of the other, and by hand at every single one. What comes back must be a
// state that a server can go on from.

#include <gtest/gtest.h>

#include "base/hash.h"
#include "keeper/sim_journal_conformance.h"
#include "runs/archive.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "runs/delete.h"
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
  base::Result<blobs::Blob> open(std::string_view key, std::string_view) override {
    if (!exists(key)) return base::fail(base::Code::not_found, "no blob");
    return blobs::Blob{.fd = keeper::sim_journal_fd(disk_, place(key)),
                       .size = static_cast<std::int64_t>(disk_.size(place(key)))};
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
    blobs::BlobInfo written() const override {
      return {static_cast<std::int64_t>(bytes_.size()), base::Sha256::hex_of(bytes_)};
    }
    blobs::BlobInfo commit() override {
      const auto aside = name_ + ".tmp";
      std::size_t put = 0;
      if (disk_.truncate(aside, 0) != SimDisk::Status::ok ||
          disk_.write(aside, 0, bytes_, put) != SimDisk::Status::ok ||
          disk_.sync(aside) != SimDisk::Status::ok || disk_.rename(aside, name_) != SimDisk::Status::ok)
        refuse();
      return written();
    }

   private:
    SimDisk& disk_;
    std::string name_;
    std::string bytes_;
  };

  SimDisk& disk_;
};

enum class Story { one_run, two_turns };

// What somebody outside was told.
struct Known {
  struct Turn {
    model::RunId run;
    model::Seq decided = 0;
    bool ended = false;
  };
  std::vector<Turn> turns;
  bool deleted = false;  // the first of them
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
    store_ = base::value_or_throw(store::open_sqlite_store(
        folder / "a.db",
        {.readers = 1, .wal_cap_bytes = 200 << 10, .checkpoint_delay = std::chrono::hours(1), .vfs = vfs}));
  }

  // Brings the story as far as it goes. Throws Failure when the disk is gone.
  void live(Story story) {
    if (!is_deleted()) {
      create();
      carry_out(0);
    }
    if (story == Story::two_turns) {
      go_on();
      carry_out(1);
      erase();
      known_.deleted = true;
    }
    reclaim();
    known_.reclaimed = true;
  }

  void check() {
    if (known_.turns.empty()) return;
    if (is_deleted()) {
      ASSERT_TRUE(known_.turns.size() == 2 && known_.turns[1].ended) << "the first run is gone";
    } else {
      ASSERT_FALSE(known_.deleted) << "a deleted run is back";
      check_turn(known_.turns[0]);
    }
    if (known_.turns.size() == 2) check_turn(known_.turns[1]);
    if (known_.deleted) check_erased();
  }

 private:
  void check_turn(const Known::Turn& told) {
    const auto run = read([&](store::Reader& reader) { return reader.run(told.run); });
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
    ASSERT_TRUE(!told.ended || model::is_terminal(run->status));
    if (told.decided > 0)
      ASSERT_EQ(events.at(static_cast<std::size_t>(told.decided - 1)).type, "approval.decided");
    check_bytes(run->id);
  }

  runs::Context now() { return {clock_, entropy_}; }
  [[nodiscard]] const model::RunId& conversation() const { return known_.turns.at(0).run; }

  void check_bytes(const model::RunId& run) {
    for (const auto& artifact : read([&](store::Reader& reader) { return reader.artifacts(run); }))
      ASSERT_EQ(blobs_.digest(artifact.r2_key), artifact.sha256) << artifact.kind;
    for (const auto& kept : read([&](store::Reader& reader) { return reader.checkpoints(conversation()); })) {
      if (!kept.doomed && (kept.run_id == run)) ASSERT_EQ(blobs_.digest(kept.key), kept.sha256);
    }
  }

  // Nothing of the first run is left, neither rows nor bytes.
  void check_erased() {
    const auto& run = known_.turns.at(0).run;
    ASSERT_TRUE(read([&](store::Reader& reader) { return reader.artifacts(run); }).empty());
    for (const auto* kind : {"stdout_log", "workspace_patch", "session_events", "session_manifest"})
      ASSERT_FALSE(blobs_.exists(model::named_artifact(run, kind).r2_key)) << kind;
    // Until then it may be the newest state that the conversation has.
    if (known_.reclaimed) ASSERT_FALSE(blobs_.exists("checkpoints/" + run.str()));
  }

  bool is_deleted() {
    return !known_.turns.empty() &&
           !read([&](store::Reader& reader) { return reader.run(known_.turns[0].run); }).has_value();
  }

  void told_of(std::size_t turn, const model::RunId& run) {
    if (known_.turns.size() > turn) EXPECT_EQ(known_.turns[turn].run, run) << "the key was forgotten";
    if (known_.turns.size() == turn) known_.turns.push_back({run});
  }

  void carry_out(std::size_t turn) {
    turn_ = turn;
    const auto fence = claim(this_run());
    if (fence) {
      if (!closing(*fence)) close(*fence, follow(*fence));
      finish(*fence);
    }
    known_.turns[turn].ended = true;
  }
  [[nodiscard]] const model::RunId& this_run() const { return known_.turns.at(turn_).run; }

  void create() {
    runs::NewRun request;
    request.input = "{}";
    request.task = "do it";
    request.idempotency_key = "once";
    const auto made = base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); }));
    told_of(0, made.run.id);
  }

  void go_on() {
    if (is_deleted())
      return told_of(1, read([&](store::Reader& reader) { return reader.turn(conversation(), 2); })->id);
    const runs::ContinueRequest request{
        .run = conversation(), .message = "go on", .idempotency_key = "again"};
    const auto made = write([&](store::Transaction& tx) { return runs::continue_run(tx, request, now()); });
    told_of(1, base::value_or_throw(made).run.id);
  }

  // As worker/retention.h does it.
  void erase() {
    const auto& run = conversation();
    if (!is_deleted())
      base::value_or_throw(
          write([&](store::Transaction& tx) { return runs::delete_run(tx, {.run = run}, now()); }));
    for (const auto& left : read([](store::Reader& reader) { return reader.deleted_runs(10); })) {
      if (const auto state = read([&](store::Reader& reader) { return runs::doomed_state(reader, left); })) {
        blobs_.remove(state->key);
        write([&](store::Transaction& tx) {
          tx.delete_checkpoint(state->conversation_id, state->turn_number);
          return 0;
        });
      }
      for (const auto& artifact : read([&](store::Reader& reader) { return reader.artifacts(left.id); })) {
        blobs_.remove(artifact.r2_key);
        write([&](store::Transaction& tx) {
          tx.delete_artifact(artifact.id);
          return 0;
        });
      }
      while (write([&](store::Transaction& tx) { return tx.remove_deleted(left.id, 7); }) == 7) {
      }
    }
  }

  // Nothing when the run is over and tidied.
  std::optional<runs::Fence> claim(const model::RunId& run) {
    fresh_ = false;
    // Not the next turn's, which may be queued already.
    const auto status = read([&](store::Reader& reader) { return reader.run(run)->status; });
    auto claimed = status != model::RunStatus::queued
                       ? std::nullopt
                       : write([&](store::Transaction& tx) { return runs::claim_run(tx, {"worker"}, now()); });
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
        piece = copy_journal({file.get(), this_run(), 1}, from, length, blobs_);
      } catch (const base::Failure& failure) {
        if (failure.error().code == base::Code::corrupt) return std::nullopt;
        throw;
      }
      if (piece.batch.to_offset > piece.batch.from_offset) {
        base::value_or_throw(write(
            [&](store::Transaction& tx) { return runs::commit_journal(tx, fence, piece.batch, now()); }));
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
          tx, {this_run(), model::ActionId("action_1"), "sha256:d", runs::Decision::approved, "", "decision"},
          now());
    }));
    known_.turns.at(turn_).decided = decided.sequence;
  }

  void close(const runs::Fence& fence, const std::optional<ExitRecord>& exit) {
    runs::Ending ending;
    ending.status = exit ? model::RunStatus::completed : model::RunStatus::failed;
    if (!exit) ending.failure = model::RunFailure{"attempt_lost", "the keeper was lost", {}};
    for (const auto* kind : {"stdout_log", "workspace_patch"}) {
      auto artifact = model::named_artifact(this_run(), kind);
      const auto info = blobs_.put(artifact.r2_key, std::string(3000, kind[0]));
      artifact.size_bytes = info.size;
      artifact.sha256 = info.sha256;
      artifact.created_at = clock_.now();
      ending.artifacts.push_back(std::move(artifact));
    }
    if (exit) {
      store::Checkpoint kept;
      kept.key = "checkpoints/" + this_run().str();
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
      runs::write_session_events(reader, this_run(), fixed, [&](std::string_view piece) { events += piece; });
      return 0;
    });
    const auto put = [&](const char* kind, const std::string& bytes) {
      const auto info = blobs_.put(model::named_artifact(this_run(), kind).r2_key, bytes);
      return runs::ArchivedBlob{info.size, info.sha256};
    };
    const runs::Archived archived{put("session_events", events), put("session_manifest", "{}")};
    base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::finish_close(tx, fence, archived, now()); }));
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::retire_attempt(tx, fence); }));
  }

  void reclaim() {
    base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::close_conversation(tx, this_run(), now()); }));
    const auto& one = conversation();
    const auto gone = read([&](store::Reader& reader) { return reader.conversation(one)->reclaimed; });
    if (gone) return;
    const auto doomed = base::value_or_throw(
        write([&](store::Transaction& tx) { return runs::begin_reclaim(tx, one, now()); }));
    for (const auto& checkpoint : doomed) blobs_.remove(checkpoint.key);
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::reclaim(tx, one, now()); }));
  }

  // No two lives give the same ids.
  static std::uint64_t next_seed() {
    static std::uint64_t lives = 0;
    return ++lives;
  }

  SimDisk& disk_;
  SimBlobs blobs_;
  Known& known_;
  std::size_t turn_ = 0;  // which is carried out
  bool fresh_ = false;
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_{next_seed()};
  asio::io_context io_;
  std::unique_ptr<store::Store> store_;
};

class PowerLoss : public ::testing::Test {
 protected:
  void SetUp() override {
    {
      Life(disk_, vfs_.name(), folder_.path(), nobody_);
    }
    made_ = disk_.image();
  }
  // False when the disk was gone before the end.
  bool live(Known& known, Story story = Story::one_run) {
    try {
      Life life(disk_, vfs_.name(), folder_.path(), known);
      life.live(story);
      return true;
    } catch (const base::Failure&) {
      return false;
    }
  }
  // What is there, the way to the end, and what is there then.
  bool recover(Known& known, Story story = Story::one_run) {
    Life life(disk_, vfs_.name(), folder_.path(), known);
    life.check();
    if (HasFailure()) return false;
    life.live(story);
    life.check();
    return !HasFailure();
  }
  void check(Known& known) { Life(disk_, vfs_.name(), folder_.path(), known).check(); }
  // Power is lost at each `stride`th step in turn.
  void lose_power(Story story, std::uint64_t stride, std::uint64_t least_steps) {
    Known whole;
    ASSERT_TRUE(live(whole, story));
    check(whole);
    std::uint64_t last = 5'000;
    for (std::uint64_t step = 1; step <= last; step += stride) {
      disk_.load(made_);
      Known known;
      disk_.die_at(step);
      if (live(known, story)) last = step;
      disk_.lose_power();
      ASSERT_TRUE(recover(known, story)) << "power was lost at step " << step;
      ASSERT_TRUE(known.turns.back().ended && known.reclaimed);
    }
    EXPECT_GT(last, least_steps);
  }

  testing::MemoryDir folder_;
  SimDisk disk_;
  store::SimVfs vfs_{disk_};
  Known nobody_;
  SimDisk::Image made_;
};

TEST_F(PowerLoss, ARunComesToItsEndFromWhateverPointPowerIsLostAt) {
  lose_power(Story::one_run, 3, 50);
}

TEST_F(PowerLoss, SoDoesALaterTurnAndTheDeletionOfTheFirst) {
  lose_power(Story::two_turns, 19, 120);
}

// Minutes: worker_test --gtest_also_run_disabled_tests --gtest_filter='*EverySingleStep'
TEST_F(PowerLoss, DISABLED_AtEverySingleStep) {
  lose_power(Story::one_run, 1, 50);
  lose_power(Story::two_turns, 1, 120);
}

TEST_F(PowerLoss, ASecondLossWhileItRecoversChangesNothing) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    const auto story = round % 2 == 0 ? Story::one_run : Story::two_turns;
    disk_.load(made_);
    Known known;
    for (int loss = 0; loss < 4; ++loss) {
      disk_.die_at(1 + random() % 60);
      (void)live(known, story);
      disk_.lose_power();
      check(known);
      ASSERT_FALSE(HasFailure()) << "round " << round << ", loss " << loss;
    }
    ASSERT_TRUE(recover(known, story)) << "round " << round;
  }
}

}  // namespace
}  // namespace agentrouter::worker
