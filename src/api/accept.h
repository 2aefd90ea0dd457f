#pragma once
// What a caller wants to get, by its Accept field (RFC 9110 section 12.5.1). A range that cannot be read is
// as good as absent.

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace agentrouter::api {

class Accept {
 public:
  explicit Accept(const net::Headers& headers);

  // 0 to 1000: of the most specific range that covers `type` ("application/json"). 1000 without any range.
  [[nodiscard]] int quality(std::string_view type) const;
  // True when `type` is listed as itself, not as */*, and is not refused by q=0.
  [[nodiscard]] bool names(std::string_view type) const;

 private:
  struct Range {
    std::string type;  // lower case: "text/html", "text/*", "*/*"
    int quality = 1000;
  };
  std::vector<Range> ranges_;
};

enum class ErrorForm { envelope, problem };
// problem when application/problem+json is named and not liked less than application/json.
[[nodiscard]] ErrorForm error_form(const net::Headers& headers);

}  // namespace agentrouter::api
