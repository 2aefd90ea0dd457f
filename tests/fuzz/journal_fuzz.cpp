// covers: src/keeper/journal_reader.cpp
// A journal of arbitrary bytes, with whole records at its beginning: whatever follows, these are read, in
// small slices as in one, and what is read behind them is numbered without a gap. The first byte says how
// many records are whole, and whether each line that follows gets the checksum that it should have.
#include <cstdio>
#include <vector>

#include "base/hash.h"
#include "bytes_file.h"
#include "keeper/journal.h"
#include "require.h"

using namespace agentrouter;

namespace {

std::vector<keeper::JournalRecord> read_all(int fd, std::uint64_t size, std::size_t slice_bytes) {
  std::vector<keeper::JournalRecord> records;
  std::uint64_t at = 0;
  for (;;) {
    auto slice = keeper::read_journal(fd, at, size, slice_bytes);
    require(slice.has_value() && slice->end >= at && slice->end <= size);
    for (auto& record : slice->records) records.push_back(std::move(record));
    if (!slice->more) return records;
    require(slice->end > at);
    at = slice->end;
  }
}

std::string with_checksums(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    char checksum[16];
    std::snprintf(checksum, sizeof checksum, "%08x ", base::crc32c(line));
    lines.append(checksum).append(line).append("\n");
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::string bytes;
  const std::size_t good = data[0] % 3;
  for (std::size_t n = 1; n <= good; ++n) {
    bytes += keeper::journal_line(static_cast<std::int64_t>(n), "event",
                                  base::Time(std::chrono::milliseconds(1'780'000'000'000)),
                                  {{"type", "agent.message"}, {"n", n}});
  }
  const auto rest = bytes_of(data + 1, size - 1);
  bytes += data[0] & 128 ? with_checksums(rest) : rest;
  const auto file = file_of(bytes);
  const auto whole = read_all(file.get(), bytes.size(), 1u << 20);
  const auto slices = read_all(file.get(), bytes.size(), 1);
  require(whole.size() >= good && whole.size() == slices.size());
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    require(whole[i].n == static_cast<std::int64_t>(i + 1) && whole[i].end == slices[i].end &&
            whole[i].end > end);
    end = whole[i].end;
    std::ignore = keeper::read_journal(file.get(), end - 1, bytes.size());
  }
  return 0;
}
