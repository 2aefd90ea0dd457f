#pragma once
// Line-delimited JSON on stdin and stdout, on one thread: whoever waits for anything else keeps reading here.

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::scripted_agent {

// stdin is at its end: the client is gone, and so is the reason to go on.
struct Gone {};

[[nodiscard]] std::int64_t now_ms();

class Wire {
 public:
  // The next message; nothing when `time` has passed or `also` (a descriptor, or -1) is readable.
  // Throws Gone at the end of stdin. Lines that are not JSON objects are skipped.
  [[nodiscard]] std::optional<json::object> next(std::chrono::milliseconds time, int also = -1);
  static constexpr std::chrono::milliseconds for_ever{-1};

  void send(json::object message);
  void notify(std::string_view method, json::object params);
  void answer(const json::value& id, json::object result);
  void refuse(const json::value& id, int code, std::string_view message);
  // Throws Gone when nobody reads.
  static void write(int descriptor, std::string_view bytes);

 private:
  [[nodiscard]] std::optional<json::object> take_line();

  std::string buffer_;
};

}  // namespace agentrouter::scripted_agent
