#pragma once
// For tests: a journal on a simulated disk (testing/sim_disk.h), and a descriptor with what a reader of it
// would find now.
//
//   Journal::create(sim_journal_file(disk, "journal"), clock);
//   disk.lose_power();
//   read_journal(sim_journal_fd(disk, "journal").get(), 0, disk.size("journal"));

#include <sys/mman.h>

#include "keeper/journal_file.h"
#include "testing/sim_disk.h"

namespace agentrouter::keeper {

class SimJournalFile final : public JournalFile {
 public:
  SimJournalFile(testing::SimDisk& disk, std::string name) : disk_(disk), name_(std::move(name)) {}

  base::Result<std::size_t> write_at(std::uint64_t offset, std::string_view bytes) override {
    std::size_t written = 0;
    const auto status = disk_.write(name_, offset, bytes, written);
    if (written > 0) return written;
    return tl::unexpected(error_of(status));
  }
  base::Result<void> allocate(std::uint64_t size) override { return checked(disk_.allocate(name_, size)); }

 protected:
  base::Result<void> sync_once() override { return checked(disk_.sync(name_)); }

 private:
  using Status = testing::SimDisk::Status;
  static base::Error error_of(Status status) {
    if (status == Status::full) return {base::Code::exhausted, "the simulated disk is full", "storage_full"};
    return {base::Code::unavailable, "the simulated disk refuses"};
  }
  static base::Result<void> checked(Status status) {
    if (status != Status::ok) return tl::unexpected(error_of(status));
    return {};
  }

  testing::SimDisk& disk_;
  std::string name_;
};

[[nodiscard]] inline std::unique_ptr<JournalFile> sim_journal_file(testing::SimDisk& disk, std::string name) {
  return std::make_unique<SimJournalFile>(disk, std::move(name));
}

[[nodiscard]] inline base::Fd sim_journal_fd(const testing::SimDisk& disk, const std::string& name) {
  base::Fd fd(::memfd_create("journal", MFD_CLOEXEC));
  base::value_or_throw(base::write_all(fd.get(), disk.content(name)));
  return fd;
}

}  // namespace agentrouter::keeper
