#include "store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/schema.h"
#include "testing/builders.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

class SqliteFile : public ::testing::Test {
 protected:
  void open(SqliteOptions options = {}) {
    store_.reset();
    store_ = base::value_or_throw(open_sqlite_store(path(), options));
  }
  std::string refusal() {
    const auto opened = open_sqlite_store(path());
    return opened ? "opened" : opened.error().reason;
  }
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "a.db"; }
  [[nodiscard]] std::filesystem::path wal() const { return folder_ / "a.db-wal"; }
  void insert(std::string_view name) {
    testing::run_task(io_, store_->write([&](Transaction& tx) { tx.insert_run(testing::make_run(name)); }));
  }
  void append(std::size_t payload_bytes) {
    testing::run_task(io_, store_->write([&](Transaction& tx) {
      const auto payload = R"({"text":")" + std::string(payload_bytes, 'x') + R"("})";
      tx.append(testing::run_id("a"), testing::make_draft("agent.progress", payload));
    }));
  }
  std::size_t events() {
    return testing::run_task(io_, store_->read([](Reader& reader) {
      return reader.events(testing::run_id("a"), 0, 100'000).size();
    }));
  }
  // True when `condition` holds within ten seconds.
  static bool eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  static unsigned mode(const std::filesystem::path& file) {
    struct stat info{};
    return ::stat(file.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

  testing::TempDir folder_;
  asio::io_context io_;
  std::unique_ptr<Store> store_;
};

TEST_F(SqliteFile, ASecondOwnerIsRefusedUntilTheFirstIsGone) {
  open();
  EXPECT_EQ(refusal(), "data_in_use");
  store_.reset();
  EXPECT_EQ(refusal(), "opened");
}

// Holds a copy of every descriptor of this process, as what a launch clones does for a moment.
TEST_F(SqliteFile, AChildWithACopyOfTheLocksDescriptorDoesNotHoldIt) {
  open();
  const auto child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  store_.reset();
  EXPECT_EQ(refusal(), "opened");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(SqliteFile, AnotherProcessIsRefused) {
  open();
  const auto child = ::fork();
  if (child == 0) {
    struct flock whole{};
    whole.l_type = F_WRLCK;
    const int fd = ::open((folder_ / "store.lock").c_str(), O_RDWR);
    ::_exit(fd >= 0 && ::fcntl(fd, F_SETLK, &whole) != 0 && errno == EAGAIN ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(SqliteFile, ANewerSchemaIsRefusedAndLeftAsItIs) {
  open();
  insert("a");
  store_.reset();
  {
    Connection connection(path(), checked_vfs(""));
    connection.execute("PRAGMA user_version = 99");
  }
  const auto before = base::value_or_throw(base::read_file(path()));
  const auto refused = open_sqlite_store(path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::unsupported);
  EXPECT_EQ(refused.error().reason, "schema_newer");
  EXPECT_EQ(base::value_or_throw(base::read_file(path())), before);
}

TEST_F(SqliteFile, TheSchemaVersionIsRecordedAndOpeningAgainChangesNothing) {
  open();
  store_.reset();
  for (int i = 0; i < 2; ++i) {
    Connection connection(path(), "");
    auto version = connection.statement("PRAGMA user_version");
    ASSERT_TRUE(version.step());
    EXPECT_EQ(version.integer(0), schema_version());
    EXPECT_EQ(refusal(), "opened");
  }
}

TEST_F(SqliteFile, AFileThatIsNoDatabaseIsRefused) {
  std::ofstream(path()) << std::string(8192, 'x');
  const auto refused = open_sqlite_store(path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::corrupt);
  EXPECT_EQ(refused.error().reason, "store_corrupt");
}

TEST_F(SqliteFile, AnotherProgramsDatabaseIsRefused) {
  std::ofstream(path()).close();
  {
    Connection connection(path(), "");
    connection.execute("CREATE TABLE theirs (x)");
  }
  EXPECT_EQ(refusal(), "store_corrupt");
}

TEST_F(SqliteFile, DamagedPagesAreAnErrorNotNonsense) {
  open();
  insert("a");
  for (int i = 0; i < 50; ++i) append(2000);
  store_.reset();
  {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    const auto size = std::filesystem::file_size(path());
    file << std::string(size - 4096, '\xff');
  }
  std::string reason = "read";
  try {
    open();
    (void)events();
  } catch (const base::Failure& failure) {
    reason = failure.error().reason;
  }
  EXPECT_EQ(reason, "store_corrupt");
}

TEST_F(SqliteFile, AMissingOrForbiddenFolderIsNamed) {
  const auto missing = open_sqlite_store(folder_ / "no/a.db");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Code::not_found);
  EXPECT_NE(missing.error().message.find("no/store.lock"), std::string::npos);
  if (::geteuid() == 0) return;  // root may write anywhere
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0500), 0);
  const auto forbidden = open_sqlite_store(path());
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().code, base::Code::denied);
}

TEST_F(SqliteFile, OnlyTheOwnerCanReadIt) {
  open();
  insert("a");
  EXPECT_EQ(mode(path()), 0600u);
  EXPECT_EQ(mode(wal()), 0600u);
  EXPECT_EQ(mode(folder_ / "store.lock"), 0600u);
}

TEST_F(SqliteFile, CommitsAreCheckpointedBesideTheWriter) {
  open({.checkpoint_delay = std::chrono::milliseconds(1)});
  insert("a");
  const auto before = std::filesystem::file_size(path());
  for (int i = 0; i < 20; ++i) append(4000);
  EXPECT_TRUE(eventually([&] { return std::filesystem::file_size(path()) >= before + 20 * 4000; }));
  EXPECT_EQ(events(), 20u);
}

TEST_F(SqliteFile, TheWalStaysUnderItsCap) {
  open({.wal_cap_bytes = 256 << 10, .checkpoint_delay = std::chrono::hours(1)});
  insert("a");
  std::uintmax_t largest = 0;
  for (int i = 0; i < 100; ++i) {
    append(30'000);
    largest = std::max(largest, std::filesystem::file_size(wal()));
  }
  EXPECT_LT(largest, 400u << 10);
  EXPECT_EQ(events(), 100u);
}

TEST_F(SqliteFile, AReaderInTheWayOfTheCapStopsNobody) {
  open({.wal_cap_bytes = 64 << 10, .checkpoint_delay = std::chrono::hours(1)});
  insert("a");
  asio::io_context beside;
  const auto seen = testing::run_task(io_, store_->read([&](Reader& reader) {
    const auto before = reader.events(testing::run_id("a"), 0, 1000).size();
    for (int i = 0; i < 10; ++i) {
      testing::run_task(beside, store_->write([](Transaction& tx) {
        tx.append(testing::run_id("a"),
                  testing::make_draft("x", R"({"t":")" + std::string(30'000, 'x') + R"("})"));
      }));
    }
    return before + reader.events(testing::run_id("a"), 0, 1000).size();
  }));
  EXPECT_EQ(seen, 0u);
  append(10);
  EXPECT_EQ(events(), 11u);
  store_.reset();
}

TEST_F(SqliteFile, ClosingCommitsWhatIsQueued) {
  open();
  insert("a");
  int done = 0;
  for (int i = 0; i < 200; ++i) {
    asio::co_spawn(io_.get_executor(), store_->write([](Transaction& tx) {
      tx.append(testing::run_id("a"), testing::make_draft("agent.progress"));
    }),
                   [&](std::exception_ptr error) { done += error ? 0 : 1; });
  }
  io_.restart();
  io_.poll();
  store_->close();
  io_.run();
  EXPECT_EQ(done, 200);
  open();
  EXPECT_EQ(events(), 200u);
}

}  // namespace

}  // namespace agentrouter::store
