#include "base/figures.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace agentrouter::base {

namespace {

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

void Histogram::add(double value) {
  const auto place = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  const std::lock_guard lock(mutex_);
  counts_[static_cast<std::size_t>(place)] += 1;
  sum_ += value;
}

Histogram::Seen Histogram::seen() const {
  const std::lock_guard lock(mutex_);
  return {bounds_, counts_, sum_};
}

void FigureText::begin(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
  text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
}

void FigureText::line(std::string_view suffix, const Labels& labels, double value) {
  text_.append(name_).append(suffix);
  std::string inside;
  for (const auto& [label, said] : labels)
    inside.append(inside.empty() ? "" : ",").append(label).append("=\"").append(escaped(said)).append("\"");
  if (!inside.empty()) text_.append("{").append(inside).append("}");
  text_.append(" ").append(number(value)).append("\n");
}

void FigureText::value(double value, const Labels& labels) {
  line("", labels, value);
}

void FigureText::values(const Histogram::Seen& seen, const Labels& labels) {
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < seen.counts.size(); ++i) {
    so_far += seen.counts[i];
    auto with_bound = labels;
    with_bound.emplace_back("le", i < seen.bounds.size() ? number(seen.bounds[i]) : "+Inf");
    line("_bucket", with_bound, static_cast<double>(so_far));
  }
  line("_sum", labels, seen.sum);
  line("_count", labels, static_cast<double>(so_far));
}

}  // namespace agentrouter::base
