#pragma once
// What the simulated model does next, in no provider's words: a request is read into a `Dialogue`, the
// script in it gives an `Act`, and the provider's own half writes the act as its bytes. `responses.h` is the
// OpenAI half, `messages.h` the Anthropic half.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/memory.h"
#include "sim/script.h"

namespace agentrouter::sim {

struct Dialogue {
  // The last user message that has a `sim:` line, else the last one. Without what CLIs put into it.
  std::string task;
  // Tells this task from an equal one in another turn or session.
  std::string place;
  // Everything said and done in the turns before it.
  std::string earlier;
  // Tool results after it.
  std::size_t results = 0;
};

struct Act {
  Response response;
  // Happens instead of the response, this time.
  std::optional<Disturbance> disturbance;
  // Set when the response has a final message.
  std::optional<std::string> final_text;
};

// Marks the disturbance that it returns as fired. Everything else follows from `dialogue` alone.
[[nodiscard]] Act next_act(const Dialogue& dialogue, Memory& memory);

// What the model says when no tool of the request fits a step: names the step and the offered tools.
[[nodiscard]] std::string no_tool_fits(const ToolCall& call, const std::vector<std::string>& offered);

// How a reviewer's request is answered: `transcript` holds the task under review, line by line, and the
// call under review is the `calls`-th call of it (0: unknown, the last `sim: judge` line counts).
[[nodiscard]] Judge next_judgement(std::string_view transcript, std::size_t calls);

}  // namespace agentrouter::sim
