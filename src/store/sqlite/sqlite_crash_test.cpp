#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <limits>
#include <map>

#include "base/fd.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

constexpr int acknowledgements = 3;  // the child's end of the pipe
constexpr int runs = 8;

std::string name_of(int run) {
  return "run " + std::to_string(run);
}

// Appends for ever and says so after each acknowledgement: "<run> <sequence>\n".
base::Task<void> append_for_ever(Store& store, int run) {
  while (true) {
    const auto event = co_await store.write([run](Transaction& tx) {
      const auto id = testing::run_id(name_of(run));
      if (!tx.run(id)) tx.insert_run(testing::make_run(name_of(run)));
      return tx.append(
          id, testing::make_draft("agent.progress", R"({"text":")" + std::string(700, 'x') + R"("})"));
    });
    const auto line = std::to_string(run) + " " + std::to_string(event.sequence) + "\n";
    if (!base::write_all(acknowledgements, line)) co_return;
  }
}

// What the parent starts and kills. Run on its own it does nothing.
TEST(CrashChild, DISABLED_WritesUntilKilled) {
  if (::fcntl(acknowledgements, F_GETFD) == -1) GTEST_SKIP() << "started by SqliteCrash only";
  asio::io_context io;
  const auto store = base::value_or_throw(open_sqlite_store(
      "a.db", {.wal_cap_bytes = 256 << 10, .checkpoint_delay = std::chrono::milliseconds(5)}));
  for (int run = 0; run < runs; ++run) {
    asio::co_spawn(io.get_executor(), append_for_ever(*store, run), [](std::exception_ptr error) {
      if (error) std::abort();
    });
  }
  io.run();
}

class SqliteCrash : public ::testing::Test {
 protected:
  pid_t start(const testing::TempDir& folder, base::Fd& pipe_end) {
    auto pipe = base::value_or_throw(base::make_pipe());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.path().c_str());
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe.second.get(), acknowledgements);
    std::string program = "store_test";
    std::string filter = "--gtest_filter=CrashChild.*";
    std::string disabled = "--gtest_also_run_disabled_tests";
    char* argv[] = {program.data(), filter.data(), disabled.data(), nullptr};
    // The child's one test is in no other part of the suite than this one.
    for (const char* part : {"GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX"}) ::unsetenv(part);
    pid_t child = 0;
    EXPECT_EQ(::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv, ::environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    pipe_end = std::move(pipe.first);
    return child;
  }
  void kill(pid_t child) {
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
  }
  // Reads acknowledgements until there were `count` or the pipe ends.
  void read_acknowledgements(int pipe, int count) {
    char buffer[4096];
    while (count > 0) {
      const ssize_t got = ::read(pipe, buffer, sizeof buffer);
      if (got <= 0) break;
      text_.append(buffer, static_cast<std::size_t>(got));
      for (auto end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
        const int run = std::stoi(text_);
        acknowledged_[run] = std::stoll(text_.substr(text_.find(' ')));
        text_.erase(0, end + 1);
        --count;
      }
    }
  }
  void read_the_rest(int pipe) {
    read_acknowledgements(pipe, std::numeric_limits<int>::max());
    text_.clear();  // a line that was cut by the kill
  }
  // Every acknowledged event is there, and each run's events are 1..lastEventSeq.
  void check(const testing::TempDir& folder) {
    const auto store = base::value_or_throw(open_sqlite_store(folder / "a.db"));
    for (int run = 0; run < runs; ++run) {
      testing::run_task(io_, store->read([&](Reader& reader) {
        const auto id = testing::run_id(name_of(run));
        const auto found = reader.run(id);
        const auto events = reader.events(id, 0, 1'000'000);
        EXPECT_EQ(found ? found->last_event_seq : 0, static_cast<model::Seq>(events.size()));
        EXPECT_GE(static_cast<model::Seq>(events.size()), acknowledged_[run]);
        for (std::size_t i = 0; i < events.size(); ++i)
          ASSERT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
      }));
    }
  }

  asio::io_context io_;
  std::string text_;
  std::map<int, model::Seq> acknowledged_;
};

TEST_F(SqliteCrash, WhatWasAcknowledgedSurvivesKillAtManyPoints) {
  testing::TempDir folder;
  for (int round = 0; round < 16; ++round) {
    base::Fd pipe;
    const auto child = start(folder, pipe);
    read_acknowledgements(pipe.get(), 1 + round * 7 % 83);
    kill(child);
    read_the_rest(pipe.get());
    check(folder);
    if (HasFailure()) return;
  }
  EXPECT_GT(acknowledged_[0], 20);
}

TEST_F(SqliteCrash, AKillWhileTheDatabaseIsMadeLeavesOneThatOpens) {
  for (int round = 0; round < 6; ++round) {
    testing::TempDir folder;
    base::Fd pipe;
    const auto child = start(folder, pipe);
    // Watch the file come into being; kill at another size each time.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::error_code missing;
    while (std::filesystem::file_size(folder / "a.db", missing) + 1 <=
               static_cast<std::uintmax_t>(round) * 1000 ||
           missing) {
      if (std::chrono::steady_clock::now() > deadline) break;
      missing.clear();
    }
    kill(child);
    read_the_rest(pipe.get());
    check(folder);
    acknowledged_.clear();
    if (HasFailure()) return;
  }
}

}  // namespace

}  // namespace agentrouter::store
