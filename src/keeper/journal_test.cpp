#include "keeper/journal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace agentrouter::keeper {
namespace {

class FixedClock final : public base::Clock {
 public:
  [[nodiscard]] base::Time now() const override {
    return base::Time(std::chrono::milliseconds(1'700'000'000'123));
  }
};

// A file in memory whose disk can be full and whose writes can be short.
struct MemoryDisk {
  std::string bytes;
  std::uint64_t allocated = 0;
  std::uint64_t capacity = 1u << 30;
  std::size_t write_at_most = SIZE_MAX;
  int writes_until_failure = -1;
  int syncs = 0;
};

class MemoryFile final : public JournalFile {
 public:
  explicit MemoryFile(MemoryDisk& disk) : disk_(disk) {}
  base::Result<std::size_t> write_at(std::uint64_t offset, std::string_view bytes) override {
    if (disk_.writes_until_failure == 0)
      return base::fail(base::Code::exhausted, "disk full", "storage_full");
    if (disk_.writes_until_failure > 0) --disk_.writes_until_failure;
    bytes = bytes.substr(0, disk_.write_at_most);
    if (disk_.bytes.size() < offset + bytes.size()) disk_.bytes.resize(offset + bytes.size());
    disk_.bytes.replace(offset, bytes.size(), bytes);
    return bytes.size();
  }
  base::Result<void> allocate(std::uint64_t size) override {
    if (size > disk_.capacity) return base::fail(base::Code::exhausted, "disk full", "storage_full");
    disk_.allocated = std::max(disk_.allocated, size);
    return {};
  }

 protected:
  base::Result<void> sync_once() override {
    ++disk_.syncs;
    return {};
  }

 private:
  MemoryDisk& disk_;
};

base::Fd memory_fd(std::string_view bytes) {
  base::Fd fd(::memfd_create("journal", MFD_CLOEXEC));
  EXPECT_TRUE(base::write_all(fd.get(), bytes));
  return fd;
}

class JournalTest : public ::testing::Test {
 protected:
  Journal open(JournalLimits limits = {}) {
    return base::value_or_throw(Journal::create(std::make_unique<MemoryFile>(disk_), clock_, limits));
  }
  static json::object numbered(int i) { return json::object{{"i", i}, {"text", "line\nend \"quoted\""}}; }
  static JournalSlice read(std::string_view bytes, std::uint64_t from = 0, std::size_t slice = 1u << 20) {
    const base::Fd fd = memory_fd(bytes);
    return base::value_or_throw(read_journal(fd.get(), from, bytes.size(), slice));
  }
  static std::vector<std::int64_t> numbers(const JournalSlice& slice) {
    std::vector<std::int64_t> all;
    for (const auto& record : slice.records) all.push_back(record.n);
    return all;
  }
  std::string three_records() {
    Journal journal = open();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(journal.append("event", numbered(i)));
    return disk_.bytes;
  }

  FixedClock clock_;
  MemoryDisk disk_;
};

TEST_F(JournalTest, WhatIsAppendedIsReadBack) {
  Journal journal = open();
  ASSERT_TRUE(journal.append("hello", {{"protocol", 1}}));
  ASSERT_TRUE(journal.append("event", numbered(7)));
  EXPECT_EQ(journal.length(), disk_.bytes.size());
  const auto slice = read(disk_.bytes);
  ASSERT_EQ(slice.records.size(), 2u);
  EXPECT_EQ(slice.records[0].kind, "hello");
  EXPECT_EQ(slice.records[0].time, clock_.now());
  EXPECT_EQ(slice.records[1].n, 2);
  EXPECT_EQ(slice.records[1].data, numbered(7));
  EXPECT_EQ(slice.end, disk_.bytes.size());
  EXPECT_FALSE(slice.more);
}

TEST_F(JournalTest, TornTailIsLeftOutWhereverItIsCut) {
  const std::string bytes = three_records();
  const auto whole = read(bytes);
  const std::uint64_t second = whole.records[1].end;
  for (std::size_t cut = second; cut < bytes.size(); ++cut) {
    const auto slice = read(bytes.substr(0, cut));
    EXPECT_THAT(numbers(slice), ::testing::ElementsAre(1, 2)) << cut;
    EXPECT_EQ(slice.end, second);
  }
}

TEST_F(JournalTest, BrokenRecordEndsTheValidPart) {
  const std::string bytes = three_records();
  const auto whole = read(bytes);
  for (std::size_t at = whole.records[0].end; at < whole.records[1].end; ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string broken = bytes;
      broken[at] = static_cast<char>(broken[at] ^ (1 << bit));
      const auto slice = read(broken);
      EXPECT_THAT(numbers(slice), ::testing::ElementsAre(1)) << at << " bit " << bit;
    }
  }
}

