#include "workspace/line_diff.h"

#include <algorithm>
#include <unordered_map>

namespace agentrouter::workspace {

namespace {

struct Range {
  std::uint32_t a_begin, a_end, b_begin, b_end;
};
struct Point {
  std::uint32_t a, b;
};

// Myers over two sequences of numbers; marks in `a_changed` and `b_changed` what has no partner.
class Search {
 public:
  Search(const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b, DiffBudget budget)
      : a_changed(a.size()), b_changed(b.size()), a_(a), b_(b), budget_(budget) {}

  void run();

  std::vector<bool> a_changed;
  std::vector<bool> b_changed;

 private:
  enum class Way { forward, backward };
  void trim(Range& range) const;
  void mark(const Range& range);
  Point split(const Range& range);
  bool advance(Way way, const Range& range, std::int64_t d, Point& found);
  [[nodiscard]] Point furthest(const Range& range, std::int64_t d) const;

  const std::vector<std::uint32_t>& a_;
  const std::vector<std::uint32_t>& b_;
  DiffBudget budget_;
  // The furthest reaching point of each diagonal, from both ends; diagonal 0 is at `middle_`.
  std::vector<std::int64_t> forward_, backward_;
  std::int64_t middle_ = 0;
  std::int64_t low_[2] = {}, high_[2] = {};  // diagonals that left the rectangle on either side
};

void Search::trim(Range& r) const {
  while (r.a_begin < r.a_end && r.b_begin < r.b_end && a_[r.a_begin] == b_[r.b_begin])
    ++r.a_begin, ++r.b_begin;
  while (r.a_begin < r.a_end && r.b_begin < r.b_end && a_[r.a_end - 1] == b_[r.b_end - 1])
    --r.a_end, --r.b_end;
}

void Search::mark(const Range& r) {
  std::fill(a_changed.begin() + r.a_begin, a_changed.begin() + r.a_end, true);
  std::fill(b_changed.begin() + r.b_begin, b_changed.begin() + r.b_end, true);
}

void Search::run() {
  std::vector<Range> open{
      {0, static_cast<std::uint32_t>(a_.size()), 0, static_cast<std::uint32_t>(b_.size())}};
  while (!open.empty()) {
    auto range = open.back();
    open.pop_back();
    trim(range);
    if (range.a_begin == range.a_end || range.b_begin == range.b_end || budget_.steps == 0) {
      mark(range);
      continue;
    }
    const auto at = split(range);
    const bool stuck =
        (at.a == range.a_begin && at.b == range.b_begin) || (at.a == range.a_end && at.b == range.b_end);
    if (stuck) {
      mark(range);
      continue;
    }
    open.push_back({at.a, range.a_end, at.b, range.b_end});
    open.push_back({range.a_begin, at.a, range.b_begin, at.b});
  }
}

// One more edit from one end. True when both ends have met, in `found`.
bool Search::advance(Way way, const Range& r, std::int64_t d, Point& found) {
  const bool ahead = way == Way::forward;
  auto& mine = ahead ? forward_ : backward_;
  const auto& other = ahead ? backward_ : forward_;
  const std::int64_t n = r.a_end - r.a_begin, m = r.b_end - r.b_begin, delta = n - m;
  auto& low = low_[ahead ? 0 : 1];
  auto& high = high_[ahead ? 0 : 1];
  for (auto k = -d + low; k <= d - high; k += 2) {
    auto& cell = mine[static_cast<std::size_t>(middle_ + k)];
    const auto below = mine[static_cast<std::size_t>(middle_ + k - 1)];
    const auto above = mine[static_cast<std::size_t>(middle_ + k + 1)];
    auto x = k == -d || (k != d && below < above) ? above : below + 1;
    auto y = x - k;
    const auto begin = x;
    while (x < n && y < m &&
           (ahead ? a_[static_cast<std::size_t>(r.a_begin + x)] == b_[static_cast<std::size_t>(r.b_begin + y)]
                  : a_[static_cast<std::size_t>(r.a_end - x - 1)] ==
                        b_[static_cast<std::size_t>(r.b_end - y - 1)])) {
      ++x, ++y;
    }
    budget_.steps -= std::min<std::uint64_t>(budget_.steps, static_cast<std::uint64_t>(x - begin) + 1);
    cell = x;
    if (x > n) {
      high += 2;
    } else if (y > m) {
      low += 2;
    } else if (((delta & 1) != 0) == ahead) {
      const auto mirrored = middle_ + delta - k;
      if (mirrored < 0 || mirrored >= static_cast<std::int64_t>(other.size())) continue;
      const auto theirs = other[static_cast<std::size_t>(mirrored)];
      if (theirs < 0 || x + theirs < n) continue;
      const auto a = ahead ? x : n - x;
      const auto b = ahead ? y : m - y;
      found = {static_cast<std::uint32_t>(r.a_begin + a), static_cast<std::uint32_t>(r.b_begin + b)};
      return true;
    }
  }
  return false;
}

Point Search::furthest(const Range& r, std::int64_t d) const {
  const std::int64_t n = r.a_end - r.a_begin, m = r.b_end - r.b_begin;
  std::int64_t best = -1, best_x = 0, best_y = 0;
  for (auto k = -d; k <= d; ++k) {
    const auto x = forward_[static_cast<std::size_t>(middle_ + k)];
    const auto y = x - k;
    if (x < 0 || y < 0 || x > n || y > m || x + y <= best) continue;
    best = x + y;
    best_x = x;
    best_y = y;
  }
  return {static_cast<std::uint32_t>(r.a_begin + best_x), static_cast<std::uint32_t>(r.b_begin + best_y)};
}

// A point on a shortest path; when that is too far to look for, the furthest one from the beginning.
Point Search::split(const Range& r) {
  const std::int64_t total = std::int64_t{r.a_end - r.a_begin} + (r.b_end - r.b_begin);
  const auto limit = std::min<std::int64_t>((total + 1) / 2, budget_.max_cost);
  middle_ = limit + 2;
  forward_.assign(static_cast<std::size_t>(2 * middle_ + 1), -1);
  backward_.assign(static_cast<std::size_t>(2 * middle_ + 1), -1);
  forward_[static_cast<std::size_t>(middle_ + 1)] = 0;
  backward_[static_cast<std::size_t>(middle_ + 1)] = 0;
  low_[0] = low_[1] = high_[0] = high_[1] = 0;
  Point found{};
  for (std::int64_t d = 0; d <= limit; ++d) {
    if (advance(Way::forward, r, d, found) || advance(Way::backward, r, d, found)) return found;
    if (budget_.steps == 0) return furthest(r, d);
  }
  return furthest(r, limit);
}

// Lines as numbers, without those that stand on one side only: they are changed whatever the rest is.
struct Numbered {
  std::vector<std::uint32_t> ids;
  std::vector<std::uint32_t> lines;  // where ids[i] stands
};

std::vector<Edit> edits_of(const std::vector<bool>& a, const std::vector<bool>& b, std::uint32_t skipped) {
  std::vector<Edit> edits;
  std::uint32_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    const Edit begin{i, i, j, j};
    while (i < a.size() && a[i]) ++i;
    while (j < b.size() && b[j]) ++j;
    if (i != begin.a_begin || j != begin.b_begin) {
      edits.push_back({begin.a_begin + skipped, i + skipped, begin.b_begin + skipped, j + skipped});
    } else {
      ++i, ++j;
    }
  }
  return edits;
}

}  // namespace

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto size = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

