#include "sim/director.h"

#include <algorithm>

#include "base/hash.h"
#include "sim/plain.h"

namespace agentrouter::sim {

namespace {

std::string big_text(std::size_t bytes) {
  constexpr std::string_view line = "The quick brown fox jumps over the lazy dog, again and again.\n";
  std::string text;
  text.reserve(bytes + line.size());
  while (text.size() < bytes) text += line;
  text.resize(bytes);
  return text;
}

// What stays of a task when a client joins a later message to it, as Claude Code does after a failed request.
std::string script_lines(std::string_view task) {
  std::string lines;
  while (!task.empty()) {
    const auto end = std::min(task.find('\n'), task.size());
    if (task.starts_with("sim:")) lines.append(task.substr(0, end)).append("\n");
    task.remove_prefix(std::min(end + 1, task.size()));
  }
  return lines;
}

std::string text_of(const FinalMessage& message, const Dialogue& dialogue) {
  if (const auto* text = std::get_if<Text>(&message)) return text->text;
  if (const auto* big = std::get_if<Big>(&message)) return big_text(big->bytes);
  const auto& wanted = std::get<Recall>(message).text;
  return dialogue.earlier.find(wanted) == std::string::npos ? "not seen" : "seen";
}

}  // namespace

Act next_act(const Dialogue& dialogue, Memory& memory) {
  auto script = parse_script(dialogue.task);
  if (!script) script = plain_script(dialogue.task);
  Act act{.response = script->due(dialogue.results)};
  for (const auto& disturbance : act.response.disturbances) {
    const auto key = base::Sha256::hex_of(dialogue.place + '\n' + script_lines(dialogue.task)) + '#' +
                     std::to_string(disturbance.id);
    if (disturbance.repeats == Disturbance::Repeats::once && !memory.fire(key)) continue;
    act.disturbance = disturbance;
    break;
  }
  if (act.response.final_message) act.final_text = text_of(*act.response.final_message, dialogue);
  return act;
}

std::string no_tool_fits(const ToolCall& call, const std::vector<std::string>& offered) {
  std::string names;
  for (const auto& name : offered) names += (names.empty() ? "" : ", ") + name;
  return "No tool of this request fits the step '" + std::string(verb_of(call)) +
         "'. Offered: " + (names.empty() ? "none" : names) + ".";
}

Judge next_judgement(std::string_view transcript, std::size_t calls) {
  const auto script = parse_script(transcript);
  if (!script) return Judge::allow;
  return calls == 0 ? script->responses.back().judge : script->due(calls - 1).judge;
}

}  // namespace agentrouter::sim
