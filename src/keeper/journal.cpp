#include "keeper/journal.h"

#include <algorithm>

#include "base/hash.h"

namespace agentrouter::keeper {
namespace {

std::string hex8(std::uint32_t value) {
  std::string text(8, '0');
  for (int i = 7; i >= 0; --i, value >>= 4)
    text[static_cast<std::size_t>(i)] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace

std::string journal_line(std::int64_t n, std::string_view kind, base::Time time, json::object data) {
  json::object record;
  record.emplace("n", n);
  record.emplace("kind", json::string(kind));
  record.emplace("time", base::to_iso(time));
  record.emplace("data", std::move(data));
  const std::string text = base::to_text(record);
  std::string line = hex8(base::crc32c(text));
  line.reserve(text.size() + 10);
  line += ' ';
  line += text;
  line += '\n';
  return line;
}

Journal::Journal(std::unique_ptr<JournalFile> file, const base::Clock& clock, JournalLimits limits)
    : file_(std::move(file)), clock_(&clock), limits_(limits) {}

base::Result<Journal> Journal::create(std::unique_ptr<JournalFile> file, const base::Clock& clock,
                                      JournalLimits limits) {
  Journal journal(std::move(file), clock, limits);
  const std::uint64_t first = limits.ahead + limits.reserve;
  if (auto allocated = journal.file_->allocate(first); !allocated) {
    return tl::unexpected(std::move(allocated).error());
  }
  journal.allocated_ = first;
  return journal;
}

base::Result<void> Journal::append(std::string_view kind, json::object data) {
  return write(kind, std::move(data), limits_.reserve);
}

base::Result<void> Journal::append_last(std::string_view kind, json::object data) {
  return write(kind, std::move(data), 0);
}

base::Result<void> Journal::write(std::string_view kind, json::object data, std::uint64_t kept_back) {
  const std::string line = journal_line(last_n_ + 1, kind, clock_->now(), std::move(data));
  if (line.size() > limits_.record_bytes) {
    return base::fail(base::Code::invalid,
                      "cannot write a journal record of " + std::to_string(line.size()) + " bytes");
  }
  const std::uint64_t end = length_ + line.size();
  if (end + kept_back > limits_.bytes) {
    return base::fail(base::Code::exhausted, "cannot write the journal: it is at its limit", "storage_full");
  }
  const bool must = end + kept_back > allocated_;
  // While it is tight, relieve() asks; else each record would.
  if (must || (!tight_ && end + limits_.reserve + limits_.ahead / 2 > allocated_)) {
    auto extended = extend(end);
    if (!extended && must) {
      if (auto allocated = file_->allocate(end + kept_back); !allocated) return allocated;
      allocated_ = end + kept_back;
    }
  }
  if (auto written = write_line(line); !written) return written;
  length_ = end;
  ++last_n_;
  return {};
}

// Room for `ahead` more bytes behind `end`, and for the reserve.
base::Result<void> Journal::extend(std::uint64_t end) {
  const std::uint64_t wanted = std::min(end + limits_.reserve + limits_.ahead, limits_.bytes);
  if (wanted <= allocated_) {
    tight_ = false;
    return {};
  }
  auto allocated = file_->allocate(wanted);
  tight_ = !allocated;
  if (allocated) allocated_ = wanted;
  return allocated;
}

bool Journal::relieve() {
  return extend(length_).has_value();
}

base::Result<void> Journal::write_line(std::string_view line) {
  std::uint64_t offset = length_;
  while (!line.empty()) {
    auto written = file_->write_at(offset, line);
    if (!written) return tl::unexpected(std::move(written).error());
    offset += *written;
    line.remove_prefix(*written);
  }
  return {};
}

base::Result<void> Journal::sync() {
  return file_->sync();
}

}  // namespace agentrouter::keeper
