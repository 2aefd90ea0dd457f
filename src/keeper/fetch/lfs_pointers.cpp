#include "keeper/fetch/lfs_pointers.h"

#include <algorithm>
#include <charconv>

#include "sandbox/plan.h"

namespace agentrouter::keeper {

namespace {

constexpr std::string_view version_line = "version https://git-lfs.github.com/spec/v1";
constexpr std::string_view oid_begin = "oid sha256:";
constexpr std::string_view size_begin = "size ";
constexpr std::size_t most_field = 8192;
constexpr std::size_t pointer_lines = 3;

bool is_lfs_oid(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string in_checkout(const std::string& path) {
  return std::string(git_tree_path) + "/" + path;
}

}  // namespace

Argv find_pointers(const ResolvedRef& at) {
  return {"/usr/bin/git", "-C",         git_tree_path,
          "grep",         "-z",         "-n",
          "-a",           "--no-color", "--full-name",
          "--all-match",  "-e",         "^version https://git-lfs\\.github\\.com/spec/v1$",
          "--or",         "-e",         "^oid sha256:[0-9a-f]\\{64\\}$",
          "--or",         "-e",         "^size [0-9]\\{1,15\\}$",
          "--or",         "-e",         "^",
          at.commit};
}

// "<commit>:<path>\0<number>\0<line>\n"; only the line may not hold the end of a field.
void PointerList::feed(std::string_view piece) {
  for (const char c : piece) {
    const bool in_line = fields_.size() == 2;
    if (!in_line && c == '\0') {
      fields_.push_back(std::move(field_));
      field_.clear();
    } else if (in_line && c == '\n') {
      take_line();
    } else if (field_.size() < most_field) {
      field_ += c;
    }
  }
}

void PointerList::take_line() {
  if (fields_[0] != path_) {
    take_file();
    path_ = fields_[0];
  }
  if (lines_.size() <= pointer_lines) lines_.push_back(std::move(field_));
  field_.clear();
  fields_.clear();
}

void PointerList::take_file() {
  const auto lines = std::exchange(lines_, {});
  const auto colon = path_.find(':');
  if (lines.size() != pointer_lines || lines[0] != version_line || colon == std::string::npos) return;
  if (!lines[1].starts_with(oid_begin) || !lines[2].starts_with(size_begin)) return;
  LfsPointer pointer{.path = path_.substr(colon + 1), .oid = lines[1].substr(oid_begin.size())};
  const auto digits = std::string_view(lines[2]).substr(size_begin.size());
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), pointer.size);
  const bool number = read.ec == std::errc() && read.ptr == digits.data() + digits.size();
  if (number && is_lfs_oid(pointer.oid)) pointers_.push_back(std::move(pointer));
}

Argv write_object(const std::string& path) {
  return {"/bin/sh", "-c", "exec cat > \"$1\"", "sh", in_checkout(path)};
}

Argv copy_object(const LfsPointer& pointer) {
  const auto place = pointer.oid.substr(0, 2) + "/" + pointer.oid.substr(2, 2) + "/" + pointer.oid;
  return {
      "/bin/sh",
      "-c",
      "for at in lfs .git/lfs; do [ -f \"$1/$at/objects/$2\" ] && exec cat \"$1/$at/objects/$2\" > \"$3\"; "
      "done; exit 3",
      "sh",
      sandbox::workspace_path,
      place,
      in_checkout(pointer.path)};
}

Argv hash_of_file(const std::string& path) {
  return {"/usr/bin/sha256sum", "--zero", "--", in_checkout(path)};
}

Argv assume_unchanged(const std::vector<std::string>& paths) {
  Argv argv{"/usr/bin/git", "-C", git_tree_path, "update-index", "--assume-unchanged", "--"};
  argv.insert(argv.end(), paths.begin(), paths.end());
  return argv;
}

}  // namespace agentrouter::keeper
