// covers: src/agents/review_answer.cpp
// A reviewer's answer from arbitrary bytes: no crash, one line of reason, and what allows holds the word. The
// first byte is the provider.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agents/review.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto kind = data[0] % 2 == 0 ? model::RuntimeKind::codex : model::RuntimeKind::claude_code;
  const auto verdict = agents::read_review(kind, 200, body);
  if (verdict.reason.find('\n') != std::string::npos) std::abort();
  if (verdict.allowed && body.find("allow") == std::string_view::npos && body.find("\\u") == std::string_view::npos) std::abort();
  if (agents::read_review(kind, 500, body).allowed) std::abort();
  return 0;
}
