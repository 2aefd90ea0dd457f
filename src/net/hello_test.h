#pragma once
// For tests: ClientHellos put together by hand.

#include <string>

namespace agentrouter::net::hello {

inline std::string with_length(std::size_t bytes, const std::string& text) {
  std::string out;
  for (auto shift = bytes * 8; shift > 0; shift -= 8) out += static_cast<char>(text.size() >> (shift - 8) & 0xff);
  return out + text;
}
inline std::string extension(unsigned type, const std::string& body) {
  return std::string{static_cast<char>(type >> 8), static_cast<char>(type & 0xff)} + with_length(2, body);
}
inline std::string server_name(const std::string& name) {
  return extension(0, with_length(2, std::string(1, '\0') + with_length(2, name)));
}
inline std::string message(const std::string& extensions) {
  const auto body = std::string("\x03\x03") + std::string(32, 'r') + with_length(1, "") + with_length(2, "\x13\x01") +
                    with_length(1, std::string(1, '\0')) + with_length(2, extensions);
  return std::string("\x01") + with_length(3, body);
}
inline std::string record(const std::string& fragment) {
  return std::string("\x16\x03\x01") + with_length(2, fragment);
}

}  // namespace agentrouter::net::hello