TEST_F(JournalTest, RecordOutOfNumberEndsTheValidPart) {
  const std::string bytes =
      journal_line(1, "event", clock_.now(), {}) + journal_line(3, "event", clock_.now(), {});
  EXPECT_THAT(numbers(read(bytes)), ::testing::ElementsAre(1));
  EXPECT_TRUE(read(journal_line(2, "event", clock_.now(), {})).records.empty());
}

TEST_F(JournalTest, RecordOutOfNumberIsSeenAtTheBorderOfASlice) {
  for (const std::size_t size : {10u, 3000u, 5000u, 700'000u}) {
    const std::string first = journal_line(1, "event", clock_.now(), {}) +
                              journal_line(2, "event", clock_.now(), {{"text", std::string(size, 'x')}});
    EXPECT_TRUE(read(first + journal_line(4, "event", clock_.now(), {}), first.size()).records.empty())
        << size;
    EXPECT_TRUE(read(first + journal_line(2, "event", clock_.now(), {}), first.size()).records.empty())
        << size;
    EXPECT_THAT(numbers(read(first + journal_line(3, "event", clock_.now(), {}), first.size())),
                ::testing::ElementsAre(3))
        << size;
  }
}

TEST_F(JournalTest, DamageOfWhatWasReadDoesNotEndWhatFollows) {
  std::string bytes = three_records();
  const auto whole = read(bytes);
  const auto second = whole.records[0].end;
  for (std::size_t at = second; at < second + 20; ++at) {
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ 1);
    const auto rest = numbers(read(broken, whole.records[1].end));
    EXPECT_THAT(rest, ::testing::ElementsAre(3)) << at;
  }
}

TEST_F(JournalTest, ReadingGoesOnFromTheEndOfEachRecord) {
  const std::string bytes = three_records();
  const auto whole = read(bytes);
  EXPECT_THAT(numbers(read(bytes, whole.records[0].end)), ::testing::ElementsAre(2, 3));
  EXPECT_THAT(numbers(read(bytes, whole.records[1].end)), ::testing::ElementsAre(3));
  EXPECT_TRUE(read(bytes, bytes.size()).records.empty());
}

TEST_F(JournalTest, OffsetBeyondTheDiskIsCorrupt) {
  const std::string bytes = three_records();
  const base::Fd fd = memory_fd(bytes);
  for (const std::uint64_t from : {bytes.size() + 1, bytes.size() - 3, bytes.size() + 4096}) {
    const auto slice = read_journal(fd.get(), from, bytes.size() + 8192);
    ASSERT_FALSE(slice) << from;
    EXPECT_EQ(slice.error().code, base::Code::corrupt);
  }
}

