#pragma once
// The journal of an attempt (docs/formats/journal.md): one checksummed line per record, appended by the
// keeper alone and read by the worker from its committed offset. It is the truth of the attempt: what is in
// it has happened, and what is not in it may be done again.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "keeper/journal_file.h"

namespace agentrouter::keeper {

inline constexpr int journal_protocol = 1;

// The most that one record may be, for readers too.
inline constexpr std::size_t journal_record_bytes = 32u << 20;

struct JournalLimits {
  std::uint64_t bytes = 1ull << 30;
  std::uint64_t ahead = 1u << 20;      // preallocated beyond the end
  std::uint64_t reserve = 256u << 10;  // only `append_last` may use it
  std::size_t record_bytes = journal_record_bytes;
};

class Journal {
 public:
  // An empty file. Errors: exhausted (storage_full) when the reserve cannot be had.
  [[nodiscard]] static base::Result<Journal> create(std::unique_ptr<JournalFile> file,
                                                    const base::Clock& clock, JournalLimits limits = {});

  // One write, no sync. A record that could not be written whole is not there: the next one takes its place.
  //
  // Errors: exhausted (storage_full) when the disk or the limit is reached; nothing is then appended, the
  // reserve is still there, and trying again later may work. invalid: the record is too large.
  [[nodiscard]] base::Result<void> append(std::string_view kind, json::object data);
  // The same, from the reserve: for `exit`.
  [[nodiscard]] base::Result<void> append_last(std::string_view kind, json::object data);
  // Everything appended so far is on the disk when it returns.
  [[nodiscard]] base::Result<void> sync();

  // There is no more room on the disk than what was preallocated: whoever can should stop before that is used
  // up, too. Said from the first append on that finds less than half of `ahead` left.
  [[nodiscard]] bool is_tight() const { return tight_; }
  // Asks the disk again; true when it has room.
  bool relieve();

  // Bytes of whole records.
  [[nodiscard]] std::uint64_t length() const { return length_; }
  [[nodiscard]] JournalFile& file() { return *file_; }

 private:
  Journal(std::unique_ptr<JournalFile> file, const base::Clock& clock, JournalLimits limits);
  base::Result<void> write(std::string_view kind, json::object data, std::uint64_t kept_back);
  base::Result<void> write_line(std::string_view line);
  base::Result<void> extend(std::uint64_t end);

  std::unique_ptr<JournalFile> file_;
  const base::Clock* clock_;
  JournalLimits limits_;
  std::uint64_t length_ = 0;
  std::uint64_t allocated_ = 0;
  bool tight_ = false;
  std::int64_t last_n_ = 0;
};

struct JournalRecord {
  std::int64_t n = 0;
  std::string kind;
  base::Time time;
  json::object data;
  std::uint64_t end = 0;  // offset behind it
};

struct JournalSlice {
  std::vector<JournalRecord> records;
  std::uint64_t end = 0;  // where to go on
  bool more = false;      // it stopped because the slice was full
};

// Reads whole valid records of [from, to) until about `slice_bytes` of them are there. Stops without an error
// at the first record that is cut, broken or out of number; `end` is then behind the last valid one. The
// number of a slice's first record follows that of the record before `from`, which is read once more for it;
// where that one was damaged after it was read, what it had is not told again and the first number is taken
// as it is.
//
// `from` is 0 or the `end` of an earlier slice. Errors: corrupt when nothing valid ends at `from` (the store
// is ahead of the disk: the attempt is lost), that of read(2).
[[nodiscard]] base::Result<JournalSlice> read_journal(int fd, std::uint64_t from, std::uint64_t to,
                                                      std::size_t slice_bytes = 1u << 20);

// One record as it stands in the file, with its line end.
[[nodiscard]] std::string journal_line(std::int64_t n, std::string_view kind, base::Time time,
                                       json::object data);

}  // namespace agentrouter::keeper
