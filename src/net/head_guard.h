#pragma once
// The strict half of reading HTTP/1.1 heads, for requests and responses: what Boost.Beast lets through and
// another server could frame differently. Internal to net.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/http.h"

namespace agentrouter::net {

// Looks at the raw bytes of a head as they arrive, each byte once.
class HeadScanner {
 public:
  // The head's size with its empty line once that has arrived, else nullopt; look at problem() first.
  // `bytes` is all of the head so far.
  std::optional<std::size_t> scan(std::string_view bytes);
  // What is wrong with what was scanned, or "".
  [[nodiscard]] std::string_view problem() const { return problem_; }

 private:
  std::size_t scanned_ = 0;
  std::size_t line_length_ = 0;
  bool first_line_ = true;
  char last_ = '\n';
  std::string_view problem_;
};

struct Framing {
  bool chunked = false;
  std::optional<std::uint64_t> length;
  std::string_view problem = {};  // "" when the fields frame the body beyond doubt
  bool unknown_coding = false;    // problem is a transfer coding other than chunked
};
[[nodiscard]] Framing framing_of(const Headers& headers, int minor_version);

}  // namespace agentrouter::net
