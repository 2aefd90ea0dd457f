#pragma once
// Shows the steps of a run as they come. On a terminal the last line says what goes on now and since when,
// and is redrawn by tick(); elsewhere every step is one plain line and nothing is ever redrawn.

#include <chrono>
#include <functional>
#include <string>

#include "cli/output.h"
#include "cli/steps.h"

namespace agentrouter::cli {

class Progress {
 public:
  // `elapsed` says how long the run has been followed.
  Progress(Output& output, std::function<std::chrono::milliseconds()> elapsed);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const Step& step);
  // How often tick() is worth calling.
  [[nodiscard]] std::chrono::milliseconds tick_interval() const;
  void tick();
  // Takes the status line away, for output of others.
  void clear();

 private:
  void print_line(const Step& step);
  void draw();

  Output& output_;
  std::function<std::chrono::milliseconds()> elapsed_;
  std::string activity_ = "Waiting for a worker";
  std::size_t frame_ = 0;
  bool drawn_ = false;
};

}  // namespace agentrouter::cli
