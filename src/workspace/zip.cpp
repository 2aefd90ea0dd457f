#include "workspace/zip.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint32_t local_mark = 0x04034b50;
constexpr std::uint32_t central_mark = 0x02014b50;
constexpr std::uint32_t end_mark = 0x06054b50;
constexpr std::uint32_t end64_mark = 0x06064b50;
constexpr std::uint32_t locator64_mark = 0x07064b50;
constexpr std::size_t local_size = 30;
constexpr std::size_t central_size = 46;
constexpr std::size_t end_size = 22;
constexpr std::size_t end64_size = 56;
constexpr std::size_t locator64_size = 20;
constexpr std::uint64_t full32 = 0xffffffff;
constexpr unsigned made_by_unix = 3;
constexpr unsigned stored = 0;
constexpr unsigned deflated_method = 8;
constexpr unsigned encrypted_flag = 1;
constexpr std::size_t most_target = 4096;
constexpr std::size_t input_size = 128 * 1024;

tl::unexpected<base::Error> zip_damaged(std::string_view why) {
  return fail(Code::corrupt, "cannot read the archive: " + std::string(why));
}

// Little-endian numbers at places that were checked to be there.
std::uint64_t number_at(std::string_view bytes, std::size_t at, unsigned size) {
  std::uint64_t number = 0;
  for (unsigned i = 0; i < size; ++i)
    number |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return number;
}
std::uint32_t word_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(number_at(bytes, at, 4));
}
unsigned half_at(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned>(number_at(bytes, at, 2));
}

struct Place {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

struct Central {
  std::string name;
  unsigned made_by = 0;
  unsigned flags = 0;
  unsigned method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
  std::uint32_t attributes = 0;
  std::int64_t time = 0;
};

// MS-DOS time, read as UTC: the zone of its writer is not known.
std::int64_t time_of(unsigned date, unsigned time) {
  std::tm parts{};
  parts.tm_year = static_cast<int>((date >> 9) + 80);
  parts.tm_mon = static_cast<int>(std::clamp((date >> 5) & 15u, 1u, 12u)) - 1;
  parts.tm_mday = static_cast<int>(std::max(date & 31u, 1u));
  parts.tm_hour = static_cast<int>(time >> 11);
  parts.tm_min = static_cast<int>((time >> 5) & 63);
  parts.tm_sec = static_cast<int>((time & 31) * 2);
  return static_cast<std::int64_t>(::timegm(&parts));
}

// What the extra fields say instead of 32 bits that are full, and of the time.
void read_extra(std::string_view extra, Central& entry) {
  while (extra.size() >= 4) {
    const unsigned id = half_at(extra, 0);
    const std::size_t size = half_at(extra, 2);
    if (size > extra.size() - 4) return;
    auto field = extra.substr(4, size);
    extra.remove_prefix(4 + size);
    if (id == 1) {
      for (auto* value : {&entry.size, &entry.packed, &entry.offset}) {
        if (*value != full32 || field.size() < 8) continue;
        *value = number_at(field, 0, 8);
        field.remove_prefix(8);
      }
    } else if (id == 0x5455 && field.size() >= 5 && (field[0] & 1) != 0) {
      entry.time = static_cast<std::int32_t>(word_at(field, 1));
    }
  }
}

}  // namespace

bool looks_like_zip(std::string_view bytes) {
  if (bytes.size() < 4) return false;
  const auto mark = word_at(bytes, 0);
  return mark == local_mark || mark == end_mark;
}

