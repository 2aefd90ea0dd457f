#pragma once
// One shell command with its output on a pipe, in a process group of its own that can be killed as a whole.

#include <sys/types.h>

#include <string>

namespace agentrouter::scripted_agent {

class Command {
 public:
  // /bin/sh -c `text` in `directory`; stdin is /dev/null, stdout and stderr are one pipe.
  Command(const std::string& text, const std::string& directory);
  // Kills what is left of the group.
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // Readable when there is output, or when all writers are gone.
  [[nodiscard]] int output() const { return output_; }
  // Some bytes; empty at the end. Blocks.
  [[nodiscard]] std::string read();
  // The exit code, 128 + signal for a killed one. Blocks.
  [[nodiscard]] int wait();

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  bool reaped_ = false;
};

}  // namespace agentrouter::scripted_agent
