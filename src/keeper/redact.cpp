#include "keeper/redact.h"

namespace agentrouter::keeper {

bool redact(std::string& text, std::string_view secret) {
  constexpr std::string_view mark = "[REDACTED]";
  if (secret.size() < 8) return false;
  std::size_t at = text.find(secret);
  if (at == std::string::npos) return false;
  std::string clean;
  std::size_t from = 0;
  for (; at != std::string::npos; at = text.find(secret, from)) {
    clean.append(text, from, at - from).append(mark);
    from = at + secret.size();
  }
  clean.append(text, from, std::string::npos);
  text = std::move(clean);
  return true;
}

}  // namespace agentrouter::keeper
