#pragma once
// A script: what the simulated model says, response by response, as the `sim:` lines of a task ask for.
// Each line that is a step is one model response; `say`, `think`, `sleep`, `usage`, `judge` and the three
// disturbances (`error`, `fail`, `drop`) attach to the response that follows them. A script always ends with
// a final message, `Done.` when it names none; what stands after the final message is never reached.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agentrouter::sim {

struct Shell {
  std::string command;
};
// The whole content of a file. A last line without an end gets one.
struct WriteFile {
  std::string path;
  std::string text;
};
// Whole lines; `after` may be empty, which deletes them.
struct EditFile {
  std::string path;
  std::string before;
  std::string after;
};
struct ReadFile {
  std::string path;
};
struct McpTool {
  std::string server;
  std::string tool;
  std::string arguments;  // JSON
};
struct NamedTool {
  std::string tool;
  std::string arguments;  // JSON
};
using ToolCall = std::variant<Shell, WriteFile, EditFile, ReadFile, McpTool, NamedTool>;

// The word that begins the step in a script.
[[nodiscard]] std::string_view verb_of(const ToolCall& call);

struct Text {
  std::string text;
};
// `seen` or `not seen`: whether the text stands in an earlier turn.
struct Recall {
  std::string text;
};
struct Big {
  std::size_t bytes = 0;
};
using FinalMessage = std::variant<Text, Recall, Big>;

struct Utterance {
  enum class Kind { say, think } kind = Kind::say;
  std::string text;
};

struct Disturbance {
  enum class Kind { error, fail, drop } kind = Kind::error;
  enum class Repeats { once, always } repeats = Repeats::once;
  int status = 500;
  std::string code;
  std::optional<int> retry_after;
  std::chrono::milliseconds sleep{0};
  std::size_t id = 0;  // its position among the lines of its script
};

struct Usage {
  enum class Kind { measured, none, fixed } kind = Kind::measured;
  enum class Arrival { with_the_rest, late } arrival = Arrival::with_the_rest;
  std::size_t input = 0;
  std::size_t output = 0;
};

enum class Judge { allow, deny, garbage };

// One model response: either calls or the final message, never both.
struct Response {
  std::vector<Disturbance> disturbances;
  std::chrono::milliseconds sleep{0};
  std::vector<Utterance> utterances;
  std::vector<ToolCall> calls;
  std::optional<FinalMessage> final_message;
  Usage usage;
  Judge judge = Judge::allow;
};

struct ScriptLimits {
  static constexpr std::size_t max_steps = 100'000;  // lines after `repeat` is written out
  static constexpr std::size_t max_big = 64u << 20;  // bytes of `big`
  static constexpr std::size_t max_sleep_seconds = 86'400;
};

struct Script {
  std::vector<Response> responses;  // the last one, and only it, has a final message

  // The response that is due when `results` tool results have come back: each response uses up as many as
  // it made calls.
  [[nodiscard]] const Response& due(std::size_t results) const;
};

// Nothing when no line begins with `sim:`. A line that is not understood, or is beyond the limits, makes the
// whole script one final message that names it: nothing of it is carried out.
[[nodiscard]] std::optional<Script> parse_script(std::string_view task);

// A script that says `text` and ends.
[[nodiscard]] Script say_only(std::string text);

}  // namespace agentrouter::sim
