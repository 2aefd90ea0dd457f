#include "keeper/replay_diff.h"

#include <algorithm>

#include "base/utf8.h"
#include "egress/canonical_body.h"
#include "workspace/line_diff.h"

namespace agentrouter::keeper {
namespace {

constexpr std::uint32_t context_lines = 3;
constexpr std::size_t line_bytes = 400;

std::string request_text(const egress::AskedRequest& request) {
  return request.method + " " + request.path + "\n" + egress::readable(request.body);
}

using DiffLines = std::vector<std::string_view>;

void put_lines(std::string& out, char mark, const DiffLines& lines, std::uint32_t begin, std::uint32_t end) {
  for (std::uint32_t i = begin; i < end; ++i) {
    auto line = lines[i];
    if (line.ends_with('\n')) line.remove_suffix(1);
    out += mark;
    out += base::cut_utf8(line, line_bytes);
    out += line.size() > line_bytes ? "...\n" : "\n";
  }
}

std::string range(std::uint32_t begin, std::uint32_t end) {
  return std::to_string(end == begin ? begin : begin + 1) + "," + std::to_string(end - begin);
}

// Edits [first, last) whose surroundings touch.
void put_hunk(std::string& out, const DiffLines& a, const DiffLines& b, const std::vector<workspace::Edit>& edits,
              std::size_t first, std::size_t last) {
  const auto before = std::min(edits[first].a_begin, context_lines);
  const auto a_begin = edits[first].a_begin - before;
  const auto b_begin = edits[first].b_begin - before;
  const auto after = std::min<std::uint32_t>(static_cast<std::uint32_t>(a.size()) - edits[last - 1].a_end, context_lines);
  out += "@@ -" + range(a_begin, edits[last - 1].a_end + after) + " +" + range(b_begin, edits[last - 1].b_end + after) + " @@\n";
  std::uint32_t at = a_begin;
  for (std::size_t i = first; i < last; ++i) {
    put_lines(out, ' ', a, at, edits[i].a_begin);
    put_lines(out, '-', a, edits[i].a_begin, edits[i].a_end);
    put_lines(out, '+', b, edits[i].b_begin, edits[i].b_end);
    at = edits[i].a_end;
  }
  put_lines(out, ' ', a, at, edits[last - 1].a_end + after);
}

}  // namespace

std::string replay_diff(const egress::ReplayMismatch& mismatch, std::size_t most) {
  const std::string expected = mismatch.expected ? request_text(*mismatch.expected) : std::string();
  const std::string asked = request_text(mismatch.asked);
  const DiffLines a = workspace::split_lines(expected);
  const DiffLines b = workspace::split_lines(asked);
  const auto edits = workspace::diff_lines(a, b);
  std::string out = "--- cassette, request " + std::to_string(mismatch.number) + "\n+++ this run\n";
  for (std::size_t first = 0; first < edits.size() && out.size() < most;) {
    std::size_t last = first + 1;
    while (last < edits.size() && edits[last].a_begin - edits[last - 1].a_end <= 2 * context_lines) ++last;
    put_hunk(out, a, b, edits, first, last);
    first = last;
  }
  if (out.size() > most) out = std::string(base::cut_utf8(out, most)) + "\n... (cut)\n";
  return out;
}

}  // namespace agentrouter::keeper
