#include "net/head_guard.h"

#include <algorithm>
#include <charconv>

namespace agentrouter::net {

namespace {

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\r' && c != '\n' && c != '\t') || byte == 0x7f;
}

}  // namespace

std::optional<std::size_t> HeadScanner::scan(std::string_view bytes) {
  for (; scanned_ < bytes.size(); ++scanned_) {
    const char c = bytes[scanned_];
    const bool ends_line = c == '\n';
    if (is_control(c)) {
      problem_ = "a control character in the head";
    } else if (ends_line != (last_ == '\r')) {
      problem_ = "a line that does not end with CR LF";
    } else if (line_length_ == 0 && !first_line_ && (c == ' ' || c == '\t')) {
      problem_ = "a folded header field";
    }
    if (!problem_.empty()) return std::nullopt;
    last_ = c;
    if (!ends_line) {
      ++line_length_;
      continue;
    }
    const bool empty_line = line_length_ == 1;
    line_length_ = 0;
    if (empty_line) return ++scanned_;
    first_line_ = false;
  }
  return std::nullopt;
}

Framing framing_of(const Headers& headers, int minor_version) {
  Framing framing;
  const auto lengths = headers.count("content-length");
  const auto codings = headers.count("transfer-encoding");
  if (lengths > 1) {
    framing.problem = "more than one Content-Length";
  } else if (codings > 1) {
    framing.problem = "more than one Transfer-Encoding";
  } else if (lengths > 0 && codings > 0) {
    framing.problem = "Transfer-Encoding beside Content-Length";
  } else if (codings > 0 && minor_version == 0) {
    framing.problem = "Transfer-Encoding in HTTP/1.0";
  } else if (codings > 0 && !iequals(headers.get("transfer-encoding"), "chunked")) {
    framing.problem = "a transfer coding other than chunked";
    framing.unknown_coding = true;
  } else if (lengths > 0) {
    const auto text = headers.get("content-length");
    std::uint64_t length = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
    if (text.empty() || text.front() == '+' || text.front() == '-' || parsed.ec != std::errc() ||
        parsed.ptr != text.data() + text.size()) {
      framing.problem = "a Content-Length that is not a number";
    } else {
      framing.length = length;
    }
  }
  framing.chunked = framing.problem.empty() && codings > 0;
  return framing;
}

}  // namespace agentrouter::net
