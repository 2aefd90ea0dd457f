#pragma once
// stdout.ndjson and stderr.ndjson: what the agent said, one line each, without what is secret. Append-only,
// so that the worker may copy finished pieces while the agent runs.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/redactor.h"

namespace agentrouter::keeper {

class AgentLog {
 public:
  // Makes `name` in the folder. Errors: open(2). `redactor` outlives it.
  [[nodiscard]] static base::Result<AgentLog> create(int attempt_dir, const char* name,
                                                     const base::Redactor& redactor);

  // One line, without its end. Throws Failure (exhausted with reason storage_full when the disk is full).
  void line(std::string line);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] const base::Redactor& redactor() const { return *redactor_; }

 private:
  AgentLog(base::Fd fd, const base::Redactor& redactor) : fd_(std::move(fd)), redactor_(&redactor) {}

  base::Fd fd_;
  const base::Redactor* redactor_;
  std::uint64_t bytes_ = 0;
};

// Cuts a byte stream into lines of JSON, {"text":"..."}: at line ends, and where a line grows over 64 KiB. Of a
// secret that a cut goes through the second part is taken out.
class TextLines {
 public:
  explicit TextLines(AgentLog& log) : log_(log) {}
  void feed(std::string_view bytes);
  // What is left without a line end.
  void end();

 private:
  void write(std::string_view text);

  AgentLog& log_;
  std::string rest_;
  std::string before_;  // the end of earlier lines: a secret may go on
};

}  // namespace agentrouter::keeper
