#include "policy/waiting.h"

#include <algorithm>
#include <array>

#include "policy/command.h"
#include "policy/plain_read.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

// What a wait is often told with.
constexpr std::array<string_view, 5> idle{"echo", "printf", "true", ":", "date"};

string_view program_of(const Command& command) {
  if (command.words.empty() || !command.words.front().known) return {};
  const string_view word = command.words.front().text;
  const auto slash = word.rfind('/');
  return slash == string_view::npos ? word : word.substr(slash + 1);
}

bool has_word(const Command& command, string_view wanted) {
  return std::ranges::any_of(command.words,
                             [&](const Word& word) { return word.known && word.text == wanted; });
}

bool waits(const Command& command) {
  const auto program = program_of(command);
  if (program == "sleep" || program == "usleep" || program == "watch" || program == "inotifywait")
    return true;
  if (program == "wait") return true;
  // kubectl wait, docker wait, gh run watch
  const bool tool = program == "kubectl" || program == "docker" || program == "gh" || program == "podman";
  return tool && (has_word(command, "wait") || has_word(command, "watch") || has_word(command, "--watch"));
}

}  // namespace

Waiting waiting_of(string_view command) {
  const bool may =
      std::ranges::any_of(std::array<string_view, 2>{"sleep", "wait"},
                          [&](string_view word) { return command.find(word) != string_view::npos; }) ||
      command.find("watch") != string_view::npos;
  if (!may) return Waiting::none;
  const auto script = understand(script_of(command));
  const bool some = std::ranges::any_of(script.commands, waits);
  if (!some) return Waiting::none;
  const bool all = std::ranges::all_of(script.commands, [](const Command& one) {
    const auto program = program_of(one);
    const bool idles = std::ranges::find(idle, program) != idle.end();
    return idles || program == "sleep" || program == "usleep" || program == "wait";
  });
  return all && !script.opaque ? Waiting::only : Waiting::also;
}

}  // namespace agentrouter::policy
