#include "sim/reply.h"

#include <algorithm>

namespace agentrouter::sim {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::string_view Call::header(std::string_view name) const {
  for (const auto& header : headers) {
    if (equal_without_case(header.name, name)) return header.value;
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
