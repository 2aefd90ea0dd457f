#include "sim/reply.h"

#include "base/ascii.h"

namespace agentrouter::sim {

std::string_view Call::header(std::string_view name) const {
  for (const auto& header : headers) {
    if (base::equal_without_case(header.name, name)) return header.value;
  }
  return {};
}

bool Reply::is_event_stream() const {
  return std::any_of(headers.begin(), headers.end(), [](const Header& header) {
    return header.name == "content-type" && header.value.starts_with("text/event-stream");
  });
}

std::size_t Reply::body_size() const {
  std::size_t size = 0;
  for (const auto& chunk : chunks) size += chunk.bytes.size();
  return size;
}

std::string Reply::body() const {
  std::string all;
  all.reserve(body_size());
  for (const auto& chunk : chunks) all += chunk.bytes;
  return all;
}

}  // namespace agentrouter::sim
