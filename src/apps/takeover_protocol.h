#pragma once
// What two servers say to each other while one takes over from the other, as SEQPACKET messages on
// DATA/takeover.sock; one JSON object each, some with descriptors (docs/formats/takeover.md).
//
//   newer: hello        owner: welcome (its listening sockets) or refused
//   newer: go           owner: connections (idle ones, any number of times), then yours (the lock)
//   newer: ready        owner: ends
//
// The first message of each side says a version in `protocol`, in this form for ever.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace agentrouter::apps::takeover {

inline constexpr int protocol = 1;
inline constexpr const char* socket_name = "takeover.sock";
inline constexpr std::size_t message_bytes = 16u << 10;
inline constexpr std::size_t fds_of_message = 32;

struct Hello {
  int protocol = takeover::protocol;
};
// With a descriptor for each of `activated`, which says whether a service manager opened it.
struct Welcome {
  int protocol = takeover::protocol;
  std::vector<bool> activated;
};
struct Refused {
  std::string code;  // takeover_protocol, takeover_in_progress, takeover_denied, server_stopping
  std::string message;
  int protocol = takeover::protocol;
};
struct Go {};
struct Connections {};  // with descriptors
struct Yours {};        // with the lock's
struct Ready {};
using Message = std::variant<Hello, Welcome, Refused, Go, Connections, Yours, Ready>;

[[nodiscard]] std::string to_text(const Message& message);
// Errors: invalid.
[[nodiscard]] base::Result<Message> parse(std::string_view text);

// Whether a process of user `theirs` may take over from one of user `ours`.
[[nodiscard]] constexpr bool admits(unsigned theirs, unsigned ours) {
  return theirs == ours || theirs == 0;
}

}  // namespace agentrouter::apps::takeover
