#pragma once
// Server-sent events, both ways, without I/O. Frames end with LF LF only: the published SDK's parser throws
// at CR LF.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::net {

struct SseFrame {
  std::optional<std::uint64_t> id;
  std::string_view event;  // left out when empty
  std::string_view data;   // each of its lines becomes one `data:` line
};
void append_sse(std::string& out, const SseFrame& frame);

// A comment, which keeps proxies awake and which every client ignores.
inline constexpr std::string_view sse_heartbeat = ":\n\n";
// "retry: 1000\n\n"
[[nodiscard]] std::string sse_retry(std::uint32_t milliseconds);

struct SseEvent {
  std::string id;
  std::string event;  // "" when the frame names none
  std::string data;   // lines joined with LF
};

// Reads frames from pieces of any size, with LF, CR LF or CR line ends, as the HTML standard says.
class SseParser {
 public:
  explicit SseParser(std::size_t max_event_bytes = 16 * 1024 * 1024) : max_event_bytes_(max_event_bytes) {}

  // Calls `on_event` for each frame with data that `bytes` completes. The event dies with the call.
  // Errors: exhausted (a frame over the limit); the parser is then of no more use.
  [[nodiscard]] base::Result<void> feed(std::string_view bytes,
                                        const std::function<void(const SseEvent&)>& on_event);

 private:
  void take_line(std::string_view line, const std::function<void(const SseEvent&)>& on_event);

  std::size_t max_event_bytes_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool first_line_ = true;
  bool after_cr_ = false;
};

}  // namespace agentrouter::net
