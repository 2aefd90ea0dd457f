#include "workspace/file_list.h"

#include <array>
#include <cstdio>

#include "base/clock.h"
#include "workspace/path_text.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

std::string_view type_of(Kind kind) {
  if (kind == Kind::file) return "file";
  if (kind == Kind::link) return "link";
  return kind == Kind::folder ? "folder" : "other";
}

// As stat(2) has it: type and permissions, in six octal digits. Without setuid, setgid and sticky.
std::string mode_text(Kind kind, unsigned permissions) {
  const unsigned type = kind == Kind::file ? 0100000u : kind == Kind::link ? 0120000u : kind == Kind::folder ? 0040000u : 0u;
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%06o", type | (permissions & 0777u));
  return text.data();
}

UpperFolder::Attributes attributes_of(const MergedFolder& folder, const std::string& name, From from) {
  if (from == From::upper) return folder.upper().attributes(name);
  const auto info = folder.base().attributes(name);
  return info ? UpperFolder::Attributes{info->st_mode & 0777u, info->st_mtim} : UpperFolder::Attributes();
}

void put_target(json::object& object, const MergedFolder& folder, const std::string& name, From from) {
  const auto target = from == From::upper ? folder.upper().target(name) : folder.base().read(name, Kind::link, 0);
  if (!target) return;
  json::object text;
  put_path(text, "target", *target);
  object["target"] = text.at("target");
  if (text.contains("encoding")) object["targetEncoding"] = "escaped";
}

std::string iso_time(const timespec& time) {
  using namespace std::chrono;
  constexpr std::int64_t last = 253'402'300'799;  // of the year 9999
  const auto since = seconds(std::clamp<std::int64_t>(time.tv_sec, 0, last)) +
                     milliseconds(std::clamp<std::int64_t>(time.tv_nsec, 0, 999'999'999) / 1'000'000);
  return base::to_iso(base::Time(duration_cast<base::Time::duration>(since)));
}

