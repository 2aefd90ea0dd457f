#include "agents/line_splitter.h"

#include <utility>

namespace agentrouter::agents {

std::optional<std::string_view> LineSplitter::next() {
  if (std::exchange(pending_taken_, false)) pending_.clear();
  if (overflowed_) return std::nullopt;
  const auto end = rest_.find('\n');
  const auto length = pending_.size() + (end == std::string_view::npos ? rest_.size() : end);
  if (length > max_line_bytes_) {
    overflowed_ = true;
    pending_.clear();
    pending_.shrink_to_fit();
    return std::nullopt;
  }
  if (end == std::string_view::npos) {
    pending_ += std::exchange(rest_, {});
    return std::nullopt;
  }
  auto line = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  if (pending_.empty()) return line;
  pending_ += line;
  pending_taken_ = true;
  return pending_;
}

}  // namespace agentrouter::agents
