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
  std::vector<std::string> arrays = {};   // variables that become arrays
  std::vector<std::string> scalars = {};  // variables that must be no arrays
  std::vector<std::string> relies = {};   // variables that must hold plain words

  void carries(std::string why);
  void hides(std::string why);
  // An unknown word stands where an option or an operator could stand.
  void relies_on(const Word& word, std::string_view why);
};

// The variables of a text; nothing when it holds other expansions.
struct Mixed {
  std::vector<std::string> names = {};
  std::string rest = {};  // the text with an "n" for each of them
};
[[nodiscard]] std::optional<Mixed> variables_in(std::string_view text);
// Whether an unknown word may become an option.
[[nodiscard]] bool may_be_option(const Word& word);

// The name by which a program is known: "ls" of "ls" and "/bin/ls"; nothing of other paths.
[[nodiscard]] std::optional<std::string_view> known_name(const Word& program);

// `words` is not empty, and its first word is known.
[[nodiscard]] Look look_at(const Words& words, const CommandInput& input);

struct OptionTable {
  std::string_view flags = "";   // letters
  std::string_view values = "";  // letters that take a value
  std::string_view glued = "";   // letters that take what follows them in their word, if anything does
  std::vector<std::string_view> long_flags = {};
  std::vector<std::string_view> long_values = {};
  std::vector<std::string_view> long_glued = {};  // a value only behind a `=`
};
struct Option {
  std::string_view name;  // "n" or "max-args"
  std::optional<Word> value = {};
};
struct Options {
  std::vector<Option> given = {};
  std::size_t next = 0;  // what follows them
};
// The options of a command, as getopt reads them; nothing when one is not listed, has no value or is only
// known when it runs.
[[nodiscard]] std::optional<Options> read_options(const Words& words, std::size_t from,
                                                  const OptionTable& table);
[[nodiscard]] std::optional<std::size_t> after_options(const Words& words, std::size_t from,
                                                       const OptionTable& table);

// The parts of look_at, each with its programs; nothing for programs of others.
[[nodiscard]] std::optional<Look> look_at_builtin(std::string_view name, const Words& words);
[[nodiscard]] std::optional<Look> look_at_setter(std::string_view name, const Words& words);
[[nodiscard]] std::optional<Look> look_at_starter(std::string_view name, const Words& words);
[[nodiscard]] std::optional<Look> look_at_shell(std::string_view name, const Words& words,
                                                const CommandInput& input);
[[nodiscard]] std::optional<Look> look_at_carrier(std::string_view name, const Words& words);

}  // namespace agentrouter::policy
