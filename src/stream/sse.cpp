#include "stream/sse.h"

namespace agentrouter::stream {

std::string event_frame(const model::Event& event) {
  std::string frame = "id: " + std::to_string(event.sequence) + "\nevent: " + event.type + "\ndata: ";
  const auto data = frame.size();
  frame += event.to_wire();
  // A payload is kept as it came. A line end in it can only be white space between tokens: JSON strings hold
  // none, and a raw one would end the data line.
  for (auto at = frame.find_first_of("\r\n", data); at != std::string::npos;
       at = frame.find_first_of("\r\n", at)) {
    frame[at] = ' ';
  }
  return frame += "\n\n";
}

std::string_view heartbeat_frame() {
  return "event: heartbeat\ndata: {}\n\n";
}

std::string_view keep_alive_frame() {
  return ": keep-alive\n\n";
}

std::string retry_frame(std::chrono::milliseconds delay) {
  return "retry: " + std::to_string(delay.count()) + "\n\n";
}

}  // namespace agentrouter::stream