class ZipReader::State {
 public:
  explicit State(int fd) : fd_(fd), input_(input_size, '\0') {}
  ~State() { end_inflate(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<std::optional<ArchiveEntry>> next();
  Result<std::size_t> read(std::span<char> into);

 private:
  Result<std::string> bytes_at(std::uint64_t offset, std::uint64_t size) const;
  Result<void> open();
  Result<Place> find_directory() const;
  Result<Place> find_directory64(std::uint64_t locator) const;
  Result<Central> next_central();
  Result<void> begin(const Central& entry);
  Result<std::size_t> read_stored(std::span<char> into);
  Result<std::size_t> read_deflated(std::span<char> into);
  Result<void> fill();
  Result<std::string> read_target();
  void end_inflate();

  int fd_;
  std::uint64_t file_size_ = 0;
  bool opened_ = false;
  Place directory_;
  std::uint64_t at_ = 0;  // of the next central entry
  std::uint64_t seen_ = 0;

  Central entry_;
  std::uint64_t from_ = 0;  // of the entry's bytes that were not read yet
  std::uint64_t left_ = 0;  // of its packed bytes
  std::uint64_t given_ = 0;
  std::uint32_t crc_ = 0;
  bool checked_ = true;
  std::string input_;
  z_stream stream_{};
  bool inflating_ = false;
};

Result<std::string> ZipReader::State::bytes_at(std::uint64_t offset, std::uint64_t size) const {
  if (offset > file_size_ || size > file_size_ - offset) return zip_damaged("it is cut off");
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    const auto more = ::pread(fd_, bytes.data() + got, size - got, static_cast<off_t>(offset + got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return base::fail_errno("cannot read the archive", errno);
    if (more == 0) return zip_damaged("it is cut off");
    got += static_cast<std::size_t>(more);
  }
  return bytes;
}

Result<void> ZipReader::State::open() {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) return base::fail_errno("cannot look at the archive", errno);
  file_size_ = static_cast<std::uint64_t>(info.st_size);
  AGENTROUTER_TRY(directory_, find_directory());
  if (directory_.offset > file_size_ || directory_.size > file_size_ - directory_.offset ||
      directory_.entries > directory_.size / central_size) {
    return zip_damaged("its directory is not where it says");
  }
  at_ = directory_.offset;
  return {};
}

// Behind the directory stands its end, followed by a comment of at most 65,535 bytes.
Result<Place> ZipReader::State::find_directory() const {
  const auto tail_size = std::min<std::uint64_t>(file_size_, end_size + 0xffff);
  const auto tail_at = file_size_ - tail_size;
  AGENTROUTER_TRY(const auto tail, bytes_at(tail_at, tail_size));
  for (std::size_t back = end_size; back <= tail.size(); ++back) {
    const auto at = tail.size() - back;
    if (word_at(tail, at) != end_mark || half_at(tail, at + 20) != back - end_size) continue;
    const std::uint64_t end = tail_at + at;
    Place place{word_at(tail, at + 16), word_at(tail, at + 12), half_at(tail, at + 10)};
    const bool wide = place.offset == full32 || place.size == full32 || place.entries == 0xffff;
    if (wide && end >= locator64_size) {
      if (auto found = find_directory64(end - locator64_size)) return found;
    }
    if (half_at(tail, at + 4) != 0 || half_at(tail, at + 8) != half_at(tail, at + 10)) {
      return fail(Code::unsupported, "cannot read the archive: it is in several parts");
    }
    return place;
  }
  return zip_damaged("its directory is missing");
}

Result<Place> ZipReader::State::find_directory64(std::uint64_t locator) const {
  AGENTROUTER_TRY(const auto found, bytes_at(locator, locator64_size));
  if (word_at(found, 0) != locator64_mark) return zip_damaged("its directory is missing");
  AGENTROUTER_TRY(const auto end, bytes_at(number_at(found, 8, 8), end64_size));
  if (word_at(end, 0) != end64_mark) return zip_damaged("its directory is missing");
  return Place{number_at(end, 48, 8), number_at(end, 40, 8), number_at(end, 32, 8)};
}

Result<Central> ZipReader::State::next_central() {
  AGENTROUTER_TRY(const auto head, bytes_at(at_, central_size));
  if (word_at(head, 0) != central_mark) return zip_damaged("its directory is broken");
  const std::uint64_t name = half_at(head, 28);
  const std::uint64_t extra = half_at(head, 30);
  AGENTROUTER_TRY(const auto rest, bytes_at(at_ + central_size, name + extra));
  at_ += central_size + name + extra + half_at(head, 32);
  Central entry{.name = rest.substr(0, name),
                .made_by = half_at(head, 4) >> 8,
                .flags = half_at(head, 8),
                .method = half_at(head, 10),
                .crc = word_at(head, 16),
                .packed = word_at(head, 20),
                .size = word_at(head, 24),
                .offset = word_at(head, 42),
                .attributes = word_at(head, 38),
                .time = time_of(half_at(head, 14), half_at(head, 12))};
  read_extra(std::string_view(rest).substr(name), entry);
  return entry;
}

// To the entry's bytes, which stand behind a second head of its own length.
Result<void> ZipReader::State::begin(const Central& entry) {
  if (entry.flags & encrypted_flag) {
    return fail(Code::unsupported, "cannot read the archive: it is encrypted");
  }
  if (entry.method != stored && entry.method != deflated_method) {
    return fail(Code::unsupported, "cannot read the archive: compression " + std::to_string(entry.method) +
                                       " is not supported: use deflate");
  }
  AGENTROUTER_TRY(const auto head, bytes_at(entry.offset, local_size));
  if (word_at(head, 0) != local_mark) return zip_damaged("an entry is not where its directory says");
  from_ = entry.offset + local_size + half_at(head, 26) + half_at(head, 28);
  left_ = entry.packed;
  if (from_ > file_size_ || left_ > file_size_ - from_) return zip_damaged("it is cut off");
  if (entry.method == stored && entry.packed != entry.size) return zip_damaged("an entry has two sizes");
  given_ = 0;
  crc_ = static_cast<std::uint32_t>(::crc32(0, nullptr, 0));
  checked_ = false;
  end_inflate();
  if (entry.method == deflated_method) {
    stream_ = {};
    inflating_ = ::inflateInit2(&stream_, -MAX_WBITS) == Z_OK;
    if (!inflating_) return fail(Code::unavailable, "cannot read the archive: no memory");
  }
  return {};
}

Result<std::optional<ArchiveEntry>> ZipReader::State::next() {
  using Kind = ArchiveEntry::Kind;
  if (!opened_) {
    opened_ = true;
    if (auto good = open(); !good) return tl::unexpected(good.error());
  }
  if (seen_ == directory_.entries) return std::optional<ArchiveEntry>();
  ++seen_;
  AGENTROUTER_TRY(entry_, next_central());
  if (auto good = begin(entry_); !good) return tl::unexpected(good.error());
  ArchiveEntry found;
  found.path = entry_.name;
  found.mtime.tv_sec = entry_.time;
  found.size = entry_.size;
  const bool is_folder = found.path.ends_with('/');
  found.kind = is_folder ? Kind::folder : Kind::file;
  found.mode = is_folder ? 0755 : 0644;
  const unsigned mode = entry_.attributes >> 16;
  if (entry_.made_by == made_by_unix && mode != 0) {
    found.mode = mode & 07777;
    const unsigned type = mode & S_IFMT;
    if (type == S_IFLNK) {
      found.kind = Kind::link;
      AGENTROUTER_TRY(found.target, read_target());
    } else if (type == S_IFDIR) {
      found.kind = Kind::folder;
    } else if (type != S_IFREG && type != 0) {
      found.kind = Kind::other;
    }
  }
  return found;
}

Result<std::string> ZipReader::State::read_target() {
  if (entry_.size > most_target) return zip_damaged("a link is too long");
  std::string target(most_target + 1, '\0');
  std::size_t size = 0;
  for (;;) {
    AGENTROUTER_TRY(const auto got, read({target.data() + size, target.size() - size}));
    if (got == 0) break;
    size += got;
    if (size > most_target) return zip_damaged("a link is too long");
  }
  target.resize(size);
  return target;
}

Result<std::size_t> ZipReader::State::read(std::span<char> into) {
  if (checked_) return std::size_t{0};
  AGENTROUTER_TRY(const auto got, inflating_ ? read_deflated(into) : read_stored(into));
  given_ += got;
  if (given_ > entry_.size) return zip_damaged("an entry is larger than it says");
  crc_ = static_cast<std::uint32_t>(
      ::crc32(crc_, reinterpret_cast<const Bytef*>(into.data()), static_cast<uInt>(got)));
  if (got != 0) return got;
  checked_ = true;
  if (given_ != entry_.size || crc_ != entry_.crc) return zip_damaged("an entry's checksum is wrong");
  return got;
}

Result<std::size_t> ZipReader::State::read_stored(std::span<char> into) {
  AGENTROUTER_TRY(const auto bytes, bytes_at(from_, std::min<std::uint64_t>(left_, into.size())));
  std::copy(bytes.begin(), bytes.end(), into.begin());
  from_ += bytes.size();
  left_ -= bytes.size();
  return bytes.size();
}

Result<void> ZipReader::State::fill() {
  const auto size = std::min<std::uint64_t>(left_, input_size);
  AGENTROUTER_TRY(input_, bytes_at(from_, size));
  from_ += size;
  left_ -= size;
  stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
  stream_.avail_in = static_cast<uInt>(size);
  return {};
}

Result<std::size_t> ZipReader::State::read_deflated(std::span<char> into) {
  stream_.next_out = reinterpret_cast<Bytef*>(into.data());
  stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), input_size));
  const uInt room = stream_.avail_out;
  while (stream_.avail_out == room) {
    if (stream_.avail_in == 0 && left_ != 0) {
      if (auto filled = fill(); !filled) return tl::unexpected(filled.error());
    }
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) break;
    const bool starved = status == Z_BUF_ERROR && left_ == 0;
    if (starved || (status != Z_OK && status != Z_BUF_ERROR)) return zip_damaged("an entry is damaged");
  }
  return std::size_t{room - stream_.avail_out};
}

void ZipReader::State::end_inflate() {
  if (inflating_) ::inflateEnd(&stream_);
  inflating_ = false;
}

ZipReader::ZipReader(int fd) : state_(std::make_unique<State>(fd)) {}
ZipReader::~ZipReader() = default;

Result<std::optional<ArchiveEntry>> ZipReader::next() {
  return state_->next();
}

Result<std::size_t> ZipReader::read(std::span<char> into) {
  return state_->read(into);
}

}  // namespace agentrouter::workspace
