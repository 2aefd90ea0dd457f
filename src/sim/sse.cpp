#include "sim/sse.h"

#include <algorithm>

#include "base/utf8.h"

namespace agentrouter::sim {

std::size_t tokens(std::size_t bytes) {
  return (bytes + 3) / 4;
}

std::vector<std::string_view> deltas(std::string_view text) {
  std::vector<std::string_view> pieces;
  const auto step = std::max<std::size_t>(12, text.size() / 256);
  while (!text.empty()) {
    auto piece = base::cut_utf8(text, step);
    if (piece.empty()) piece = text;
    pieces.push_back(piece);
    text.remove_prefix(piece.size());
  }
  return pieces;
}

std::string event_bytes(std::string_view type, const json::object& data) {
  std::string bytes = "event: ";
  bytes.append(type).append("\ndata: ").append(base::to_text(data)).append("\n\n");
  return bytes;
}

Reply cut_in_the_middle(Reply whole, std::string_view finishing) {
  const auto head = "event: " + std::string(finishing) + "\n";
  const auto cut = std::find_if(whole.chunks.begin(), whole.chunks.end(),
                                [&](const Chunk& chunk) { return chunk.bytes.starts_with(head); });
  if (cut != whole.chunks.end()) whole.chunks.erase(std::next(cut), whole.chunks.end());
  auto& last = whole.chunks.back().bytes;
  last.resize(last.size() / 2);
  whole.ending = Ending::cut;
  return whole;
}

}  // namespace agentrouter::sim
