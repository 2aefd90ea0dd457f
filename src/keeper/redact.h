#pragma once
// What must never reach an event or a log, not even when it stood in the workspace already or came back from
// a server: the provider key and the values of MCP servers' header fields, as they are and as they look in
// base64, in hexadecimal, percent-encoded and escaped for JSON.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "egress/secret.h"

namespace agentrouter::keeper {

class Redactor {
 public:
  enum class Text { plain, json };

  // Nothing is hidden.
  Redactor() = default;
  // The secrets need not live on. Of a value like "Bearer WORD" the last word is looked for. A secret of
  // fewer than 8 bytes is none and is left alone: it would tear every text apart. Throws Failure(unavailable)
  // as SecretBuffer.
  explicit Redactor(const std::vector<std::string_view>& secrets);

  // Puts [REDACTED] in the place of what must not be seen; true when there was something. JSON stays JSON.
  bool clean(std::string& text, Text kind) const;

 private:
  struct Piece {
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  egress::SecretBuffer bytes_;  // of all patterns
  std::vector<Piece> patterns_;
};

}  // namespace agentrouter::keeper
