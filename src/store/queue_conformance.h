#pragma once
// What every backend must do about the lanes of the queue, and about notes. Included beside keeping_conformance.h.

#include "store/store_conformance.h"

namespace agentrouter::store {

class QueueConformance : public StoreConformance {
 protected:
  void queue(std::string_view name, std::string_view share, std::string_view lane, int priority = 0) {
    auto run = testing::make_run(name, ++queued_);
    run.priority = priority;
    write([&](Transaction& tx) { tx.insert_run(run, share, lane); });
  }
  std::vector<std::string> next(const std::vector<std::string>& left_out = {}, int limit = 20) {
    std::vector<std::string> tasks;
    read([&](Reader& reader) {
      for (const auto& id : reader.queued_runs(limit, left_out)) tasks.push_back(reader.run(id)->task.substr(3));
    });
    return tasks;
  }
  std::vector<std::string> lanes() {
    std::vector<std::string> texts;
    for (const auto& lane : read([](Reader& reader) { return reader.lanes(); }))
      texts.push_back(lane.name + " " + std::to_string(lane.queued) + " " + std::to_string(lane.active));
    return texts;
  }
  void put(std::string kind, std::string id, std::string text = "{}") {
    const Note note{std::move(kind), std::move(id), std::move(text)};
    write([&](Transaction& tx) { tx.put_note(note); });
  }
  std::vector<std::string> ids(std::string_view kind, std::string_view prefix = {}, int limit = 100) {
    std::vector<std::string> all;
    for (const auto& note : read([&](Reader& reader) { return reader.notes(kind, prefix, limit); }))
      all.push_back(note.id);
    return all;
  }

  std::int64_t queued_ = 0;
};

TEST_P(QueueConformance, LanesAreCountedOverAllSharesAndForgottenWhenEmpty) {
  EXPECT_THAT(lanes(), ::testing::IsEmpty());
  queue("a1", "a", "gpu");
  queue("b1", "b", "gpu");
  queue("b2", "b", "");
  EXPECT_THAT(lanes(), ::testing::ElementsAre(" 1 0", "gpu 2 0"));
  set_status("a1", model::RunStatus::starting);
  EXPECT_THAT(lanes(), ::testing::ElementsAre(" 1 0", "gpu 1 1"));
  set_status("a1", model::RunStatus::running);
  set_status("a1", model::RunStatus::completed);
  set_status("b2", model::RunStatus::cancelling);
  set_status("b2", model::RunStatus::cancelled);
  EXPECT_THAT(lanes(), ::testing::ElementsAre("gpu 1 0"));
}

TEST_P(QueueConformance, RunsOfLanesThatAreLeftOutAreAsIfTheyWereNotThere) {
  for (const auto* name : {"a1", "a2"}) queue(name, "a", "gpu");
  queue("a3", "a", "any");
  queue("b1", "b", "any");
  queue("b2", "b", "any", 9);
  queue("c1", "c", "gpu");
  EXPECT_THAT(next({"gpu"}), ::testing::ElementsAre("a3", "b2", "b1"));
  EXPECT_THAT(next({"gpu", "any"}), ::testing::IsEmpty());
  EXPECT_THAT(next({"none"}, 1), ::testing::ElementsAre("a1"));
  EXPECT_THAT(next({"any"}), ::testing::ElementsAre("a1", "c1", "a2"));
}

TEST_P(QueueConformance, PriorityAndAgeOrderAShareOverItsLanes) {
  queue("old", "a", "x");
  queue("young", "a", "y");
  queue("high", "a", "z", 5);
  queue("oldest of y", "a", "y");
  EXPECT_THAT(next(), ::testing::ElementsAre("high", "old", "young", "oldest of y"));
}

TEST_P(QueueConformance, TheLongestWaitIsThatOfAQueuedRun) {
  const auto oldest = [this] { return read([](Reader& reader) { return reader.oldest_queued(); }); };
  EXPECT_FALSE(oldest());
  queue("a", "s", "");
  queue("b", "t", "x");
  EXPECT_EQ(oldest(), testing::make_run("a", 1).queued_at);
  set_status("a", model::RunStatus::starting);
  EXPECT_EQ(oldest(), testing::make_run("b", 2).queued_at);
}

TEST_P(QueueConformance, ALaneMayBeCalledAnything) {
  queue("a", "s", R"({"needs":[["a","b'\"]"]]})");
  EXPECT_THAT(next({R"({"needs":[["a","b'\"]"]]})"}), ::testing::IsEmpty());
  EXPECT_THAT(next({"a"}), ::testing::ElementsAre("a"));
}

TEST_P(QueueConformance, NotesAreReplacedListedByIdAndForgotten) {
  put("node", "b", "1");
  put("node", "a", "2");
  put("node", "b", "3");
  put("duty", "b", "4");
  EXPECT_THAT(ids("node"), ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(read([](Reader& reader) { return reader.note("node", "b")->text; }), "3");
  EXPECT_FALSE(read([](Reader& reader) { return reader.note("node", "c").has_value(); }));
  write([](Transaction& tx) {
    tx.delete_note("node", "b");
    tx.delete_note("node", "never");
  });
  EXPECT_THAT(ids("node"), ::testing::ElementsAre("a"));
  EXPECT_THAT(ids("duty"), ::testing::ElementsAre("b"));
}

TEST_P(QueueConformance, NotesAreFoundByHowTheirIdsBegin) {
  for (const auto* id : {"h/1", "h/2", "h", "h2/1", "H/1", "h_1", "h%1", "\xc3\xa4/1"}) put("request", id);
  EXPECT_THAT(ids("request", "h/"), ::testing::ElementsAre("h/1", "h/2"));
  EXPECT_THAT(ids("request", "h/", 1), ::testing::ElementsAre("h/1"));
  EXPECT_THAT(ids("request", "h_"), ::testing::ElementsAre("h_1"));
  EXPECT_THAT(ids("request", "h%"), ::testing::ElementsAre("h%1"));
  EXPECT_THAT(ids("request", "\xc3\xa4"), ::testing::SizeIs(1));
}

class NoteRecorder final : public CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>>) override {}
  void run_changed(const model::RunId&, model::RunStatus) override {}
  void notes_changed(const std::string& kind) override {
    const std::lock_guard lock(mutex_);
    kinds_.push_back(kind);
  }
  [[nodiscard]] std::vector<std::string> kinds() {
    const std::lock_guard lock(mutex_);
    return kinds_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> kinds_;
};

TEST_P(QueueConformance, ListenersHearOfTheKindsOfNotesOnceForEachCommit) {
  NoteRecorder recorder;
  store_->add_listener(&recorder);
  write([](Transaction& tx) {
    tx.put_note({"b", "1", "{}"});
    tx.put_note({"a", "1", "{}"});
    tx.put_note({"b", "2", "{}"});
  });
  write([](Transaction& tx) { tx.delete_note("b", "1"); });
  store_->remove_listener(&recorder);
  EXPECT_THAT(recorder.kinds(), ::testing::ElementsAre("a", "b", "b"));
}

}  // namespace agentrouter::store
