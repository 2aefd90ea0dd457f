// covers: src/sim/script.cpp
// Scripts and requests of the simulated provider from arbitrary bytes: no crash, and always an answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "sim/plain.h"
#include "sim/script.h"
#include "sim/simulator.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto script = sim::parse_script(text)) {
    // A repeated step makes more calls than the text has bytes.
    if (!script->due(SIZE_MAX).final_message) __builtin_trap();
  }
  if (!sim::plain_script(text).responses.back().final_message) __builtin_trap();

  sim::Simulator simulator;
  for (const auto path : {"/v1/responses", "/v1/messages"}) {
    if (simulator.handle({"POST", path, {}, text}).status == 0) __builtin_trap();
  }
  // The same bytes as the task of a well-formed request, as far as they are text.
  const json::object message{{"role", "user"}, {"content", text}};
  const json::object body{
      {"stream", true}, {"input", json::array{message}}, {"messages", json::array{message}}};
  for (const auto path : {"/v1/responses", "/v1/messages"}) {
    if (simulator.handle({"POST", path, {}, base::to_text(body)}).chunks.empty()) __builtin_trap();
  }
  return 0;
}