class FileLister {
 public:
  FileLister(const FileView& view, const FileRequest& request, const FileListLimits& limits)
      : view_(view),
        request_(request),
        limits_(limits),
        compare_until_(std::chrono::steady_clock::now() + limits.compare_time),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time) {}

  Result<std::string> list() {
    AGENTROUTER_TRY(const auto folder, start());
    const std::string prefix = request_.path.empty() ? "" : request_.path + "/";
    std::string_view after = request_.after;
    // A cursor of another list: all of this one comes before it, or behind it.
    const bool elsewhere = !after.empty() && !after.starts_with(prefix);
    const bool is_over = elsewhere && by_names(request_.path, after) && after != request_.path;
    after = elsewhere ? std::string_view() : after.substr(std::min(prefix.size(), after.size()));
    if (!is_over) visit(folder, prefix, after, 0);
    items_ += "]";
    if (more_) items_ += ",\"nextCursor\":" + base::to_text(json::string(escape_path(last_)));
    if (truncated_) items_ += ",\"truncated\":true";
    return std::move(items_) + "}";
  }

 private:
  Result<MergedFolder> start() const {
    AGENTROUTER_TRY(auto folder, view_.folder(request_.path));
    if (folder) return std::move(*folder);
    AGENTROUTER_TRY(const auto found, view_.stat(request_.path));
    if (found.node.kind == Kind::absent)
      return fail(Code::not_found, "There is no folder " + request_.path, "file_not_found");
    return fail(Code::conflict, "This is no folder: " + request_.path, "not_a_folder");
  }

  // False when the page is full. `after`: what of the cursor lies below this folder.
  bool visit(const MergedFolder& folder, const std::string& path, std::string_view after, unsigned depth) {
    const auto slash = after.find('/');
    const std::string_view first = after.substr(0, slash);
    const std::string_view rest = slash == std::string_view::npos ? "" : after.substr(slash + 1);
    const auto names = folder.names(limits_.names);
    if (!names) truncated_ = true;
    if (!names) return true;
    for (auto name = std::lower_bound(names->begin(), names->end(), first); name != names->end(); ++name) {
      if (is_git_folder(*name)) continue;
      if (++seen_ > limits_.names || late()) {
        truncated_ = true;
        return false;
      }
      const auto found = folder.stat(*name);
      if (found.node.kind == Kind::absent) continue;
      const bool is_listed = !after.empty() && *name == first;
      if (!is_listed && !add(folder, path + *name, *name, found)) return false;
      if (request_.depth == FileRequest::Depth::folder || found.node.kind != Kind::folder) continue;
      if (!enter(folder, path + *name, *name, is_listed ? rest : "", depth)) return false;
    }
    return true;
  }

  bool enter(const MergedFolder& folder, const std::string& path, const std::string& name, std::string_view after,
             unsigned depth) {
    const auto inner = depth < limits_.depth ? folder.open(name) : Result<std::optional<MergedFolder>>();
    if (!inner || !*inner) {
      truncated_ = true;
      return true;
    }
    return visit(**inner, path + "/", after, depth + 1);
  }

  bool add(const MergedFolder& folder, const std::string& path, const std::string& name,
           const MergedFolder::Found& found) {
    if (count_ >= request_.limit) {
      more_ = true;
      return false;
    }
    const auto text = base::to_text(describe(folder, path, name, found));
    if (count_ > 0 && items_.size() + text.size() > limits_.page_bytes) {
      more_ = true;
      return false;
    }
    items_ += (count_++ == 0 ? "" : ",") + text;
    last_ = path;
    return true;
  }

  json::object describe(const MergedFolder& folder, const std::string& path, const std::string& name,
                        const MergedFolder::Found& found) const {
    json::object entry;
    put_path(entry, "path", path);
    const auto kind = found.node.kind;
    entry["type"] = type_of(kind);
    if (kind == Kind::file) entry["size"] = found.node.size;
    const auto attributes = attributes_of(folder, name, found.from);
    entry["mode"] = mode_text(kind, attributes.mode);
    entry["modifiedAt"] = iso_time(attributes.mtime);
    if (const auto status = status_of(folder, path, name, found); !status.empty()) entry["status"] = status;
    if (kind == Kind::link) put_target(entry, folder, name, found.from);
    return entry;
  }

  std::string_view status_of(const MergedFolder& folder, const std::string& path, const std::string& name,
                             const MergedFolder::Found& found) const {
    if (found.from == From::base || !found.node.is_content()) return {};
    const auto before = folder.base().stat(name);
    if (!before.is_content()) return "??";
    if (before.kind != found.node.kind) return " T";
    if (before.size != found.node.size || before.executable != found.node.executable) return " M";
    const auto old = view_.blob(path, {before, From::base}, compare_until_);
    const auto fresh = old ? view_.blob(path, found, compare_until_) : std::nullopt;
    return old && fresh && *old == *fresh ? "" : " M";
  }

  bool late() const { return std::chrono::steady_clock::now() > deadline_; }

  const FileView& view_;
  const FileRequest& request_;
  const FileListLimits& limits_;
  Deadline compare_until_;
  Deadline deadline_;
  std::string items_ = "{\"items\":[";
  std::string last_;
  std::int64_t count_ = 0;
  std::uint64_t seen_ = 0;
  bool more_ = false;
  bool truncated_ = false;
};

}  // namespace

Result<std::string> list_files(const FileView& view, const FileRequest& request, const FileListLimits& limits) {
  return FileLister(view, request, limits).list();
}

base::Error not_a_file(const MergedFolder& parent, const std::string& name, const MergedFolder::Found& found) {
  json::object details{{"type", type_of(found.node.kind)}};
  if (found.node.kind == Kind::link) put_target(details, parent, name, found.from);
  return {Code::conflict, "This is no file", "not_a_file", base::to_text(details)};
}

}  // namespace agentrouter::workspace
