#include "sse.hpp"

#include <agentrouter/error.hpp>
#include <algorithm>
#include <charconv>

namespace agentrouter::detail {

void SseParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (std::exchange(skip_lf_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const auto end = bytes.find_first_of("\r\n");
    pending_ += bytes.substr(0, end);
    if (pending_.size() + data_.size() > max_frame) {
      throw Error("protocol_error", "the server's event stream has a frame over 64 MiB");
    }
    if (end == std::string_view::npos) return;
    skip_lf_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    line(pending_);
    pending_.clear();
  }
}

void SseParser::line(std::string_view text) {
  if (std::exchange(first_line_, false) && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (text.empty()) return dispatch();
  const auto colon = text.find(':');
  if (colon == 0) return;  // a comment
  const auto field = text.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "event") {
    event_ = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    id_ = value;
  } else if (field == "retry") {
    int delay = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), delay);
    if (error == std::errc() && end == value.data() + value.size() && delay >= 0) {
      retry_ = std::chrono::milliseconds(delay);
    }
  }
}

void SseParser::dispatch() {
  if (has_data_) frames_.push_back({id_, event_.empty() ? "message" : event_, std::move(data_)});
  event_.clear();
  data_.clear();
  has_data_ = false;
}

std::optional<SseFrame> SseParser::next() {
  if (frames_.empty()) return std::nullopt;
  auto frame = std::move(frames_.front());
  frames_.pop_front();
  return frame;
}

void SseParser::reset() {
  const auto retry = retry_;
  *this = SseParser();
  retry_ = retry;
}

}  // namespace agentrouter::detail
