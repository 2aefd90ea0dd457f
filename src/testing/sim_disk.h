#pragma once
// A simulated disk: files in memory that lose power, fill up, refuse, and rot, all of it decided by a seed and
// by counting, so that a failing case can be played again. What was not synced survives a loss of power in any
// subset and order of sectors; what a sync has confirmed survives whole.
//
//   testing::SimDisk disk(seed);
//   store::SimVfs vfs(disk);                          // store/sqlite/sim_vfs_conformance.h: SQLite on it
//   open_sqlite_store(path, {.vfs = vfs.name()});
//   keeper::sim_journal_file(disk, "journal");        // keeper/sim_journal_conformance.h: a journal on it
//   disk.die_at(n);                                   // the n-th write, truncation or sync is the last thing
//   ... drive until everything fails, close what is open ...
//   disk.lose_power();                                // what a machine finds after it was switched on again
//
// Crash points at every write: run the scenario once, take steps(), and repeat it with die_at(1..steps()).
//
// Files are named by whatever text the caller uses. A sync of a file also makes its name durable, as ext4, xfs
// and btrfs do; a removal is durable at once. Sectors are written whole or not at all. Safe from any thread.

#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::testing {

class SimDisk {
 public:
  static constexpr std::uint64_t sector = 512;

  enum class Status {
    ok,
    full,       // ENOSPC
    io,         // EIO, and all there is after die_at()
    read_only,  // EROFS
    missing,
  };

  explicit SimDisk(std::uint64_t seed = 1) : random_(seed) {}

  // What programs do with files. A write, an allocation or a truncation makes a file that is not there.
  [[nodiscard]] bool exists(const std::string& name) const;
  // `written` may be less than was asked for, also at Status::full: as pwrite(2).
  [[nodiscard]] Status write(const std::string& name, std::uint64_t offset, std::string_view bytes,
                             std::size_t& written);
  // Up to `size` bytes; fewer at the end of the file.
  [[nodiscard]] Status read(const std::string& name, std::uint64_t offset, std::size_t size,
                            std::string& bytes) const;
  [[nodiscard]] Status truncate(const std::string& name, std::uint64_t size);
  [[nodiscard]] Status allocate(const std::string& name, std::uint64_t size);
  [[nodiscard]] Status sync(const std::string& name);
  [[nodiscard]] Status remove(const std::string& name);
  // Over what has the name already; durable at once, as with a sync of the folder. Bytes that were not synced stay
  // so.
  [[nodiscard]] Status rename(const std::string& from, const std::string& to);
  [[nodiscard]] std::uint64_t size(const std::string& name) const;
  // What a program reads now; empty when there is no such file.
  [[nodiscard]] std::string content(const std::string& name) const;

  // Faults. Each holds until heal() or until it is set anew; steps are writes, truncations and syncs.
  void die_at(std::uint64_t step);
  // All files together may have so many bytes; what is there stays.
  void set_capacity(std::uint64_t bytes);
  // The next `count` syncs fail (of the file `only`, if it is given). As on Linux, what they were to write may be lost for good: it is read as if
  // it were there, but a later sync that succeeds does not write it.
  void fail_syncs(int count, std::string only = {});
  // Writes fail from the `after`-th on, with io, full or read_only.
  void fail_writes(Status status, int after = 1);
  // Reads fail with io.
  void fail_reads(bool fail);
  // Writes are cut at random places, as pwrite(2) may.
  void cut_writes(bool cut);
  // Syncs say that they worked and do nothing: a disk that lies, or a program without them.
  void drop_syncs(bool drop);
  void heal();

  // Loss of power: what is left of unsynced writes is drawn, die_at() and all faults are over. Whoever had
  // files open has to open them anew.
  void lose_power();
  // The files by name, and a disk without faults that holds just these, all of them synced.
  using Image = std::map<std::string, std::string>;
  [[nodiscard]] Image image() const;
  void load(const Image& image);
  // One bit changes, on the disk and for readers.
  void flip(const std::string& name, std::uint64_t offset, int bit);

  [[nodiscard]] std::uint64_t steps() const;
  [[nodiscard]] std::uint64_t syncs() const;
  [[nodiscard]] bool all_synced() const;

 private:
  // Bytes of one sector, or the file's new length.
  struct Change {
    std::uint64_t offset = 0;
    std::string bytes;
    bool cuts = false;
  };
  struct File {
    std::string now;
    std::string durable;
    bool named = false;  // its name is durable
    std::uint64_t allocated = 0;
    std::vector<Change> pending;
  };

  Status step();
  [[nodiscard]] std::uint64_t used() const;
  static void apply(std::string& bytes, const Change& change);
  void settle(File& file);

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::map<std::string, File> files_;
  std::uint64_t steps_ = 0;
  std::uint64_t syncs_ = 0;
  std::uint64_t last_step_ = UINT64_MAX;
  std::uint64_t capacity_ = UINT64_MAX;
  int syncs_to_fail_ = 0;
  std::string fails_only_;  // empty: any file
  int writes_left_ = -1;  // until they fail; below 0: for ever
  Status write_status_ = Status::ok;
  bool reads_fail_ = false;
  bool cuts_ = false;
  bool drops_syncs_ = false;
};

}  // namespace agentrouter::testing
