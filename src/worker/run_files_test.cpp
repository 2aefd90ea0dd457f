#include "worker/run_files.h"

#include <boost/asio/co_spawn.hpp>

#include "runs/conversations.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::HasSubstr;

std::string frame(std::string_view bytes) {
  std::string whole;
  for (const int shift : {24, 16, 8, 0}) whole += static_cast<char>(bytes.size() >> shift & 0xff);
  return whole.append(bytes);
}

class RunFilesTest : public WorkerTest {
 protected:
  // "head content", or the error's reason or message; `...` where it was cut off.
  std::string ask(const model::RunId& id) { return ask(files_, id); }
  std::string ask(RunFiles& files, const model::RunId& id) {
    std::optional<std::string> said;
    asio::co_spawn(io_.get_executor(), look(files, id),
                   [&](std::exception_ptr error, std::string text) { said = error ? "thrown" : text; });
    until([&] { return said.has_value(); });
    return *said;
  }
  base::Task<std::string> look(RunFiles& files, model::RunId id) {
    auto answer = co_await files.ask(id, {});
    if (!answer) {
      const auto& error = answer.error();
      co_return error.reason.empty() ? std::string(base::to_string(error.code)) + ": " + error.message : error.reason;
    }
    auto text = base::to_text((*answer)->head());
    for (;;) {
      const auto piece = co_await (*answer)->next();
      if (!piece) co_return text + "...";
      if (piece->empty()) co_return text;
      text += " " + *piece;
    }
  }

  // Asks so often at once, and keeps the answers without reading them.
  void hold(RunFiles& files, const model::RunId& id, std::size_t times) {
    std::size_t done = 0;
    const auto ended = [&done](std::exception_ptr) { ++done; };
    for (std::size_t i = 0; i < times; ++i) asio::co_spawn(io_.get_executor(), hold_one(files, id), ended);
    until([&] { return done == times; });
  }
  base::Task<void> hold_one(RunFiles& files, model::RunId id) {
    auto answer = co_await files.ask(id, {});
    answer ? held_.push_back(std::move(*answer)) : refused_.push_back(answer.error().message);
  }
  model::RunId submit_in(const std::string& workspace) {
    runs::NewRun request;
    request.task = simple_script;
    request.input = base::to_text(json::object{{"task", request.task}});
    request.approval_mode = model::ApprovalMode::automatic;
    const auto create = [&](store::Transaction& tx) { return runs::create_run(tx, request, now()); };
    return testing::run_task(desk(), store_->write_in(workspace, create))->run.id;
  }

  // Instead of a process: says what it was given, as a reader would say what it found.
  base::Result<pid_t> read(int base, int archive, int out, const std::string& request) {
    ++started_;
    EXPECT_THAT(request, HasSubstr("\"what\":\"list\""));
    std::string content = base < 0 ? "no base," : "a base,";
    content += base::value_or_throw(base::read_all(archive, 1 << 20));
    EXPECT_TRUE(base::write_all(out, answer_.value_or(frame("{}") + frame(content) + frame(""))));
    return -1;
  }
  static std::string script(const std::string& frames) {
    return base::to_text(
        json::object{{"says", "event agent.started {\"provider\":\"codex\"}\n"}, {"files", frames}});
  }

  base::Pool pool_{1};
  int started_ = 0;
  RunFiles::Needs needs() {
    return {io_.get_executor(),
            *store_,
            *blobs_,
            pool_,
            folder_.path(),
            [this](int base, int archive, int out, const std::string& request) {
              return read(base, archive, out, request);
            }};
  }

  std::optional<std::string> answer_;
  RunFiles files_{needs()};
  std::vector<std::unique_ptr<workspace::FileAnswer>> held_;
  std::vector<std::string> refused_;
};

TEST_F(RunFilesTest, OfAnEndedRunAReaderIsGivenWhatItLeft) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(ask(id), "{} no base,a checkpoint");
  const auto in_folder = submit(simple_script, model::ApprovalMode::automatic, folder_.path().string());
  until_retired(in_folder);
  EXPECT_EQ(ask(in_folder), "{} a base,a checkpoint");
}