std::vector<Edit> diff_lines(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b,
                             DiffBudget budget) {
  std::uint32_t head = 0;
  auto a_end = static_cast<std::uint32_t>(a.size()), b_end = static_cast<std::uint32_t>(b.size());
  while (head < a_end && head < b_end && a[head] == b[head]) ++head;
  while (a_end > head && b_end > head && a[a_end - 1] == b[b_end - 1]) --a_end, --b_end;
  if (head == a_end && head == b_end) return {};
  if (head == a_end || head == b_end || a_end - head > budget.max_lines || b_end - head > budget.max_lines) {
    return {{head, a_end, head, b_end}};
  }

  enum : std::uint8_t { in_a = 1, in_b = 2 };
  std::unordered_map<std::string_view, std::uint32_t> numbers;
  std::vector<std::uint8_t> where;
  const auto number = [&](const std::vector<std::string_view>& text, std::uint32_t end, std::uint8_t side) {
    std::vector<std::uint32_t> ids;
    for (auto i = head; i < end; ++i) {
      const auto at = numbers.try_emplace(text[i], static_cast<std::uint32_t>(numbers.size())).first->second;
      if (at == where.size()) where.push_back(0);
      where[at] |= side;
      ids.push_back(at);
    }
    return ids;
  };
  const auto a_ids = number(a, a_end, in_a), b_ids = number(b, b_end, in_b);
  const auto keep_common = [&](const std::vector<std::uint32_t>& ids) {
    Numbered kept;
    for (std::uint32_t i = 0; i < ids.size(); ++i) {
      if (where[ids[i]] != (in_a | in_b)) continue;
      kept.ids.push_back(ids[i]);
      kept.lines.push_back(i);
    }
    return kept;
  };
  const auto a_common = keep_common(a_ids), b_common = keep_common(b_ids);

  Search search(a_common.ids, b_common.ids, budget);
  search.run();
  std::vector<bool> a_changed(a_ids.size(), true), b_changed(b_ids.size(), true);
  for (std::size_t i = 0; i < a_common.lines.size(); ++i) a_changed[a_common.lines[i]] = search.a_changed[i];
  for (std::size_t i = 0; i < b_common.lines.size(); ++i) b_changed[b_common.lines[i]] = search.b_changed[i];
  return edits_of(a_changed, b_changed, head);
}

}  // namespace agentrouter::workspace
