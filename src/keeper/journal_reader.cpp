#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/hash.h"
#include "keeper/journal.h"

namespace agentrouter::keeper {
namespace {

base::Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::fail_errno("cannot read the journal", errno);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

// The record of one line without its line end; nothing when it is not one.
std::optional<JournalRecord> parse_line(std::string_view line) {
  if (line.size() < 10 || line[8] != ' ') return std::nullopt;
  std::uint32_t crc = 0;
  for (const char c : line.substr(0, 8)) {
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (!digit) return std::nullopt;
  }
  const auto parsed = std::from_chars(line.data(), line.data() + 8, crc, 16);
  const std::string_view text = line.substr(9);
  if (parsed.ptr != line.data() + 8 || crc != base::crc32c(text)) return std::nullopt;
  auto value = base::parse_json(text, {.max_depth = 128, .max_bytes = journal_record_bytes});
  if (!value || !value->is_object()) return std::nullopt;
  json::object& object = value->as_object();
  const auto n = base::get_int(object, "n");
  const auto kind = base::get_string(object, "kind");
  const auto time = base::get_string(object, "time");
  json::value* data = object.if_contains("data");
  if (!n || !kind || !time || data == nullptr || !data->is_object()) return std::nullopt;
  auto when = base::parse_iso(*time);
  if (!when) return std::nullopt;
  return JournalRecord{
      .n = *n, .kind = std::string(*kind), .time = *when, .data = std::move(data->as_object()), .end = 0};
}

std::int64_t number_of(std::string_view line) {
  const auto record = parse_line(line);
  return record ? record->n : 0;
}

// The number of the record that ends at `end`, which is behind a line end; 0 when it is none.
base::Result<std::int64_t> number_before(int fd, std::uint64_t end) {
  std::string line;  // as much of it as was looked at
  std::uint64_t start = end - 1;
  for (std::uint64_t piece = 4096; start > 0 && line.size() <= journal_record_bytes; piece *= 2) {
    const auto size = std::min(piece, start);
    AGENTROUTER_TRY(std::string bytes, read_at(fd, start - size, static_cast<std::size_t>(size)));
    const auto line_end = bytes.rfind('\n');
    if (line_end != std::string::npos) return number_of(bytes.substr(line_end + 1) + line);
    line.insert(0, bytes);
    start -= size;
  }
  return start == 0 ? number_of(line) : 0;
}

class SliceReader {
 public:
  SliceReader(int fd, std::uint64_t from, std::uint64_t to, std::int64_t number_before)
      : fd_(fd), to_(to), next_read_(from), last_n_(number_before) {
    slice_.end = from;
  }

  base::Result<JournalSlice> read(std::size_t slice_bytes) {
    const std::uint64_t from = slice_.end;
    while (slice_.end - from < slice_bytes) {
      const std::size_t line_end = buffer_.find('\n', searched_);
      if (line_end != std::string::npos) {
        if (!take(line_end)) return std::move(slice_);
        continue;
      }
      buffer_.erase(0, start_);
      start_ = 0;
      searched_ = buffer_.size();
      if (next_read_ >= to_ || buffer_.size() > journal_record_bytes) return std::move(slice_);
      if (auto more = fill(); !more || !*more) {
        if (!more) return tl::unexpected(std::move(more).error());
        return std::move(slice_);
      }
    }
    slice_.more = slice_.end < to_;
    return std::move(slice_);
  }

 private:
  bool take(std::size_t line_end) {
    auto record = parse_line(std::string_view(buffer_).substr(start_, line_end - start_));
    if (!record) return false;
    const bool first_of_file = slice_.end == 0;
    if (first_of_file ? record->n != 1 : (last_n_ != 0 && record->n != last_n_ + 1)) return false;
    last_n_ = record->n;
    slice_.end += line_end + 1 - start_;
    record->end = slice_.end;
    slice_.records.push_back(std::move(*record));
    start_ = searched_ = line_end + 1;
    return true;
  }

  base::Result<bool> fill() {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(to_ - next_read_, 256u << 10));
    AGENTROUTER_TRY(std::string bytes, read_at(fd_, next_read_, size));
    next_read_ += bytes.size();
    buffer_ += bytes;
    return !bytes.empty();
  }

  int fd_;
  std::uint64_t to_;
  std::uint64_t next_read_;
  std::int64_t last_n_;  // 0: not known
  std::string buffer_;
  std::size_t start_ = 0;     // of the line that is being looked for
  std::size_t searched_ = 0;  // no line end before it
  JournalSlice slice_;
};

}  // namespace

base::Result<JournalSlice> read_journal(int fd, std::uint64_t from, std::uint64_t to,
                                        std::size_t slice_bytes) {
  std::int64_t number = 0;
  if (from > 0) {
    AGENTROUTER_TRY(const std::string before, read_at(fd, from - 1, 1));
    if (before != "\n") {
      return base::fail(base::Code::corrupt,
                        "cannot read the journal: nothing ends at offset " + std::to_string(from));
    }
    AGENTROUTER_TRY(number, number_before(fd, from));
  }
  return SliceReader(fd, from, to, number).read(slice_bytes);
}

}  // namespace agentrouter::keeper
