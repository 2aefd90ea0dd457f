#include "net/sse.h"

namespace agentrouter::net {

void append_sse(std::string& out, const SseFrame& frame) {
  if (frame.id) out.append("id: ").append(std::to_string(*frame.id)).append("\n");
  if (!frame.event.empty()) out.append("event: ").append(frame.event).append("\n");
  std::string_view rest = frame.data;
  for (;;) {
    const auto end = rest.find_first_of("\r\n");
    out.append("data: ").append(rest.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  out += '\n';
}

std::string sse_retry(std::uint32_t milliseconds) {
  return "retry: " + std::to_string(milliseconds) + "\n\n";
}

base::Result<void> SseParser::feed(std::string_view bytes,
                                   const std::function<void(const SseEvent&)>& on_event) {
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const auto end = bytes.find_first_of("\r\n");
    const auto piece = bytes.substr(0, end);
    if (line_.size() + event_.data.size() + piece.size() > max_event_bytes_) {
      return base::fail(base::Code::exhausted, "cannot read an event stream: a frame is over " +
                                                   std::to_string(max_event_bytes_) + " bytes");
    }
    if (end == std::string_view::npos) {
      line_ += piece;
      break;
    }
    if (line_.empty()) {
      take_line(piece, on_event);
    } else {
      line_ += piece;
      take_line(line_, on_event);
      line_.clear();
    }
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
  }
  return {};
}

void SseParser::take_line(std::string_view line, const std::function<void(const SseEvent&)>& on_event) {
  if (first_line_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) {
      event_.data.pop_back();
      on_event(event_);
    }
    event_.event.clear();
    event_.data.clear();
    has_data_ = false;
    return;
  }
  const auto colon = line.find(':');
  const auto field = line.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    event_.data.append(value).append("\n");
    has_data_ = true;
  } else if (field == "event") {
    event_.event = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    event_.id = value;
  }
}

}  // namespace agentrouter::net
