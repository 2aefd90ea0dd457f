#pragma once
// The text of server-sent events: LF only, each frame ends with an empty line.

#include <chrono>
#include <string>
#include <string_view>

#include "model/event.h"

namespace agentrouter::stream {

// id: <sequence>, event: <type>, data: <RunEvent on one line>.
[[nodiscard]] std::string event_frame(const model::Event& event);
// "event: heartbeat", "data: {}": what a batch without events answers.
[[nodiscard]] std::string_view heartbeat_frame();
// A comment: keeps a live connection open and is ignored by every parser.
[[nodiscard]] std::string_view keep_alive_frame();
[[nodiscard]] std::string retry_frame(std::chrono::milliseconds delay);

}  // namespace agentrouter::stream
