#include "workspace/file_archive.h"

#include <algorithm>

#include "workspace/archive.h"
#include "workspace/path_text.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint64_t names_in_a_folder = 2'000'000;
constexpr std::size_t note_bytes = 1u << 20;

ArchiveWriter::Compression compression_of(FileRequest::Format format) {
  return format == FileRequest::Format::tar_zst ? ArchiveWriter::Compression::zstd
                                                : ArchiveWriter::Compression::gzip;
}

class FileArchiver {
 public:
  FileArchiver(const FileView& view, const FileRequest& request, FrameWriter& out,
               const FileArchiveLimits& limits)
      : view_(view),
        request_(request),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        sink_([&out](std::string_view bytes) { return out.content(bytes); }),
        archive_(sink_, compression_of(request.format)) {}

  Result<void> run() {
    auto added = request_.files == FileRequest::Files::all ? add_folder(view_.root(), "", 0) : add_changes();
    if (!added) return added;
    if (auto noted = add_note(); !noted) return noted;
    return archive_.finish();
  }

 private:
  Result<void> add_folder(const MergedFolder& folder, const std::string& path, unsigned depth) {
    const auto names = folder.names(names_in_a_folder);
    if (!names) return leave_out(path, "its names cannot be read");
    for (const auto& name : *names) {
      if (is_git_folder(name)) continue;
      if (auto done = add(folder, path + name, name, depth); !done) return done;
    }
    return {};
  }

  Result<void> add(const MergedFolder& folder, const std::string& path, const std::string& name,
                   unsigned depth) {
    const auto found = folder.stat(name);
    switch (found.node.kind) {
      case Kind::file:
        return add_file(path, found, attributes(folder, name, found.from));
      case Kind::link:
        return add_link(folder, path, name, found.from);
      case Kind::folder:
        break;
      case Kind::absent:
        return {};
      case Kind::whiteout:
      case Kind::other:
        return leave_out(path, "it is no file, folder or link");
    }
    const auto inner = depth < limits_.depth ? folder.open(name) : Result<std::optional<MergedFolder>>();
    if (!inner || !*inner) return leave_out(path, "it cannot be read or lies too deep");
    const auto info = attributes(folder, name, found.from);
    if (auto begun = begin(ArchiveEntry::Kind::folder, path, {}, info, 0); !begun) return begun;
    return add_folder(**inner, path + "/", depth + 1);
  }

  Result<void> add_changes() {
    WalkLimits walk;
    walk.deadline = deadline_;
    const auto changes = view_.changes(walk);
    if (changes.truncated) return fail(Code::exhausted, "there are too many changes for an archive");
    for (const auto& change : changes.list) {
      if (!change.after.is_content()) continue;
      const auto slash = change.path.rfind('/');
      const auto parent = slash == std::string::npos ? "" : change.path.substr(0, slash);
      AGENTROUTER_TRY(const auto folder, view_.folder(parent));
      if (!folder) continue;
      const auto name = slash == std::string::npos ? change.path : change.path.substr(slash + 1);
      if (auto done = add(*folder, change.path, name, 0); !done) return done;
    }
    return {};
  }

  static UpperFolder::Attributes attributes(const MergedFolder& folder, const std::string& name, From from) {
    if (from == From::upper) return folder.upper().attributes(name);
    const auto info = folder.base().attributes(name);
    return info ? UpperFolder::Attributes{info->st_mode & 0777u, info->st_mtim} : UpperFolder::Attributes();
  }

  Result<void> add_link(const MergedFolder& folder, const std::string& path, const std::string& name, From from) {
    const auto target =
        from == From::upper ? folder.upper().target(name) : folder.base().read(name, Kind::link, 0);
    if (!target) return leave_out(path, "it cannot be read");
    return begin(ArchiveEntry::Kind::link, path, *target, attributes(folder, name, from), 0);
  }

  // What has been promised for a file follows, also when it turns out to be shorter: then with zeros.
  Result<void> add_file(const std::string& path, const MergedFolder::Found& found,
                        const UpperFolder::Attributes& info) {
    const auto size = found.node.size;
    if (size > limits_.file_bytes)
      return leave_out(path, "it is larger than " + std::to_string(limits_.file_bytes) + " bytes");
    if (size > limits_.bytes - bytes_) return fail(Code::exhausted, "the files are too large for an archive");
    bytes_ += size;
    if (auto begun = begin(ArchiveEntry::Kind::file, path, {}, info, size); !begun) return begun;
    std::uint64_t written = 0;
    bool broken = false;  // the output is, not the file
    const auto read = view_.read(path, found, 0, size, [&](std::string_view piece) -> Result<void> {
      if (auto good = check_time(); !good) return good;
      auto done = archive_.write(piece);
      broken = broken || !done;
      written += piece.size();
      return done;
    });
    if (broken) return read;
    if (auto good = check_time(); !good) return good;
    if (written == size && read) return {};
    note(path, "it could not be read to its end, zeros follow");
    return fill(size - written);
  }

  Result<void> fill(std::uint64_t zeros) {
    const std::string nothing(frame_bytes, '\0');
    for (; zeros > 0; zeros -= std::min<std::uint64_t>(zeros, nothing.size())) {
      if (auto good = check_time(); !good) return good;
      const auto piece = std::string_view(nothing).substr(0, zeros);
      if (auto done = archive_.write(piece); !done) return done;
    }
    return {};
  }

  Result<void> begin(ArchiveEntry::Kind kind, const std::string& path, std::string target,
                     const UpperFolder::Attributes& info, std::uint64_t size) {
    if (++entries_ > limits_.entries) return fail(Code::exhausted, "there are too many files for an archive");
    if (auto good = check_time(); !good) return good;
    return archive_.begin({kind, path, std::move(target), info.mode, info.mtime, size});
  }

  Result<void> leave_out(const std::string& path, std::string_view why) {
    note(path, why);
    return check_time();
  }

  void note(const std::string& path, std::string_view why) {
    if (notes_.size() < note_bytes) notes_.append(escape_path(path)).append(": ").append(why).append("\n");
  }

  Result<void> add_note() {
    if (notes_.empty()) return {};
    ArchiveEntry entry;
    entry.kind = ArchiveEntry::Kind::file;
    entry.path = "agentrouter-left-out.txt";
    entry.mode = 0644;
    entry.size = notes_.size();
    if (auto begun = archive_.begin(entry); !begun) return begun;
    return archive_.write(notes_);
  }

  Result<void> check_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    return fail(Code::timeout, "the archive takes too long");
  }

  const FileView& view_;
  const FileRequest& request_;
  const FileArchiveLimits& limits_;
  Deadline deadline_;
  Sink sink_;
  ArchiveWriter archive_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  std::string notes_;
};

}  // namespace

Result<void> archive_files(const FileView& view, const FileRequest& request, FrameWriter& out,
                           const FileArchiveLimits& limits) {
  return FileArchiver(view, request, out, limits).run();
}

}  // namespace agentrouter::workspace
