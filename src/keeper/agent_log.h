#pragma once
// stdout.ndjson and stderr.ndjson: what the agent said, one line each, without what is secret. Append-only,
// so that the worker may copy finished pieces while the agent runs.

#include <cstdint>
#include <functional>
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

  // One line, without its end. While the disk is full it is kept in memory, up to 8 MiB of them. Throws Failure
  // (exhausted with reason storage_full when that is full, too).
  void line(std::string line);
  // Called when the disk takes no more.
  void on_full(std::function<void()> listener) { full_ = std::move(listener); }
  [[nodiscard]] bool is_behind() const { return !behind_.empty(); }
  // Writes what was kept; true when all of it is in the file.
  bool catch_up();
  // That are in the file.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // Of all lines so far.
  [[nodiscard]] std::uint64_t taken() const { return bytes_ + behind_.size(); }
  [[nodiscard]] const base::Redactor& redactor() const { return *redactor_; }

 private:
  AgentLog(base::Fd fd, const base::Redactor& redactor) : fd_(std::move(fd)), redactor_(&redactor) {}
  bool put(std::string_view& bytes);

  base::Fd fd_;
  const base::Redactor* redactor_;
  std::uint64_t bytes_ = 0;
  std::string behind_;
  std::function<void()> full_;
};

// What an agent's log takes beyond the bytes that were read for it: a line of JSON is up to twelve times as
// long as what it holds. One turn's.
class LogGrowth {
 public:
  explicit LogGrowth(const AgentLog& log) : log_(log), begin_(log.taken()) {}
  // After `read` more bytes: how much more than before, never less.
  [[nodiscard]] std::uint64_t more(std::uint64_t read);

 private:
  const AgentLog& log_;
  const std::uint64_t begin_;
  std::uint64_t read_ = 0, told_ = 0;
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
