#include "workspace/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <cerrno>

// The static library's pax writer asks one small function of an object file that refers to all other writers,
// and with them to libxml2, nettle and more. Defined here, that file is not linked: what the function is for,
// entries that a format cannot hold, does not come up.
extern "C" void __archive_write_entry_filetype_unsupported(::archive* archive, ::archive_entry*,
                                                           const char*) {
  ::archive_set_error(archive, EINVAL, "no such kind of entry");
}

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t read_size = 256 * 1024;

std::string text_of(const char* text) {
  return text ? std::string(text) : std::string();
}

tl::unexpected<base::Error> damaged(::archive* archive) {
  return fail(Code::corrupt, "cannot read the archive: " + text_of(::archive_error_string(archive)));
}

unsigned type_of(ArchiveEntry::Kind kind) {
  if (kind == ArchiveEntry::Kind::folder) return AE_IFDIR;
  if (kind == ArchiveEntry::Kind::link) return AE_IFLNK;
  return AE_IFREG;
}

ArchiveEntry describe(::archive_entry* entry) {
  using Kind = ArchiveEntry::Kind;
  ArchiveEntry found;
  found.path = text_of(::archive_entry_pathname(entry));
  // A name that the locale cannot write.
  if (found.path.empty()) found.path = text_of(::archive_entry_pathname_utf8(entry));
  found.mode = static_cast<unsigned>(::archive_entry_perm(entry)) & 07777u;
  found.mtime = {::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
  const auto size = ::archive_entry_size(entry);
  found.size = size > 0 ? static_cast<std::uint64_t>(size) : 0;
  const auto type = ::archive_entry_filetype(entry);
  if (const char* other = ::archive_entry_hardlink(entry)) {
    found.kind = Kind::hard_link;
    found.target = other;
  } else if (type == AE_IFREG) {
    found.kind = Kind::file;
  } else if (type == AE_IFDIR) {
    found.kind = Kind::folder;
  } else if (type == AE_IFLNK) {
    found.kind = Kind::link;
    found.target = text_of(::archive_entry_symlink(entry));
    if (found.target.empty()) found.target = text_of(::archive_entry_symlink_utf8(entry));
  }
  return found;
}

}  // namespace

void CloseArchive::operator()(::archive* archive) const {
  ::archive_free(archive);
}

void FreeEntry::operator()(::archive_entry* entry) const {
  ::archive_entry_free(entry);
}

ArchiveWriter::ArchiveWriter(Sink& sink, Compression compression)
    : sink_(sink),
      compression_(compression),
      archive_(::archive_write_new()),
      entry_(::archive_entry_new()) {}

ssize_t ArchiveWriter::put(::archive* archive, void* self, const void* bytes, std::size_t size) {
  auto& writer = *static_cast<ArchiveWriter*>(self);
  if (!writer.sink_.fits(size)) {
    writer.full_ = true;
    ::archive_set_error(archive, ENOSPC, "full");
    return -1;
  }
  writer.sink_.append({static_cast<const char*>(bytes), size});
  if (!writer.sink_.state()) {
    ::archive_set_error(archive, EIO, "cannot be written");
    return -1;
  }
  return static_cast<ssize_t>(size);
}

Result<void> ArchiveWriter::checked(long status) {
  if (full_) return fail(Code::exhausted, "cannot write the archive: it is over its limit");
  if (status >= ARCHIVE_WARN) return {};
  return fail(Code::unavailable,
              "cannot write the archive: " + text_of(::archive_error_string(archive_.get())));
}

Result<void> ArchiveWriter::begin(const ArchiveEntry& entry) {
  auto* const archive = archive_.get();
  if (::archive_format(archive) == 0) {
    const bool ready =
        ::archive_write_set_format_pax(archive) == ARCHIVE_OK &&
        (compression_ == Compression::zstd ? ::archive_write_add_filter_zstd(archive)
                                           : ::archive_write_add_filter_gzip(archive)) == ARCHIVE_OK &&
        ::archive_write_set_options(archive, "hdrcharset=BINARY,compression-level=1") == ARCHIVE_OK &&
        ::archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
        ::archive_write_open(archive, this, nullptr, &put, nullptr) == ARCHIVE_OK;
    if (!ready) return checked(ARCHIVE_FATAL);
  }
  auto* const header = ::archive_entry_clear(entry_.get());
  ::archive_entry_copy_pathname(header, entry.path.c_str());
  ::archive_entry_set_filetype(header, type_of(entry.kind));
  ::archive_entry_set_perm(header, static_cast<mode_t>(entry.mode));
  ::archive_entry_set_mtime(header, entry.mtime.tv_sec, entry.mtime.tv_nsec);
  ::archive_entry_set_size(header, static_cast<la_int64_t>(entry.size));
  if (entry.kind == ArchiveEntry::Kind::link) ::archive_entry_copy_symlink(header, entry.target.c_str());
  if (entry.kind == ArchiveEntry::Kind::hard_link) {
    ::archive_entry_copy_hardlink(header, entry.target.c_str());
  }
  return checked(::archive_write_header(archive, header));
}

Result<void> ArchiveWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::archive_write_data(archive_.get(), bytes.data(), bytes.size());
    if (written <= 0) return checked(ARCHIVE_FATAL);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> ArchiveWriter::finish() {
  if (auto closed = checked(::archive_write_close(archive_.get())); !closed) return closed;
  return sink_.finish();
}

ArchiveReader::ArchiveReader(int fd, TarKind kind) : fd_(fd), kind_(kind), archive_(::archive_read_new()) {}

Result<void> ArchiveReader::open() {
  auto* const archive = archive_.get();
  ::archive_read_support_filter_zstd(archive);
  if (kind_ == TarKind::any) ::archive_read_support_filter_gzip(archive);
  ::archive_read_support_format_tar(archive);
  if (::archive_read_open_fd(archive, fd_, read_size) != ARCHIVE_OK) return damaged(archive);
  if (::archive_filter_count(archive) > 2) {
    return fail(Code::corrupt, "cannot read the archive: it is compressed more than once");
  }
  return {};
}

Result<std::optional<ArchiveEntry>> ArchiveReader::next() {
  auto* const archive = archive_.get();
  if (!opened_) {
    opened_ = true;
    if (auto good = open(); !good) return tl::unexpected(good.error());
  }
  ::archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(archive, &entry);
  if (status == ARCHIVE_EOF) return std::optional<ArchiveEntry>();
  // A warning is of text in another encoding: the bytes are there.
  const bool good = status == ARCHIVE_OK || (kind_ == TarKind::any && status == ARCHIVE_WARN);
  if (!good) return damaged(archive);
  return describe(entry);
}

Result<std::size_t> ArchiveReader::read(std::span<char> into) {
  const auto got = ::archive_read_data(archive_.get(), into.data(), into.size());
  if (got < 0) return damaged(archive_.get());
  return static_cast<std::size_t>(got);
}

std::uint64_t ArchiveReader::passed() const {
  const auto bytes = ::archive_filter_bytes(archive_.get(), 0);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

}  // namespace agentrouter::workspace
