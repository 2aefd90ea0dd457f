// covers: src/workspace/line_diff.cpp src/workspace/patch.cpp src/workspace/binary_patch.cpp
// Two arbitrary contents: the edits lead from one to the other, whatever budget they have, and a patch is made of every pair.
#include <string>

#include "bytes_file.h"
#include "require.h"
#include "workspace/line_diff.h"
#include "workspace/patch.h"

using namespace agentrouter;

namespace {

std::string applied(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b,
                    const std::vector<workspace::Edit>& edits) {
  std::string result;
  std::uint32_t at = 0;
  for (const auto& edit : edits) {
    require(edit.a_begin >= at && edit.a_end >= edit.a_begin && edit.a_end <= a.size() && edit.b_end >= edit.b_begin && edit.b_end <= b.size());
    for (; at < edit.a_begin; ++at) result += a[at];
    for (auto line = edit.b_begin; line < edit.b_end; ++line) result += b[line];
    at = edit.a_end;
  }
  for (; at < a.size(); ++at) result += a[at];
  return result;
}

workspace::Side side(std::uint8_t kind, const std::string& content) {
  workspace::Side side;
  if (kind % 5 == 0) return side;
  side.node.kind = kind % 5 == 1 ? workspace::Kind::link : workspace::Kind::file;
  side.node.executable = kind % 5 == 2;
  side.node.size = content.size();
  workspace::BlobHash hash(content.size());
  hash.update(content);
  side.blob = hash.hex();
  if (kind % 5 != 3) side.content = content;
  return side;
}

}  // namespace

// [budget] [kinds] [length of the path] path, before NUL after.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const auto bytes = bytes_of(data + 3, size - 3);
  const auto path = "p" + bytes.substr(0, data[2] % 20);
  const auto rest = bytes.substr(std::min<std::size_t>(data[2] % 20, bytes.size()));
  const auto middle = std::min(rest.find('\0'), rest.size());
  const auto before = rest.substr(0, middle), after = middle < rest.size() ? rest.substr(middle + 1) : "";
  const auto a = workspace::split_lines(before), b = workspace::split_lines(after);
  for (const auto& budget : {workspace::DiffBudget{}, workspace::DiffBudget{data[0], 1u + data[0] % 7, 1u + data[0] % 50}}) {
    require(applied(a, b, workspace::diff_lines(a, b, budget)) == after);
  }
  const auto quoted = workspace::quote_path(path);
  require(quoted.find('\n') == std::string::npos);
  std::ignore = workspace::is_applicable(path, workspace::Kind::file);
  std::ignore = workspace::omission(path, "too large");
  const auto old_side = side(data[1] % 5, before), new_side = side(data[1] / 5, after);
  if (!old_side.node.is_content() && !new_side.node.is_content()) return 0;
  if (old_side.blob == new_side.blob && old_side.node.kind == new_side.node.kind && old_side.node.executable == new_side.node.executable) return 0;
  const auto patch = workspace::file_patch(path, old_side, new_side);
  require(patch.rfind("diff --git ", 0) == 0 && patch.back() == '\n');
  return 0;
}
