#pragma once
// What one command is in truth: something that starts other commands, changes the shell, runs code, or just
// itself. Used by command.h only.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/command.h"
#include "policy/shell_syntax.h"

namespace agentrouter::policy {

using Words = std::vector<Word>;

// What is known about the standard input of a command.
struct CommandInput {
  bool given = false;               // a here-document or here-string
  std::optional<std::string> text;  // when it is known
};

struct Look {
  bool inert = false;  // does nothing outside of its shell but start what is listed here
  Sight sight = Sight::clear;
  std::string doubt = {};
  std::vector<Words> starts = {};
  // Texts that a shell runs; without a dialect, the one that is being read.
  std::vector<std::pair<std::string, std::optional<Dialect>>> scripts = {};
  std::vector<std::string> exports = {};                // environment of what it starts
  std::vector<std::pair<std::string, Word>> sets = {};  // variables of the shell
  bool leaves_folder = false;

  void carries(std::string why);
  void hides(std::string why);
};

// The name by which a program is known: "ls" of "ls" and "/bin/ls"; nothing of other paths.
[[nodiscard]] std::optional<std::string_view> known_name(const Word& program);

// `words` is not empty, and its first word is known.
[[nodiscard]] Look look_at(const Words& words, const CommandInput& input);

// What follows the options of a command, as getopt reads them; nothing when an option is not one of those
// listed or is only known when it runs.
struct OptionTable {
  std::string_view flags = "";   // letters
  std::string_view values = "";  // letters that take a value
  std::vector<std::string_view> long_flags = {};
  std::vector<std::string_view> long_values = {};
};
[[nodiscard]] std::optional<std::size_t> after_options(const Words& words, std::size_t from,
                                                       const OptionTable& table);

// The parts of look_at, each with its programs; nothing for programs of others.
[[nodiscard]] std::optional<Look> look_at_builtin(std::string_view name, const Words& words);
[[nodiscard]] std::optional<Look> look_at_starter(std::string_view name, const Words& words);
[[nodiscard]] std::optional<Look> look_at_shell(std::string_view name, const Words& words,
                                                const CommandInput& input);
[[nodiscard]] std::optional<Look> look_at_carrier(std::string_view name, const Words& words);

}  // namespace agentrouter::policy
