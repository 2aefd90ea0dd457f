#pragma once
// What a shell script would do, as far as it can be told without running it: every simple command with its
// words, every file that is read or written by redirection. Read as bash reads it (`sh -c` as any POSIX shell
// might), looked through what only starts other commands (env, xargs, find -exec, bash -c with literal text).
// What cannot be told is marked, never guessed.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::policy {

// One word, without its quotes.
struct Word {
  std::string text;         // of an unknown word: as it stands in the script
  bool known = true;        // false: an expansion decides, which may become any number of words
  std::string prefix = {};  // of an unknown word: what each word that it becomes begins with
  bool many = false;        // of an unknown word: it may become several words, or none
};

enum class Sight {
  clear,    // the words say what is done
  carries,  // runs code that the words only carry or name: python -c, sh FILE, a program of the workspace
  opaque    // what is done is not understood
};

struct Command {
  std::vector<Word> words;                // the program first
  std::vector<std::string> exports = {};  // environment set for it, without what changes no program's doing
  bool inert = false;  // does nothing outside of its shell but start commands that are listed as well
  Sight sight = Sight::clear;
  std::string doubt = {};  // why it is not clear, for people
};

struct FileUse {
  Word path;
  bool writes = false;
  // The folder that a relative path is relative to; empty when not known.
  std::string cwd = {};
};

struct Script {
  std::vector<Command> commands;
  std::vector<FileUse> files;
  bool opaque = false;     // beyond what is listed, something is not understood
  std::string doubt = {};  // why, for people
};

struct ScriptLimits {
  std::size_t bytes = 64u << 10;  // of a script, and of all scripts within it together four times this
  std::size_t depth = 24;         // of what stands within each other
  std::size_t commands = 2'000;
};

// Takes time linear in the length of `script`. What is over a limit is opaque.
[[nodiscard]] Script understand(std::string_view script, std::string_view cwd = "/workspace",
                                ScriptLimits limits = {});

// The words of a line that is one command of words that are all known, without redirections.
[[nodiscard]] std::optional<std::vector<std::string>> plain_words(std::string_view line);

// As one line for people: words quoted where they need it.
[[nodiscard]] std::string to_text(const Command& command);

}  // namespace agentrouter::policy
