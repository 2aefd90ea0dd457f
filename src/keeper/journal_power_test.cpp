#include <gtest/gtest.h>

#include "keeper/journal.h"
#include "keeper/sim_journal_conformance.h"

namespace agentrouter::keeper {
namespace {

using testing::SimDisk;

json::object numbered_record(int i) {
  return json::object{{"i", i}, {"text", std::string(static_cast<std::size_t>(i * 97 % 700), 'x')}};
}

std::vector<JournalRecord> records_on(const SimDisk& disk) {
  const auto fd = sim_journal_fd(disk, "journal");
  return base::value_or_throw(read_journal(fd.get(), 0, disk.size("journal"), SIZE_MAX)).records;
}

// Appends up to `count` records, each fifth of them durable; says how many are known to be on the disk.
int append_all(SimDisk& disk, int count) {
  auto journal = Journal::create(sim_journal_file(disk, "journal"), base::system_clock(), {.ahead = 2048});
  int synced = 0;
  for (int i = 0; journal && i < count; ++i) {
    if (!journal->append("event", numbered_record(i))) break;
    if (i % 5 == 4 && journal->sync()) synced = i + 1;
  }
  return synced;
}

TEST(JournalPower, WhatWasSyncedIsReadBackWhereverPowerIsLost) {
  SimDisk disk(11);
  disk.cut_writes(true);
  EXPECT_EQ(append_all(disk, 30), 30);
  const auto steps = disk.steps();
  int torn = 0;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    disk.load({});
    disk.cut_writes(true);
    disk.die_at(step);
    const int synced = append_all(disk, 30);
    disk.lose_power();
    const auto records = records_on(disk);
    ASSERT_GE(static_cast<int>(records.size()), synced) << "step " << step;
    for (std::size_t i = 0; i < records.size(); ++i) {
      ASSERT_EQ(records[i].n, static_cast<std::int64_t>(i + 1));
      ASSERT_EQ(records[i].data, numbered_record(static_cast<int>(i))) << "step " << step;
    }
    torn += !records.empty() && records.back().end < disk.size("journal") ? 1 : 0;
  }
  EXPECT_GT(torn, 0) << "no tail was ever torn";
}

TEST(JournalPower, AfterAFailedSyncNoSyncSaysThatItWorked) {
  SimDisk disk;
  auto journal = base::value_or_throw(Journal::create(sim_journal_file(disk, "journal"), base::system_clock()));
  ASSERT_TRUE(journal.append("event", numbered_record(1)));
  ASSERT_TRUE(journal.sync());
  ASSERT_TRUE(journal.append("event", numbered_record(2)));
  disk.fail_syncs(1);
  EXPECT_FALSE(journal.sync());
  EXPECT_FALSE(journal.sync());
  EXPECT_TRUE(journal.append("event", numbered_record(3))) << "what can still be said is said";
  EXPECT_FALSE(journal.sync());
  disk.lose_power();
  EXPECT_GE(records_on(disk).size(), 1u);
}

TEST(JournalPower, AFlippedBitEndsTheValidPartThere) {
  SimDisk disk;
  append_all(disk, 10);
  const auto whole = records_on(disk);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    disk.flip("journal", whole[i].end - 5, 3);
    EXPECT_EQ(records_on(disk).size(), i);
    disk.flip("journal", whole[i].end - 5, 3);
  }
  EXPECT_EQ(records_on(disk).size(), whole.size());
}

TEST(JournalPower, ItIsTightBeforeItIsFullAndAsksAgain) {
  SimDisk disk;
  constexpr JournalLimits limits{.ahead = 64u << 10, .reserve = 8u << 10};
  auto journal = base::value_or_throw(
      Journal::create(sim_journal_file(disk, "journal"), base::system_clock(), limits));
  disk.set_capacity(limits.ahead + limits.reserve);
  while (!journal.is_tight()) ASSERT_TRUE(journal.append("event", numbered_record(7)));
  EXPECT_LT(journal.length(), limits.ahead / 2 + 1024);
  EXPECT_FALSE(journal.relieve());
  const auto tight_at = journal.length();
  while (journal.append("event", numbered_record(7))) {
  }
  EXPECT_GT(journal.length(), tight_at + limits.ahead / 4) << "there is room for what is under way";
  EXPECT_TRUE(journal.append_last("exit", {}));
  disk.heal();
  EXPECT_TRUE(journal.relieve());
  EXPECT_FALSE(journal.is_tight());
  EXPECT_TRUE(journal.append("event", numbered_record(7)));
}

}  // namespace
}  // namespace agentrouter::keeper
