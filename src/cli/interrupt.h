#pragma once
// Ctrl-C as two stop tokens: the first one asks for the end of the run, the second one for the end of the
// client. SIGTERM counts the same.

#include <csignal>
#include <stop_token>
#include <thread>

#include "base/fd.h"

namespace agentrouter::cli {

// One at a time, made before other threads: the signals are blocked from then on, in them too, and the mask
// from before is restored at the end.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] std::stop_token first() const { return first_.get_token(); }
  [[nodiscard]] std::stop_token second() const { return second_.get_token(); }

 private:
  void watch();

  sigset_t before_;
  std::stop_source first_;
  std::stop_source second_;
  base::Fd signals_;
  base::FdPair end_;
  std::thread watcher_;
};

}  // namespace agentrouter::cli
