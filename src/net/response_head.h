#pragma once
// A response head as bytes. The fields that frame the message are written here and nowhere else. Internal to
// net.

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace agentrouter::net {

enum class BodyFraming { none, length, chunked, close };

struct HeadFacts {
  BodyFraming framing = BodyFraming::length;
  std::uint64_t length = 0;  // with BodyFraming::length
  int minor_version = 1;     // of the request
  bool keep_alive = true;
  std::string_view date;  // as http_date() writes it
};

// Appends status line, fields and the empty line. Framing fields among `response.headers` are left out, and
// control characters in values become blanks, so that no value can begin a line of its own.
void append_response_head(std::string& out, const Response& response, const HeadFacts& facts);

}  // namespace agentrouter::net