TEST_F(RunFilesTest, OfARunningRunItsKeeperIsAsked) {
  start();
  const auto id = submit(script(frame("{\"a\":1}") + frame("live") + frame("")));
  until_event(id, "agent.started");
  EXPECT_EQ(ask(id), "{\"a\":1} live");
  EXPECT_EQ(started_, 0);
  cancel(id);
  until_retired(id);
  EXPECT_EQ(ask(id), "{} no base,a checkpoint");
}

// Beside a live agent nobody knows that files are gone.
TEST_F(RunFilesTest, DamagedWordsFromALiveSandboxAreUnavailable) {
  start();
  for (const auto& frames : {frame("no JSON"), frame(R"({"error":{"code":"corrupt","message":"m"}})")}) {
    const auto id = submit(script(frames));
    until_event(id, "agent.started");
    EXPECT_THAT(ask(id), HasSubstr("unavailable"));
    cancel(id);
    until_retired(id);
  }
}

TEST_F(RunFilesTest, RunsWithoutFilesAreToldApart) {
  const auto queued = submit(simple_script);
  EXPECT_EQ(ask(queued), "run_not_started");
  EXPECT_EQ(ask(model::RunId("run_nobody")), "run_not_found");
  start();
  until_retired(queued);
  const auto denied = submit(simple_script, model::ApprovalMode::block);
  until_retired(denied);
  EXPECT_EQ(ask(denied), "files_not_kept");
  ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::close_conversation(tx, queued, now()); }));
  until([&] { return WorkerTest::read([&](store::Reader& reader) { return reader.conversation(queued)->reclaimed; }); });
  EXPECT_EQ(ask(queued), "files_gone");
}

TEST_F(RunFilesTest, BytesThatAreGoneAreGone) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  const auto key = WorkerTest::read([&](store::Reader& reader) { return reader.checkpoints(id).at(0).key; });
  blobs_->remove(key);
  EXPECT_EQ(ask(id), "files_gone");
  const auto place = folder_ / "work";
  std::filesystem::create_directories(place);
  const auto in_folder = submit(simple_script, model::ApprovalMode::automatic, place.string());
  until_retired(in_folder);
  std::filesystem::remove(place);
  EXPECT_EQ(ask(in_folder), "files_gone");
  write([&](store::Transaction& tx) {
    auto changed = *tx.run(in_folder);
    changed.workspace.tree = "t1";
    tx.update_run(changed);
  });
  EXPECT_EQ(ask(in_folder), "files_gone");
  std::filesystem::create_directories(folder_ / "trees/t1/tree");
  EXPECT_EQ(ask(in_folder), "{} a base,a checkpoint");
}

TEST_F(RunFilesTest, WhatTheReaderSaysIsNotTrusted) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  const auto after = [&](std::string answer) {
    answer_ = std::move(answer);
    return ask(id);
  };
  EXPECT_EQ(after(frame("{}") + frame("half")), "{} half...");
  EXPECT_THAT(after(""), HasSubstr("unavailable"));
  EXPECT_EQ(after(frame("no JSON")), "files_gone");
  EXPECT_EQ(after("\xff\xff\xff\xff more"), "files_gone");
  EXPECT_EQ(after(frame(R"({"error":{"code":"conflict","reason":"not_a_file","message":"m"}})")), "not_a_file");
  EXPECT_THAT(after(frame(R"({"error":{"code":"denied","reason":"unauthorized","message":"m"}})")),
              HasSubstr("unavailable: m"));
  EXPECT_THAT(after(frame(R"({"error":{"code":"internal","reason":"","message":"m"}})")), HasSubstr("unavailable"));
  EXPECT_EQ(after(frame(R"({"error":{"code":"corrupt","reason":"","message":"m"}})")), "files_gone");
}

TEST_F(RunFilesTest, OneWorkspaceHasEightReadersHoweverManyAskAtOnce) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  hold(files_, id, 60);
  EXPECT_EQ(started_, 8);
  EXPECT_EQ(held_.size(), 8u);
  EXPECT_EQ(refused_.size(), 52u);
  EXPECT_THAT(refused_, ::testing::Each(HasSubstr("too many")));
  held_.clear();
  EXPECT_EQ(ask(id), "{} no base,a checkpoint");
}

TEST_F(RunFilesTest, AWorkspaceThatTakesAllItGetsLeavesReadersToOthers) {
  start();
  const auto mine = submit(simple_script), theirs = submit_in("team");
  until_retired(mine);
  until_retired(theirs);
  hold(files_, mine, 60);
  EXPECT_EQ(ask(mine).substr(0, 11), "unavailable");
  EXPECT_EQ(ask(theirs), "{} no base,a checkpoint");
}