TEST_F(JournalTest, SlicesAreBoundedAndSayThatThereIsMore) {
  Journal journal = open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(journal.append("event", {{"text", std::string(1000, 'x')}}));
  std::uint64_t from = 0;
  std::size_t records = 0;
  int slices = 0;
  for (bool more = true; more; ++slices) {
    const auto slice = read(disk_.bytes, from, 10'000);
    EXPECT_LE(slice.records.size(), 10u);
    records += slice.records.size();
    from = slice.end;
    more = slice.more;
  }
  EXPECT_EQ(records, 100u);
  EXPECT_GE(slices, 10);
}

TEST_F(JournalTest, RecordLargerThanTheReadBufferIsReadWhole) {
  Journal journal = open();
  ASSERT_TRUE(journal.append("event", {{"text", std::string(600u << 10, 'x')}}));
  ASSERT_TRUE(journal.append("event", numbered(1)));
  EXPECT_THAT(numbers(read(disk_.bytes, 0, 1000)), ::testing::ElementsAre(1));
  EXPECT_THAT(numbers(read(disk_.bytes)), ::testing::ElementsAre(1, 2));
}

TEST_F(JournalTest, ShortWritesAreCarriedOn) {
  disk_.write_at_most = 7;
  Journal journal = open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(journal.append("event", numbered(i)));
  EXPECT_THAT(numbers(read(disk_.bytes)), ::testing::ElementsAre(1, 2, 3));
}

TEST_F(JournalTest, WriteThatFailsHalfWayLeavesNoRecordAndTheNextTakesItsPlace) {
  Journal journal = open();
  ASSERT_TRUE(journal.append("event", numbered(0)));
  const auto length = journal.length();
  disk_.write_at_most = 20;
  disk_.writes_until_failure = 2;
  const auto failed = journal.append("event", numbered(1));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, base::Code::exhausted);
  EXPECT_EQ(failed.error().reason, "storage_full");
  EXPECT_EQ(journal.length(), length);
  EXPECT_THAT(numbers(read(disk_.bytes)), ::testing::ElementsAre(1));

  disk_.write_at_most = SIZE_MAX;
  disk_.writes_until_failure = -1;
  ASSERT_TRUE(journal.append_last("exit", {}));
  const auto slice = read(disk_.bytes);
  EXPECT_THAT(numbers(slice), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(slice.records.back().kind, "exit");
}

TEST_F(JournalTest, FullDiskKeepsTheReserveForTheLastRecord) {
  disk_.capacity = 64u << 10;
  const JournalLimits limits{.bytes = 1u << 20, .ahead = 16u << 10, .reserve = 8u << 10};
  Journal journal = open(limits);
  int appended = 0;
  base::Result<void> last;
  while ((last = journal.append("event", {{"text", std::string(1000, 'x')}}))) ++appended;
  EXPECT_EQ(last.error().reason, "storage_full");
  EXPECT_GT(appended, 8);
  EXPECT_LE(journal.length() + limits.reserve, disk_.allocated);
  EXPECT_TRUE(journal.append_last("exit", {{"outcome", "failed"}}));
  EXPECT_EQ(read(disk_.bytes).records.back().kind, "exit");
}

TEST_F(JournalTest, LimitKeepsTheReserveForTheLastRecord) {
  const JournalLimits limits{.bytes = 64u << 10, .ahead = 1u << 20, .reserve = 8u << 10};
  Journal journal = open(limits);
  base::Result<void> last;
  while ((last = journal.append("event", {{"text", std::string(1000, 'x')}}))) {
  }
  EXPECT_EQ(last.error().code, base::Code::exhausted);
  EXPECT_LE(journal.length(), limits.bytes - limits.reserve);
  EXPECT_TRUE(journal.append_last("exit", {{"responseText", std::string(4000, 'x')}}));
  EXPECT_FALSE(journal.append_last("exit", {{"responseText", std::string(9000, 'x')}}));
}

TEST_F(JournalTest, NoReserveNoJournal) {
  disk_.capacity = 1000;
  const auto journal = Journal::create(std::make_unique<MemoryFile>(disk_), clock_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().reason, "storage_full");
}

TEST_F(JournalTest, TooLargeARecordIsRefused) {
  Journal journal = open({.record_bytes = 1000});
  const auto refused = journal.append("event", {{"text", std::string(1000, 'x')}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::invalid);
  EXPECT_EQ(journal.length(), 0u);
}

TEST_F(JournalTest, FileOnDiskIsPreallocatedWithoutGrowing) {
  std::string path = ::testing::TempDir() + "journal_XXXXXX";
  base::Fd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd);
  ::unlink(path.c_str());
  base::Fd reader(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  auto journal = base::value_or_throw(Journal::create(open_journal_file(std::move(fd)), clock_));
  ASSERT_TRUE(journal.append("event", numbered(1)));
  ASSERT_TRUE(journal.sync());
  EXPECT_EQ(::lseek(reader.get(), 0, SEEK_END), static_cast<off_t>(journal.length()));
  const auto slice = read_journal(reader.get(), 0, journal.length());
  ASSERT_TRUE(slice);
  EXPECT_EQ(slice->records.size(), 1u);
}

}  // namespace
}  // namespace agentrouter::keeper
