#include "apps/signals_between.h"

#include <csignal>

namespace agentrouter::apps {

SignalsBetween::SignalsBetween() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) signals_.add(signal);
  wait();
}

void SignalsBetween::begin() {
  poll();
  ended_ = reloaded_ = false;
}

bool SignalsBetween::told_to_end() {
  poll();
  return ended_;
}

bool SignalsBetween::told_to_reload() {
  poll();
  return reloaded_;
}

void SignalsBetween::wait() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal == SIGTERM || signal == SIGINT) ended_ = true;
    if (signal == SIGHUP) reloaded_ = true;
    wait();
  });
}

void SignalsBetween::poll() {
  io_.restart();
  io_.poll();
}

}  // namespace agentrouter::apps