TEST_F(RunFilesTest, AReaderThatCannotBeStartedLeavesItsPlace) {
  auto broken = needs();
  broken.start_reader = [](int, int, int, const std::string&) -> base::Result<pid_t> {
    return base::fail(base::Code::unavailable, "no process");
  };
  RunFiles files{std::move(broken)};
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ask(files, id), "unavailable: no process");
}

TEST_F(RunFilesTest, AnAnswerThatNobodyTakesIsCutAndItsPlaceIsFree) {
  auto impatient = needs();
  impatient.patience.taking.in_hand = std::chrono::milliseconds(0);
  RunFiles files{std::move(impatient)};
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  hold(files, id, 8);
  ASSERT_FALSE(held_.empty());
  until([&] { return ask(files, id) == "{} no base,a checkpoint"; });
  const auto late = testing::run_task(io_, held_[0]->next());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::Code::timeout);
  held_.clear();
}

// Another server of the store asks: it has the blobs, and nothing of the worker's machine.
class RunFilesElsewhereTest : public RunFilesTest {
 protected:
  RunFilesElsewhereTest() { config_.host = "host_1"; }
  base::Task<RunFiles::Needs::Answer> asked(std::string host, std::string request) {
    asked_.push_back(host + " " + request);
    co_return base::fail(base::Code::unavailable, "no answer", "worker_unreachable");
  }
  std::string ask_there(const model::RunId& id) {
    std::optional<std::string> said;
    asio::co_spawn(io_.get_executor(), look_there(id), [&](std::exception_ptr, std::string text) { said = text; });
    until([&] { return said.has_value(); });
    return *said;
  }
  base::Task<std::string> look_there(model::RunId id) {
    auto answer = co_await there_.ask(id, {});
    if (!answer) co_return answer.error().reason;
    co_return "read there";
  }

  std::vector<std::string> asked_;
  testing::TempDir nothing_;
  std::unique_ptr<workspace::Trees> trees_there_ =
      base::value_or_throw(workspace::Trees::open(nothing_ / "trees", {}, entropy_));
  SharedTrees shared_there_{{*store_, *blobs_, pool_, *trees_there_, unpacker_, clock_, entropy_, {}, {}}};
  RunFiles there_{{io_.get_executor(), *store_, *blobs_, pool_, nothing_.path(),
                   [this](int base, int archive, int out, const std::string& request) {
                     return read(base, archive, out, request);
                   },
                   "host_2",
                   [this](std::string host, model::RunId, std::string request) {
                     return asked(std::move(host), std::move(request));
                   },
                   &shared_there_}};
};

TEST_F(RunFilesElsewhereTest, OfALiveRunItsMachineIsAskedAndOfAnEndedOneNobody) {
  start();
  const auto id = submit(script(frame("{}") + frame("")));
  until_event(id, "agent.started");
  EXPECT_EQ(ask_there(id), "worker_unreachable");
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_THAT(asked_[0], HasSubstr("host_1 {"));
  cancel(id);
  until_retired(id);
  EXPECT_EQ(ask_there(id), "read there");
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(RunFilesElsewhereTest, AFolderOfAMachineIsReadThereAlsoAfterTheEnd) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::automatic, folder_.path().string());
  until_retired(id);
  EXPECT_EQ(ask_there(id), "worker_unreachable");
  EXPECT_EQ(asked_.size(), 1u);
}

// A tree that never came to the blobs, as they were away when the run's machine made it.
TEST_F(RunFilesElsewhereTest, ATreeThatOnlyTheRunsMachineHasIsReadThere) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  write([&](store::Transaction& tx) {
    auto changed = *tx.run(id);
    changed.workspace.tree = "upload-1-a";
    tx.update_run(changed);
  });
  EXPECT_EQ(ask_there(id), "worker_unreachable");
  EXPECT_EQ(asked_.size(), 1u);
  ASSERT_TRUE(trees_there_->make("upload-1-a", [](int) { return workspace::UnpackReport(); }));
  EXPECT_EQ(ask_there(id), "read there");
  EXPECT_EQ(asked_.size(), 1u);
}

}  // namespace
}  // namespace agentrouter::worker
