#pragma once
// Which tools a model may be offered and may call, where each call is an action: those that the agent asks
// about before it uses them. The request loses the others on its way out, and an answer that calls one
// nevertheless does not reach the agent. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace agentrouter::egress {

struct ToolRules {
  std::vector<std::string> names;      // "Bash"; "mcp__*" is all names, or groups of tools, that begin so
  std::vector<std::string> wait_only;  // of those: may be called, but only with no text in "chars"
};

// The body of a request without the tools that may not be offered; as it is when there are none such.
// Errors: invalid (no JSON object).
[[nodiscard]] base::Result<std::string> offer_only(const ToolRules& rules, std::string body);

// Reads an answer (server-sent events or one JSON document) and lets through whole lines, or the whole
// document, once they are known to call nothing else.
class CallGuard {
 public:
  static constexpr std::size_t held_bytes = 16u << 20;  // one line or document; a longer one is refused

  enum class Format { events, document };
  // `rules` outlives it.
  CallGuard(const ToolRules& rules, Format format) : rules_(&rules), format_(format) {}

  // Appends to `out` what may pass. False: nothing more may behind that, and called() says why.
  [[nodiscard]] bool feed(std::string_view bytes, std::string& out);
  // The answer has ended: what was held back.
  [[nodiscard]] bool finish(std::string& out);

  // The tool that was called; "(unreadable)" when that cannot be told.
  [[nodiscard]] const std::string& called() const { return called_; }

 private:
  std::size_t take_lines();
  bool take_line(std::string_view line);
  bool take_document(std::string_view text);

  const ToolRules* rules_;
  Format format_;
  std::string held_;
  std::size_t searched_ = 0;
  std::string data_;  // of the event so far
  std::string called_;
};

}  // namespace agentrouter::egress
